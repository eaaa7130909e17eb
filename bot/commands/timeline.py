"""`show`: one mail in full: each recipient's state, what was counted, and the last events with reasons."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence

from bot.chat import Button, Reply
from bot.commands.arguments import own_mail
from bot.commands.registry import Command, CommandError, Request
from bot.commands.reminders import reminders_of
from bot.commands.sides import told_of_sides
from bot.render import card
from bot.words import ago, moment, one_line, quoted, zone_of
from models import Hit, Message, Recipient
from tracker.hits.reasons import sentence
from tracker.hits.verdicts import Verdict
from tracker.insights.lists import list_messages, search_messages
from tracker.insights.snapshot import Snapshot, snapshot

EVENTS = 12


async def answer_show(request: Request) -> Reply:
    """`show CODE`, or words that only one mail has; alone the newest mail."""
    message = await find_mail(request, request.arguments)
    found = await snapshot(message.id)
    if found is None:
        raise CommandError(f"that mail ({message.code}) is gone")
    now, zone = request.services.now(), zone_of(request.account.timezone)
    hits, sides = await asyncio.gather(
        Hit.filter(message_id=message.id).order_by("-at", "-id").limit(EVENTS),
        told_of_sides(request.account, found.recipients, found.message.mode),
    )
    lines = [
        _standing(found, now, zone),
        *card(found, now, zone).lines,
        *_privacy(found),
        *sides,
        *_counted(found.message),
        *await reminders_of(found.message, now, zone),
    ]
    if hits:
        lines += ["Last events:", *(_event(hit, found, now, zone) for hit in hits)]
    return Reply(
        title=f"{quoted(message.subject)} ({message.code})",
        lines=tuple(lines),
        buttons=_buttons(found.message, now),
        data=_data(found),
    )


async def find_mail(request: Request, words: str) -> Message:
    """By code; else the one mail that the words fit, or a choice; without words the newest."""
    if not words:
        newest = await list_messages(request.account, limit=1)
        if not newest:
            raise CommandError("you have no mail yet. To make one, type: track ana@acme.com Q3 proposal")
        return newest[0]
    found = await search_messages(request.account, words[:200], 6)
    if not found:
        return await own_mail(request, words)  # says that there is none
    if len(found) > 1:
        choices = ", ".join(f"{one.code} {quoted(one.subject, 40)}" for one in found[:5])
        raise CommandError(f"several mails fit that; type the code of one: {choices}")
    return found[0]


def _standing(found: Snapshot, now: dt.datetime, zone: dt.tzinfo) -> str:
    """Since when it counts, or why not yet."""
    message = found.message
    if message.origin == "send" and message.handed_over_at is None:
        return _unsent(found.recipients)
    since = message.armed_at or (message.arms_at if message.arms_at <= now else None)
    if since is not None:
        muted = _muted(message, now, zone)
        return f"Counts since {moment(since, now, zone)} ({ago(since, now)}).{muted}"
    return (
        f"Waits for you to send it; counts by itself from {moment(message.arms_at, now, zone)}. "
        f"Sent it already? Type: sent {message.code}"
    )


def _unsent(people: Sequence[Recipient]) -> str:
    """A mail that no provider took: it still may, or it never will."""
    stopped = [isinstance(one.details, dict) and bool(one.details.get("stopped")) for one in people]
    ended = [there or one.bounced_at is not None for one, there in zip(people, stopped, strict=True)]
    if not people or not all(ended):
        return "Not with your provider yet; it counts from the moment it is taken."
    if any(stopped):
        return "Not sent: the mailbox was disconnected. Connect one, then send it again."
    return "Not sent: your provider did not take it."


def _muted(message: Message, now: dt.datetime, zone: dt.tzinfo) -> str:
    if message.muted:
        return ""  # the card says so, for good
    if message.muted_until and message.muted_until > now:
        return f" Muted until {moment(message.muted_until, now, zone)}."
    return ""


def _privacy(found: Snapshot) -> list[str]:
    """What cannot be known, in plain words."""
    apple = [
        one_line(one.address, 64)
        for one in found.recipients
        if one.loaded_at and not (one.opens or one.clicks)
    ]
    lines = [
        f"{address}: Apple Mail loaded the pixel by itself, so I can't tell whether a person looked."
        for address in apple[:5]
    ]
    if found.shares_pixel and len(found.recipients) > 1:
        lines.append("They share one pixel: I can't tell which of them opened it.")
    return lines


def _counted(message: Message) -> list[str]:
    """All and counted side by side: what lies between is what `why` explains."""
    if not (message.total_opens or message.total_clicks):
        return []
    said = (
        f"Opens: total {message.total_opens}, counted {message.opens} · "
        f"clicks: total {message.total_clicks}, counted {message.clicks}"
    )
    less = message.opens < message.total_opens or message.clicks < message.total_clicks
    return [f"{said}. Why the others do not count: why {message.code}" if less else f"{said}."]


def _event(hit: Hit, found: Snapshot, now: dt.datetime, zone: dt.tzinfo) -> str:
    people = {one.id: one.address for one in found.recipients}
    labels = {one.id: one.label for one in found.links}
    who = people.get(hit.recipient_id or 0, "")
    parts = [moment(hit.at, now, zone), _what(hit, labels.get(hit.link_id, ""))]
    if who and len(found.recipients) > 1:
        parts.append(one_line(who, 64))
    verdict = _verdict(hit)
    if hit.client and verdict is not None and verdict.counts:
        parts.append(one_line(hit.client, 60))
    said = " · ".join(parts)
    if verdict is not None and not verdict.counts:
        said += f": {one_line(sentence(hit), 200)}"
    return said


def _verdict(hit: Hit) -> Verdict | None:
    return Verdict(hit.verdict) if hit.verdict else None


def _what(hit: Hit, label: str) -> str:
    clicked = f"clicked {one_line(label, 48) or 'a link'}"
    verdict = _verdict(hit)
    if verdict is None:
        return "being looked at"
    if verdict.counts:
        return clicked if hit.kind == "click" else "opened"
    kind = f" ({one_line(label, 48) or 'a link'})" if hit.kind == "click" else ""
    return f"{verdict.said}{kind}, not counted"


def _buttons(message: Message, now: dt.datetime) -> tuple[tuple[Button, ...], ...]:
    code = message.code
    silent = message.muted or (message.muted_until is not None and message.muted_until > now)
    first = [Button("Ring again", f"unmute {code}") if silent else Button("Mute", f"mute {code}")]
    first.insert(0, Button("Why?", f"why {code}"))
    if message.armed_at is None and message.arms_at > now and message.origin != "send":
        first.insert(0, Button("Sent", f"sent {code}"))
    return ((*first, Button("Refresh", f"show {code}"), Button("Forget", f"forget {code}")),)


def _data(found: Snapshot) -> dict[str, object]:
    message = found.message
    return {
        "message": message.code,
        "opens": message.opens,
        "clicks": message.clicks,
        "total_opens": message.total_opens,
        "total_clicks": message.total_clicks,
        "recipients": [
            {"address": one.address, "opens": one.opens, "clicks": one.clicks} for one in found.recipients
        ],
    }


SHOW = Command(
    verb="show",
    summary="One mail: who opened, who clicked, and when",
    usage="[CODE]",
    handler=answer_show,
    details=(
        "Words from the subject do as well; alone it is your newest mail.",
        "What did not count is listed with the reason.",
    ),
    examples=("show", "show k7m2qx", "show Q3 proposal"),
)
