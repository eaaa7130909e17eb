"""That somebody was forgotten, handed over or left alone, on record without saying who.

Called by whatever does it. A line holds a keyed hash of the address: whoever is asked later "did you forget
ana@acme.com?" can look it up, and nobody can read an address back.
"""

from __future__ import annotations

from collections.abc import Mapping

from models import Audit
from tracker.keys import keyed_hash
from tracker.mail.spellings import address_forms
from tracker.services import Services


def audit_digest(services: Services, address: str) -> str:
    """How an address stands in the audit lines."""
    return keyed_hash(services.settings.key, "audit", address_forms(address)[-1])


async def note(
    services: Services, action: str, account_id: int | None, address: str | None, counts: Mapping[str, int]
) -> None:
    """Writes one line. `action`: forget | export | opt-out | retention."""
    await Audit.create(
        at=services.now(),
        account_id=account_id,
        action=action,
        digest=None if address is None else audit_digest(services, address),
        counts=dict(counts),
    )


async def lines(services: Services, address: str | None = None, limit: int = 1000) -> list[Audit]:
    """The newest lines, newest first; with an address only those about it."""
    about = {} if address is None else {"digest": audit_digest(services, address)}
    return await Audit.filter(**about).order_by("-id").limit(limit)
