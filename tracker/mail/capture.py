"""What a captured copy means: which mail it is a copy of, when that left, to whom; or a reply, or a question.

Called by tracker/mail/smtp.py for each capture address that a mail came to. One transaction for each; the
same mail again changes nothing. Then the mail is armed, and only then is the client told that it was taken.
No body is ever stored.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import logging
import re
from dataclasses import dataclass, field
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.expressions import F

from models import Account, Captured, Destination, Message, OwnAddress, Recipient
from models.database import atomically
from models.wake import OUTBOX
from models.writer import WriterDownError
from tracker.hits.arming import arm
from tracker.hits.rescore import rescore
from tracker.keys import new_code
from tracker.mail.addresses import CaptureBox, capture_domain, own_addresses
from tracker.mail.binding import add_recipients, find_tokens, post_cards, settle_mode
from tracker.mail.draft import MAX_SUBJECT, clean_line, read_address, shorten
from tracker.mail.news import News
from tracker.mail.parsing import Parsed
from tracker.mail.tag_orders import keep_orders
from tracker.mail.tags import Tag, parse_tag
from tracker.replies.arriving import judge_answered, when_sent
from tracker.replies.matching import RETURNED, Match, find_answered
from tracker.replies.noting import Answer, store_answer
from tracker.services import Services

SENT_LONG_BEFORE = dt.timedelta(hours=1)
_KEPT = ("held", "arming")  # states in which something is still to be done with what the copy says
_FOLLOWED_UP = ("arming", "bound", "reply")  # in which hits of the mail are judged anew
_TRIES = 5
_PAUSES = (0.5, 0.5, 1.0, 2.0, 4.0)  # seconds; clients wait ten minutes (RFC 5321, 4.5.3.2.6)

log = logging.getLogger(__name__)


class RefusedMailError(Exception):
    """The mail must not be taken; the text says why, for whoever sent it."""


@dataclass
class _Copy:
    """A copy on its way into the tables, within one transaction."""

    services: Services
    box: CaptureBox
    parsed: Parsed
    key: str
    arrived: dt.datetime
    noted: bool  # its row is there, unless somebody erased it
    tag: Tag = field(init=False)
    sender: str | None = field(init=False)
    people: dict[str, str] = field(init=False)  # name by address
    sent: dt.datetime = field(init=False)

    def __post_init__(self) -> None:
        self.tag = parse_tag(self.box.tag)
        self.sender = read_address(self.parsed.sender)
        ours = "@" + (capture_domain(self.services.settings) or "")
        found = ((read_address(address), name) for name, address in self.parsed.to)
        self.people = {
            address: clean_line(name, 200)
            for address, name in found
            if address and not address.endswith(ours)
        }
        self.sent = when_sent(self.parsed, self.arrived)

    @property
    def subject(self) -> str:
        return clean_line(self.parsed.subject, MAX_SUBJECT)


def key_of(parsed: Parsed, raw: bytes) -> str:
    """What is the same for the same mail, however often it comes: of its Message-ID, else of its bytes."""
    return hashlib.blake2b(parsed.message_id.encode("utf-8", "replace") or raw, digest_size=24).hexdigest()


async def take_copy(
    services: Services,
    box: CaptureBox,
    parsed: Parsed,
    key: str,
    arrived: dt.datetime,
    *,
    noted: bool = False,
) -> str:
    """Stores what the copy means, and arms what it is a copy of; the state it came to (Captured.state).

    A copy that was `noted` and is not there any more was forgotten meanwhile, and means nothing. Raises
    RefusedMailError for a mail that must not be taken, and what the database raises.
    """
    if parsed.doubled:
        raise RefusedMailError(f"5.6.0 more than one {parsed.doubled.title()} header")
    copy = _Copy(services, box, parsed, key, arrived, noted)

    async def write() -> tuple[str, list[Message]]:
        return await _write(copy)

    for last in [False] * (_TRIES - 1) + [True]:
        try:
            state, mails = await atomically(write)
            break
        except IntegrityError:  # the same mail twice at once, or a code that was taken
            if last:
                raise
    for mail in mails:
        await (judge_answered(services, mail) if state == "reply" else _arm(services, mail, copy.sent))
    if state == "arming":
        state = await _note_armed(copy)
    services.wake.ring(OUTBOX)
    log.info("a captured mail is %s", state)
    return state


async def _arm(services: Services, mail: Message, sent: dt.datetime) -> None:
    """Arms the mail and judges its hits anew; waits for a writer that is held up for a while.

    Raises WriterDownError in the end: the client is told to bring the copy again, though it is stored. Then,
    or when the next sweep finds it (tracker/mail/intake.py), this is done once more.
    """
    for pause in (*_PAUSES, None):
        try:
            if not await arm(services, mail, sent, "capture"):
                await rescore(services, mail.id)  # its mode may be another one now
            return
        except WriterDownError:
            if pause is None:
                raise
            await asyncio.sleep(pause)


async def _note_armed(copy: _Copy) -> str:
    """Nothing is left to do for the copy, and nothing to keep of it."""
    rows = Captured.filter(account_id=copy.box.account_id, key=copy.key, state="arming")
    await atomically(lambda: rows.update(state="bound", facts=None))
    return "bound"


async def _write(copy: _Copy) -> tuple[str, list[Message]]:
    """The whole of one copy, in one transaction: its state, and the mails to arm."""
    known = await Captured.get_or_none(account_id=copy.box.account_id, key=copy.key)
    if known is not None and known.state == "noted":
        # Another process may have it in hand: whoever takes the row goes on.
        taken = await Captured.filter(id=known.id, state="noted").delete()
        known = None if taken else await Captured.get(account_id=copy.box.account_id, key=copy.key)
        copy.noted = not taken
    if known is not None:
        again = await Message.filter(id=known.message_id) if known.message_id else []
        return known.state, again if known.state in _FOLLOWED_UP else []
    if copy.noted:
        return "ignored", []
    account = await Account.get(id=copy.box.account_id)
    places = await Destination.filter(account_id=account.id, off_at__isnull=True)
    news = News(copy.services.now(), account.id, places, copy.key)
    match = await find_answered(account.id, copy.parsed, copy.sent)
    if match is not None and await _is_answer(copy, match):
        state, mails = await store_answer(_answer(copy), match, places, news), [match.message]
    else:
        state, mails = await _understand(copy, account, match, places, news)
        kept = {"mail": copy.parsed.to_json(), "tag": copy.box.tag} if state in _KEPT else None
        row = await Captured.create(
            account_id=account.id, key=copy.key, state=state, message=mails[0] if mails else None,
            from_address=copy.sender, facts=kept, at=copy.arrived,
        )  # fmt: skip
        if state == "held":
            news.offer("It's mine", f"capture take {row.id}")
            news.offer("Ignore", f"capture ignore {row.id}")
    await news.post(mails[0] if mails else None)
    return state, mails if state in _FOLLOWED_UP else []


def _answer(copy: _Copy) -> Answer:
    return Answer(copy.box.account_id, copy.key, copy.parsed, copy.sent, copy.arrived)


async def _is_answer(copy: _Copy, match: Match) -> bool:
    """Whether the mail is from the other side: of a server, or of somebody who is not the account's owner."""
    if copy.parsed.kind in RETURNED:
        return not (
            copy.box.is_public and match.guessed
        )  # a guess is no proof at an address that gets around
    if copy.sender is None or copy.parsed.kind == "loop":
        return False
    own = await own_addresses(copy.box.account_id)
    went_to = Recipient.filter(message_id=match.message.id, address=copy.sender)
    return copy.sender not in own if own else await went_to.exists()


async def _understand(
    copy: _Copy, account: Account, match: Match | None, places: list[Destination], news: News
) -> tuple[str, list[Message]]:
    parsed = copy.parsed
    if copy.box.is_public and (match is None or match.guessed):
        if _tell_forwarding_code(copy, news):
            return "ignored", []
        raise RefusedMailError("5.7.1 this address takes answers to tracked mail only")
    if parsed.kind != "mail":
        return "ignored", []
    own = await own_addresses(account.id)
    found = await find_tokens(account.id, parsed.tokens)
    bound = [mail for mail in found if _can_be(mail, copy)][:1]
    if not bound and copy.sender is None:
        news.say(f"A mail came to your capture address that I cannot read ({parsed.fault or 'no sender'}).")
        return "ignored", []
    if not bound and own and copy.sender not in own:
        return _hold(copy, news)
    if not own and copy.sender is not None:
        await OwnAddress.create(account_id=account.id, address=copy.sender, created_at=copy.arrived)
        news.say(f"I take {copy.sender} as your address; mail from any other I ask about first.")
    mail = await _bind(copy, account, bound[0]) if bound else await _watch(copy, account, news)
    if mail is None:
        return "ignored", []
    await keep_orders(copy.tag, account, mail, copy.sent, copy.arrived, news)
    await post_cards(mail, places, copy.services.now())
    return "arming" if bound else "watched", [mail]


_GMAIL_ASKS = "forwarding-noreply@google.com"
_GMAIL_CODE = re.compile(r"\(?#(\d{6,12})\)?")


def _tell_forwarding_code(copy: _Copy, news: News) -> bool:
    """Gmail sends a code to whoever its owner wants to have mail forwarded to, and waits for it."""
    found = _GMAIL_CODE.search(copy.subject)
    if copy.sender != _GMAIL_ASKS or found is None:
        return False
    news.say(
        f"Gmail asks whether mail may be forwarded to your public address. If you set that up just now, type "
        f"this code in Gmail under Settings, Forwarding: {found[1]}"
    )
    return True


def _can_be(mail: Message, copy: _Copy) -> bool:
    """Whether the copy is of this mail, and does not only quote it: it was not sent before."""
    if mail.captured_at is not None or mail.handed_over_at is not None:
        return False
    return mail.armed_at is None or mail.armed_at > copy.sent - SENT_LONG_BEFORE


def _hold(copy: _Copy, news: News) -> tuple[str, list[Message]]:
    name = shorten(copy.subject, 80) or "without a subject"
    news.say(
        f"I hold a mail ({name}) that came to your capture address from {copy.sender}, which I do not know "
        f"as yours. If it is, press It's mine, or type: capture mine {copy.sender}"
    )
    return "held", []


async def _bind(copy: _Copy, account: Account, mail: Message) -> Message:
    """Writes what the mail itself says over what was typed when it was made."""
    if not mail.subject or mail.origin == "link":
        mail.subject = copy.subject or mail.subject
    mail.captured_at = copy.arrived
    await Message.filter(id=mail.id).update(
        subject=mail.subject, captured_at=copy.arrived, revision=F("revision") + 1, **_headers(copy)
    )
    await add_recipients(copy.services, mail, copy.people)
    await settle_mode(account, mail, list(copy.people), off=copy.tag.off)
    return mail


async def _watch(copy: _Copy, account: Account, news: News) -> Message | None:
    """A mail without tokens of its own: only an answer to it can be seen."""
    name = f'"{shorten(copy.subject, 80)}"' if copy.subject else "A mail without a subject"
    if copy.tag.off:
        news.say(f"{name} has no pixel or link of mine in it, and is not watched either, as you asked.")
        return None
    mail = await Message.create(
        account=account, code=new_code(), subject=copy.subject, origin="capture", mode="watch",
        created_at=copy.arrived, arms_at=copy.sent, armed_at=copy.sent, armed_by="capture",
        captured_at=copy.arrived, **_headers(copy),
    )  # fmt: skip
    await add_recipients(copy.services, mail, copy.people, keep_tokens=True)
    news.say(f"{name} is watched for a reply only: there is no pixel or link of mine in it.")
    return mail


def _headers(copy: _Copy) -> dict[str, Any]:
    return {
        "message_id_header": clean_line(copy.parsed.message_id, 998) or None,
        "sent_at": copy.sent,
        "from_address": copy.sender,
    }
