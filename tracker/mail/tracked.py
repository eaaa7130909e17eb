"""A tracked mail as its maker gets it: the addresses to put into the mail, and the words for a link.

Built by tracker/mail/compose.py; shown by the commands, the copy page and import-list. No database here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from models import Link, Message
from tracker.keys import sign
from tracker.mail.draft import clean_line, shorten
from tracker.services import Services


@dataclass(frozen=True)
class Tracked:
    """A mail that is tracked now. `pixel_url` is null where opens are not to be seen (mode clicks or off)."""

    message: Message
    pixel_url: str | None
    copy_url: str
    capture_address: str | None = None  # null while nothing listens for mail
    links: tuple[tuple[str, str], ...] = ()  # URL as asked for, tracked URL
    warnings: tuple[str, ...] = ()


def tracked_fields(tracked: Tracked) -> dict[str, Any]:
    """The machine-readable answer to `track`, the same in the console and in import-list."""
    return {
        "message": tracked.message.code,
        "pixel_url": tracked.pixel_url,
        "copy_url": tracked.copy_url,
        "capture_address": tracked.capture_address,
        "links": [{"url": url, "tracked_url": ours} for url, ours in tracked.links],
    }


def pixel_url(services: Services, link: Link) -> str:
    """Public address of a pixel."""
    return f"{services.settings.public_url}/o/{link.token}.gif"


def link_url(services: Services, link: Link) -> str:
    """Public address of a tracked link."""
    return f"{services.settings.public_url}/c/{link.token}"


def copy_url(services: Services, message: Message) -> str:
    """Public address of a mail's copy page: signed, so that nobody finds another one's by trying."""
    return f"{services.settings.public_url}/m/{sign(services.settings.key, 'copy', message.code)}"


def label_of(url: str) -> str:
    """What people read for a link: host and path, "acme.com/deck", at most 60 characters."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    return shorten(clean_line(host + parts.path.rstrip("/")), 60)
