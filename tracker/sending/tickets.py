"""One-time links to the page that connects a mailbox: made in chat, used in a browser, by whoever has one.

The link holds a random name and a signature; stored is its keyed hash, with the account that it works for.
It is spent when a mailbox was connected with it, not when the page is looked at: chats and mail programs look
at links too. Password and login travel over the page alone, never through a chat.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from models import AccessCode, Account, Mailbox
from models.database import atomically
from tracker.keys import keyed_hash, new_code, sign, unsign
from tracker.services import Services

KIND = "connect"
LASTS = dt.timedelta(minutes=30)
_PURPOSES = {"n": "new", "a": "again", "r": "renew"}
_SHAPE = re.compile(r"([0-9a-z]{24})-([nar])(\d{0,18})")
_LONGEST = 100


@dataclass(frozen=True)
class Ticket:
    """A link that was found: what it is for, and whose it is."""

    code: AccessCode
    account: Account
    purpose: str  # new | again (a mailbox that is there) | renew (its application password)
    mailbox: Mailbox | None  # what it is about; of a spent one, what was connected
    path: str  # of the page

    @property
    def is_spent(self) -> bool:
        return self.code.used_at is not None


async def make_ticket(
    services: Services, account: Account, purpose: str = "new", mailbox: Mailbox | None = None
) -> str:
    """The address of a page that works for 30 minutes, once, for this account alone."""
    letter = next(key for key, word in _PURPOSES.items() if word == purpose)
    name = f"{new_code(24)}-{letter}{mailbox.id if mailbox else ''}"
    now = services.now()

    async def work() -> None:
        # Neither the spent ones nor those that ran out are of any use after a day.
        old = now - dt.timedelta(days=1)
        await AccessCode.filter(kind=KIND, account_id=account.id, created_at__lt=old).delete()
        await AccessCode.create(
            digest=_digest(services, name), kind=KIND, account=account, created_at=now, expires_at=now + LASTS
        )

    await atomically(work)
    return f"{services.settings.public_url}{_path(services, name)}"


def _path(services: Services, name: str) -> str:
    return f"/connect/{sign(services.settings.key, 'connect', name)}"


def _digest(services: Services, name: str) -> str:
    return keyed_hash(services.settings.key, "connect link", name)


async def find_ticket(services: Services, signed: str) -> Ticket | None:
    """The ticket behind the last part of a page's path; None for one that is unknown, forged or too old.

    A spent one is found for as long again, so that its page can say so and hand out files.
    """
    name = unsign(services.settings.key, "connect", signed) if len(signed) <= _LONGEST else None
    shape = _SHAPE.fullmatch(name or "")
    if name is None or shape is None:
        return None
    code = await AccessCode.get_or_none(digest=_digest(services, name), kind=KIND).select_related("account")
    if code is None or code.account is None or code.expires_at is None:
        return None
    until = code.expires_at if code.used_at is None else code.used_at + LASTS
    if services.now() >= until:
        return None
    number = code.used_by if code.used_at is not None else int(shape[3] or 0)
    mailbox = await Mailbox.get_or_none(id=number or 0, account_id=code.account_id)
    purpose = _PURPOSES[shape[2]]
    if purpose != "new" and mailbox is None:
        return None  # it was removed meanwhile
    return Ticket(code, code.account, purpose, mailbox, _path(services, name))


async def claim_ticket(services: Services, ticket: Ticket) -> bool:
    """Takes the ticket for a try; False where another try has it, or it is spent."""
    now = services.now()

    async def work() -> int:
        return await AccessCode.filter(id=ticket.code.id, used_at__isnull=True, expires_at__gt=now).update(
            used_at=now
        )

    return bool(await atomically(work))


async def settle_ticket(ticket: Ticket, mailbox: Mailbox | None) -> None:
    """Ends a try: the ticket is spent for this mailbox, or free again."""

    async def work() -> None:
        fields = {"used_by": mailbox.id} if mailbox is not None else {"used_at": None}
        await AccessCode.filter(id=ticket.code.id).update(**fields)

    await atomically(work)
