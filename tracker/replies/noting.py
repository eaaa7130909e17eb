"""What follows from an answer: who replied or was not reached, what was confirmed, which reminders end.

Called by tracker/mail/capture.py and tracker/replies/arriving.py once they know whose mail it answers, inside
their transaction. The same mail is noted once, whichever way it came first. No body is ever stored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from tortoise.expressions import F, Q

from models import Captured, Destination, Hit, Message, Recipient
from tracker.insights.stale import mark_stale
from tracker.mail.binding import post_cards
from tracker.mail.draft import clean_line, read_address
from tracker.mail.news import News
from tracker.mail.parsing import Parsed
from tracker.reminders.ordering import settle_reminders
from tracker.replies.kinds import says_away
from tracker.replies.matching import Match, left_at

MOST_WHY = 200


@dataclass(frozen=True)
class Answer:
    """A mail that came in about one of ours. `sent` is its Date, never later than its arrival."""

    account_id: int
    key: str  # as Captured.key
    parsed: Parsed
    sent: dt.datetime
    arrived: dt.datetime
    via: str = "smtp"  # smtp | imap

    @property
    def state(self) -> str:
        """What it comes to, as Captured.state: reply | bounce | delay | auto; list and loop are none yet."""
        kind = self.parsed.kind
        if kind == "mail":
            return "auto" if says_away(self.parsed.subject) else "reply"
        if kind in ("bounce", "delay"):
            return kind
        return "auto" if kind in ("auto", "bulk") else kind


async def store_answer(answer: Answer, match: Match, places: Sequence[Destination], news: News) -> str:
    """Writes what the answer means; its state. `news` gets what there is to ring; whoever calls posts it."""
    message, sender, state = match.message, read_address(answer.parsed.sender), answer.state
    who = await Recipient.get_or_none(message_id=message.id, address=sender) if sender else None
    if state == "list":  # through a mailing list: a reply of whom we wrote to, and nobody else's
        state = "reply" if who is not None else "ignored"
    elif state == "loop":
        state = "ignored"
    captured = await Captured.create(
        account_id=answer.account_id, key=answer.key, state=state, message=message, from_address=sender,
        recipient=who, via=answer.via, guessed=match.guessed, at=answer.arrived,
        facts={"sent": answer.sent.timestamp()} if state == "reply" else None,
    )  # fmt: skip
    if state == "reply":
        await _note_reply(answer, captured, message, who, guessed=match.guessed)
        after = (answer.sent - left_at(message)).total_seconds()
        guessed = {"guessed": True, "captured": captured.id} if match.guessed else {}
        facts = {"who": sender, "after": max(0, int(after)), **guessed}
        news.ring("reply", who, answer.sent, facts)
    elif state == "bounce":
        await _note_bounce(answer, captured, message, news, guessed=match.guessed)
    elif state in ("delay", "auto"):
        await _note_quietly(answer, state, message, who)
    if state in ("reply", "bounce"):
        await message.refresh_from_db()
        await settle_reminders(message, answer.arrived)
    if state != "ignored":
        await post_cards(message, places, answer.arrived)
    return state


async def _note_reply(
    answer: Answer, captured: Captured, message: Message, who: Recipient | None, *, guessed: bool
) -> None:
    """Closes the mail, confirms what this recipient opened before, and ends what waited for a reply."""
    at = answer.sent
    if who is not None:
        first = Q(replied_at__isnull=True) | Q(replied_at__gt=at)
        await Recipient.filter(first, id=who.id).update(replied_at=at)
        await _remember(who, reply_guessed=True if guessed and who.replied_at is None else None)
        await Hit.filter(
            message_id=message.id, recipient_id=who.id, kind="open", at__lte=at,
            verdict__in=("privacy", "unknown"), confirmed_by__isnull=True,
        ).update(confirmed_by=f"reply:{captured.id}")  # fmt: skip
    first = Q(replied_at__isnull=True) | Q(replied_at__gt=at)
    await Message.filter(first, id=message.id).update(replied_at=at, closed_at=at)
    older = Q(last_event_at__isnull=True) | Q(last_event_at__lt=at)
    await Message.filter(older, id=message.id).update(last_event_at=at)
    told = dict(message.details) if isinstance(message.details, dict) else {}
    if told.pop("replied_by_hand", None):  # what is seen now cannot be taken back as what was told
        await Message.filter(id=message.id).update(details=told or None)
    # Opens after it may be the sender's own, reading the reply: whoever judges now reads the mail afresh.
    await Message.filter(id=message.id).update(revision=F("revision") + 1)
    await mark_stale(message.account_id, [message.id])


async def _remember(who: Recipient, **facts: object) -> None:
    """Writes into the recipient's details; None takes a fact away."""
    known = {**(who.details if isinstance(who.details, dict) else {}), **facts}
    details = {name: value for name, value in known.items() if value is not None}
    await Recipient.filter(id=who.id).update(details=details or None)


async def _note_bounce(
    answer: Answer, captured: Captured, message: Message, news: News, *, guessed: bool
) -> None:
    """Marks whom the mail did not reach; each rings once, with the server's words."""
    people = await Recipient.filter(message_id=message.id).order_by("position", "id")
    failed = {address for one in answer.parsed.failed if (address := read_address(one))}
    hit = [one for one in people if one.address in failed] or (people if len(people) == 1 else [])
    why = clean_line(answer.parsed.why, MOST_WHY)
    facts = {"why": why, **({"guessed": True} if guessed else {})}
    new = []
    for one in hit:
        if await Recipient.filter(id=one.id, bounced_at__isnull=True).update(bounced_at=answer.sent):
            await _remember(one, bounce=why or None)
            new.append(one)
            news.ring("bounce", one, answer.sent, {"who": one.address, **facts})
    if new:
        await mark_stale(message.account_id, [message.id])
        await Captured.filter(id=captured.id).update(recipient_id=new[0].id)
    elif not hit:
        who = next(iter(sorted(failed)), None)
        news.ring("bounce", None, answer.sent, {"who": who, **facts})


async def _note_quietly(answer: Answer, state: str, message: Message, who: Recipient | None) -> None:
    """An out-of-office or a delay: the card shows it, and nothing rings."""
    people = [who] if who is not None else []
    if state == "delay":
        failed = {address for one in answer.parsed.failed if (address := read_address(one))}
        people = [one for one in await Recipient.filter(message_id=message.id) if one.address in failed]
    word = "delayed" if state == "delay" else "away"
    for one in people:
        await _remember(one, **{word: answer.sent.timestamp()})
