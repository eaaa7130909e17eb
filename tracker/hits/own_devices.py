"""Devices known to be the sender's own: address and user agent together, known only by their keyed hash.

Learned from the copy page and from the submission connection. The rule is `own_device` in
tracker/hits/rules.py; in a trial it is off. What people say themselves ("that was me") is kept apart, so that
it can be taken back: tracker/hits/teaching.py.
"""

from __future__ import annotations

from models import OwnDevice
from models.database import atomically
from tracker.services import Services


async def learn(services: Services, account_id: int, device: str | None, source: str) -> None:
    """The device is the account's own, seen now. `source`: copy-page or submission. None: nothing."""
    if device is None:
        return
    now = services.now()

    async def write() -> None:
        known, is_new = await OwnDevice.get_or_create(
            defaults={"source": source, "seen_at": now}, account_id=account_id, device=device
        )
        if not is_new:
            known.seen_at = now
            known.source = source
            await known.save(update_fields=["seen_at", "source"])

    await atomically(write)
