"""Writes a short mail for its user and puts it into the spool: from there it goes as any other.

Called by the commands (bot/commands/tracking.py) where a mailbox is connected. The relay puts pixel and links
in; here stands only what the user typed. A link in the text gets words of its own, since one that shows its
address is never followed (PRODUCT: links).
"""

from __future__ import annotations

import email.utils
import os
import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from html import escape
from urllib.parse import unquote, urlsplit

from models import Account, Mailbox
from models.database import take_file_lock
from tracker.mail.draft import Draft, DraftError, clean_line
from tracker.mail.links import shows_address
from tracker.sending.mailboxes import RELAY_BELL
from tracker.sending.spool import Envelope, Spool, SpoolFullError, lock_of
from tracker.services import Services

LONGEST_TEXT = 20_000
_URL = re.compile(r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)\]]")
_WORD = re.compile(r"[^\W\d_][\w .-]{1,39}")


@dataclass(frozen=True)
class Written:
    """A mail that is on its way."""

    sender: str
    recipients: tuple[str, ...]
    spooled: str


async def find_sender(services: Services, account: Account) -> Mailbox | None:
    """The mailbox that this account's mails are sent from: the one connected first whose login works.

    None where nobody brings the mails of this DATA_DIR to the providers: with the roles on several machines.
    """
    free = take_file_lock(lock_of(services.settings))
    if free is not None:
        os.close(free)
        return None
    return await Mailbox.filter(account_id=account.id, failed_at__isnull=True).order_by("id").first()


async def send_draft(services: Services, account: Account, draft: Draft, text: str) -> Written:
    """Sends `text` with the draft's links to its recipients. Raises DraftError with what to do instead."""
    mailbox = await find_sender(services, account)
    if mailbox is None:
        raise DraftError("I can send for you here once a mailbox is connected. Type connect.")
    if not draft.recipients:
        raise DraftError("I need somebody to send it to: begin with an address, such as ana@acme.com")
    if not text.strip():
        raise DraftError("I need some words to send: type them after a |")
    if len(text) > LONGEST_TEXT:
        raise DraftError(f"That is longer than {LONGEST_TEXT} characters; send it from your mail program")
    recipients = tuple(one.address for one in draft.recipients)
    now = services.now()
    message = build_mail(account.name, mailbox.address, draft, text)
    message["Date"] = email.utils.format_datetime(now)
    message["Message-ID"] = email.utils.make_msgid(domain=_domain(mailbox.address))
    spool = Spool(services.settings.data_dir / "spool")
    try:
        envelope = Envelope(account.id, mailbox.id, mailbox.address, recipients, now)
        name = await spool.put(envelope, message.as_bytes(policy=SMTP))
    except SpoolFullError:
        raise DraftError("there is no room on the disk for it; nothing was sent. Try again later") from None
    finally:
        spool.close()
    services.wake.ring(RELAY_BELL)
    return Written(mailbox.address, recipients, name)


def build_mail(name: str, sender: str, draft: Draft, text: str) -> EmailMessage:
    """The mail but for Date and Message-ID: the words as plain text, and beside it as HTML with links."""
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(clean_line(name, 100), sender)
    message["To"] = [_address(one.name, one.address) for one in draft.recipients]
    message["Subject"] = clean_line(draft.subject)
    urls = [url for url in (*draft.urls, *draft.untracked) if url not in text]
    plain = "\n".join([text.strip(), *([""] if urls else []), *urls]) + "\n"
    message.set_content(plain, cte="quoted-printable")
    kept = frozenset(draft.untracked)
    shown = [_paragraph(one, kept) for one in re.split(r"\n\s*\n", text.strip())]
    shown += [f"<p>{_link(url, kept)}</p>" for url in urls]
    html = "<!DOCTYPE html>\n<html><body>\n" + "\n".join(shown) + "\n</body></html>\n"
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def _address(name: str, address: str) -> Address:
    try:
        return Address(name, addr_spec=address)
    except (ValueError, IndexError) as error:  # the library's word for what it cannot write
        raise DraftError(f"{clean_line(address, 60)} cannot be written to from here") from error


def _paragraph(text: str, kept: frozenset[str]) -> str:
    pieces, at = [], 0
    for found in _URL.finditer(text):
        pieces += [escape(text[at : found.start()]), _link(found[0], kept)]
        at = found.end()
    pieces.append(escape(text[at:]))
    return "<p>" + "".join(pieces).replace("\n", "<br>\n") + "</p>"


def _link(url: str, kept: frozenset[str]) -> str:
    """With words that are no address; what shall not be tracked shows its own."""
    words = url if url in kept else link_words(url)
    return f'<a href="{escape(url)}">{escape(words)}</a>'


def link_words(url: str) -> str:
    """What a link reads like: the end of its path, "deck"; "this link" where that says nothing."""
    last = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]).replace("_", " ")
    words = clean_line(last)
    return words if _WORD.fullmatch(words) and not shows_address(words) else "this link"


def _domain(address: str) -> str:
    domain = address.rpartition("@")[2]
    return domain if domain.isascii() else domain.encode("idna").decode()
