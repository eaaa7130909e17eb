"""What the relay tells in chat: why a mail is not tracked, that it is late, refused, or maybe there twice.

Called by tracker/sending within the transaction of what happened, so that nothing is told twice and nothing
is lost. Each sentence says what to do. Subjects, addresses and the provider's words are plain text here; each
chat escapes them. Never holds a credential.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from models import Alert, Destination, Mailbox, Message, Outgoing
from tracker.destinations import choose
from tracker.mail.draft import clean_line, shorten

LATE_AFTER = dt.timedelta(minutes=15)
_MOST_NAMED = 3
_CONNECT = (("Connect", "connect"),)


@dataclass(frozen=True)
class Notice:
    """One thing to tell an account. `key` makes it one: what was told with it is not told again."""

    account_id: int
    key: str
    text: str
    message_id: int | None = None
    recipient_id: int | None = None
    urgent: bool = False  # rings in quiet hours too: mail does not go out
    buttons: tuple[tuple[str, str], ...] = ()  # text and action


async def post(notices: Sequence[Notice], now: dt.datetime) -> None:
    """Writes the outbox rows, one for each chat that takes notices. Within the caller's transaction."""
    if not notices:
        return
    accounts = {one.account_id for one in notices}
    places = await Destination.filter(account_id__in=list(accounts), off_at__isnull=True).order_by("id")
    chosen = {
        account: choose([one for one in places if one.account_id == account], "notice")
        for account in accounts
    }
    await Alert.bulk_create(
        (
            Alert(
                account_id=one.account_id, destination_id=place.id, message_id=one.message_id,
                recipient_id=one.recipient_id, event_key=one.key[:64], event="notice", at=now, due_at=now,
                facts=_facts(one),
            )
            for one in notices
            for place in chosen[one.account_id]
        ),
        ignore_conflicts=True,
    )  # fmt: skip


def _facts(one: Notice) -> dict[str, object]:
    facts: dict[str, object] = {"text": one.text}
    if one.urgent:
        facts["urgent"] = True
    if one.buttons:
        facts["buttons"] = [list(button) for button in one.buttons]
    return facts


def named(subject: str) -> str:
    """A mail as sentences call it."""
    line = clean_line(subject)
    return f'"{shorten(line, 80)}"' if line else "A mail without a subject"


def untracked(subject: str, reason: str) -> str:
    """Said once for a mail that goes as it is."""
    return f"{named(subject)} goes out as you wrote it, not tracked: {reason}. I watch it for a reply."


def bound(subject: str) -> str:
    """Said of a mail that came with the pixel and links of the copy page in it."""
    return f"{named(subject)} has its pixel and links in it already, so it goes out as it is."


def late(rows: Sequence[Outgoing], message: Message | None) -> Notice:
    """Copies of one mail that have not left for a quarter of an hour."""
    words = next((one.last_error for one in rows if one.last_error), None)
    why = f" {_why(words)}" if words else ""
    text = (
        f"{_mail(message)} to {_who(rows)} is late.{why} I go on trying for 5 days and tell you how it ends."
    )
    return _notice("late", rows[0], message, text)


def failed(row: Outgoing, message: Message | None, words: str) -> Notice:
    """A copy that the provider refused for good."""
    text = (
        f"{_mail(message)} was not delivered to {_address(row)}. {_why(words)} "
        "I do not try again; check the address, then send it anew."
    )
    return _notice("failed", row, message, text)


def expired(row: Outgoing, message: Message | None, words: str) -> Notice:
    """A copy that could not be handed over within five days."""
    text = (
        f"{_mail(message)} was not delivered to {_address(row)}: I tried for 5 days. The last answer was: "
        f"{words}. Send it anew once that is solved."
    )
    return _notice("failed", row, message, text)


def lost(row: Outgoing, message: Message | None) -> Notice:
    """A copy whose mail is not in the spool any more."""
    text = f"{_mail(message)} was not delivered to {_address(row)}: its copy here is gone. Send it anew."
    return _notice("failed", row, message, text)


def maybe_twice(row: Outgoing, message: Message | None) -> Notice:
    """A copy that the provider may have taken before the connection was lost."""
    text = (
        f"{_mail(message)} may have arrived twice at {_address(row)}: the provider's answer got lost, so I "
        "send it again rather than lose it."
    )
    return _notice("twice", row, message, text)


def handed_in_twice(row: Outgoing, message: Message | None) -> Notice:
    """A mail program that did not hear our answer, or whose user pressed send again."""
    text = (
        f"{_mail(message)} came from your mail program twice for {_address(row)}, "
        "so it may arrive there twice."
    )
    return _notice("twice", row, message, text)


def refused_login(mailbox: Mailbox, words: str, since: dt.datetime) -> Notice:
    """The provider does not let the user in: said once until the mailbox is connected anew."""
    text = (
        f"Your provider refuses the login of {clean_line(mailbox.address, 100)}: {words}. Your mails wait "
        "here and none is lost. Type connect to log in again; they go out at once then."
    )
    key = f"login:{mailbox.id}:{int(since.timestamp())}"
    return Notice(mailbox.account_id, key, text, urgent=True, buttons=_CONNECT)


def no_mailbox(row: Outgoing) -> Notice:
    """A mail whose mailbox was disconnected meanwhile; its sender may be another address of that one's owner.

    Only a mailbox with the sender's very address takes it over.
    """
    sender = clean_line(row.sender, 100)
    text = (
        f"A mail to {_address(row)} waits: no mailbox with the address {sender} is connected. Type connect "
        f"and connect {sender} itself, and it goes out; or send it again through a mailbox that is "
        "connected. I keep it for 5 days."
    )
    return Notice(row.account_id, f"unconnected:{row.spool}", text, row.message_id, buttons=_CONNECT)


def _notice(kind: str, row: Outgoing, message: Message | None, text: str) -> Notice:
    return Notice(row.account_id, f"{kind}:{row.id}", text, message.id if message else None, row.recipient_id)


def _why(words: str) -> str:
    """The provider's words as such; what went wrong on the way to it is ours to say."""
    return f"Your provider says: {words}." if words[:3].isdigit() else f"What happened: {words}."


def _mail(message: Message | None) -> str:
    return named(message.subject) if message else "A mail"


def _address(row: Outgoing) -> str:
    return clean_line(row.address, 100)


def _who(rows: Sequence[Outgoing]) -> str:
    shown = [_address(one) for one in rows[:_MOST_NAMED]]
    more = len(rows) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
