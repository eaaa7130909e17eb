"""The capture addresses of an account: the secret one for BCC, the public one for Cc and forwarding rules.

Called by tracker/mail/smtp.py for each recipient that a client names, and by the command `capture`. The local
part before `+` is the whole secret; what stands after it is a tag (tracker/mail/tags.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from models import Account, OwnAddress
from models.database import atomically
from tracker.keys import new_code
from tracker.mail.draft import read_address
from tracker.services import Services
from tracker.settings import Settings

_SECRET_LENGTH = 14  # 31^14: nobody finds one by trying
_LONGEST = 320


# Whose local part it was a moment ago: a client names it again with each of its mails.
_REMEMBERED_SECONDS = 1.0
_MOST_REMEMBERED = 1_000
_remembered: dict[str, tuple[float, int, bool]] = {}


@dataclass(frozen=True)
class CaptureBox:
    """Where a mail came in: whose address it is, which of the two, and its tag as typed."""

    account_id: int
    is_public: bool
    tag: str = ""


def capture_domain(settings: Settings) -> str | None:
    """The domain of the capture addresses; None where nothing listens for mail."""
    if settings.capture_port is None:
        return None
    return (settings.capture_domain or urlsplit(settings.public_url).hostname or "").lower() or None


async def find_box(settings: Settings, address: str) -> CaptureBox | None:
    """Whose capture address this is; None for an unknown one. Run it where nobody cancels it."""
    name, tag = _split(settings, address)
    if name is None:
        return None
    for is_public in (False, True):
        found = Account.filter(capture_public=name) if is_public else Account.filter(capture_secret=name)
        account = await found.first()
        if account is not None:
            if len(_remembered) >= _MOST_REMEMBERED:
                _remembered.clear()
            _remembered[name] = time.monotonic(), account.id, is_public
            return CaptureBox(account.id, is_public, tag)
    return None


def find_recent_box(settings: Settings, address: str) -> CaptureBox | None:
    """Whose capture address this is, where `find_box` knew it within the last second; no look-up."""
    name, tag = _split(settings, address)
    at, account_id, is_public = _remembered.get(name or "", (-1e9, 0, False))
    if time.monotonic() - at > _REMEMBERED_SECONDS:
        return None
    return CaptureBox(account_id, is_public, tag)


def _split(settings: Settings, address: str) -> tuple[str | None, str]:
    """The local part before the tag, and the tag; no local part where it can be none of ours."""
    local, _, domain = address.lower().rpartition("@")
    name, _, tag = local.partition("+")
    if domain.rstrip(".") != capture_domain(settings) or not name.isalnum() or len(address) > _LONGEST:
        return None, ""
    return name, tag


async def capture_addresses(services: Services, account: Account) -> tuple[str, str] | None:
    """The secret and the public address of the account, made when missing; None while nothing listens."""
    domain = capture_domain(services.settings)
    if domain is None:
        return None
    await account.refresh_from_db(fields=["capture_secret", "capture_public"])
    if account.capture_secret is None or account.capture_public is None:
        await renew_addresses(account, only_missing=True)
    return f"{account.capture_secret}@{domain}", f"{account.capture_public}@{domain}"


async def renew_addresses(account: Account, *, only_missing: bool = False) -> None:
    """New addresses for the account; mail to the ones before is refused from then on."""

    async def write() -> None:
        for column in ("capture_secret", "capture_public"):
            missing = {f"{column}__isnull": True} if only_missing else {}
            await Account.filter(id=account.id, **missing).update(**{column: new_code(_SECRET_LENGTH)})

    await atomically(write)
    _remembered.clear()
    await account.refresh_from_db(fields=["capture_secret", "capture_public"])


async def own_addresses(account_id: int) -> list[str]:
    """The addresses that the account is known to write from, oldest first."""
    rows = await OwnAddress.filter(account_id=account_id).order_by("id").values_list("address", flat=True)
    return [str(row) for row in rows]


async def add_own_address(services: Services, account_id: int, text: str) -> str | None:
    """Takes the address as one of the account's; the address as it is known now, or None if it is none."""
    address = read_address(text)
    if address is not None:
        await OwnAddress.get_or_create({"created_at": services.now()}, account_id=account_id, address=address)
    return address
