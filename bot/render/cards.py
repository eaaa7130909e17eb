"""The card: the standing message about one mail, a row for each recipient.

Its text only changes with events, never with the time that passes: what is rendered again without news must
come out the same, since `fingerprint` decides whether the chat is asked to edit.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

from bot.chat import Button, Kind, Reply
from bot.words import one_line, plural, quoted, span
from models import Link, Message, Recipient
from tracker.insights.snapshot import Snapshot
from tracker.replies.matching import left_at

MOST_ROWS = 20  # recipients on one card; the rest is in `show`
MOST_LINKS = 5


def card(snapshot: Snapshot, now: dt.datetime, zone: dt.tzinfo | None = None) -> Reply:
    """The card of a mail; `zone` is the account's own, and without it no clock times are shown."""
    message = snapshot.message
    lines = [
        *_summary(snapshot, now, zone),
        *_rows(snapshot, now, zone),
        *_answered(snapshot),
        *_clicked(snapshot.links),
    ]
    mute = Button("Mute", f"mute {message.code}")
    if message.muted:
        lines.append("muted: it counts and does not ring")
        mute = Button("Ring again", f"unmute {message.code}")
    return Reply(
        title=f"{quoted(message.subject)} ({message.code})",
        lines=tuple(lines),
        buttons=_buttons(message, mute),
        kind=Kind.CARD,
        data={"message": message.code},
    )


def _buttons(message: Message, mute: Button) -> tuple[tuple[Button, ...], ...]:
    code = message.code
    if not (message.total_opens or message.total_clicks):
        return ((Button("Details", f"show {code}"), mute), (*_remind(code), *_replied(message)))
    return (
        (Button("Details", f"show {code}"), Button("Why?", f"why {code}"), mute),
        (*_remind(code), Button("That was me", f"me {code}"), *_replied(message)),
    )


def _remind(code: str) -> tuple[Button, ...]:
    return (Button("Remind me ▾", f"remind {code}"),)


def _replied(message: Message) -> tuple[Button, ...]:
    """For a reply that nobody here could see; what was told by hand can be taken back."""
    if message.replied_at is None:
        return (Button("Replied", f"replied {message.code}"),)
    told = isinstance(message.details, dict) and message.details.get("replied_by_hand")
    return (Button("Not replied", f"replied {message.code} off"),) if told else ()


def fingerprint(reply: Reply) -> str:
    """What a chat shows of `reply`, in 32 characters: equal ones need no edit."""
    seen = repr((reply.text, reply.buttons))
    return hashlib.blake2b(seen.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _summary(snapshot: Snapshot, now: dt.datetime, zone: dt.tzinfo | None) -> list[str]:
    """The line for what belongs to no single recipient: a shared pixel, or a mail to nobody we know."""
    message, people = snapshot.message, snapshot.recipients
    if message.mode == "off":
        return ["not tracked"]
    if message.mode == "watch":
        return ["watched for a reply only"]
    if not snapshot.shares_pixel:
        return []
    # The mail's counters are sums: what no recipient accounts for came through the shared tokens.
    opens = message.opens - sum(one.opens for one in people)
    clicks = message.clicks - sum(one.clicks for one in people)
    states = _opened(opens, clicks, message.last_open_at, now, zone)
    if not states:
        states = [_nothing_yet(message.mode)]
    said = " · ".join(states)
    return [f"someone of {len(people)}: {said}" if people else said]


def _rows(snapshot: Snapshot, now: dt.datetime, zone: dt.tzinfo | None) -> list[str]:
    people = snapshot.recipients
    shown = people
    if len(people) > MOST_ROWS:
        # Whoever did something comes first; the order of the To line otherwise.
        shown = tuple(sorted(people, key=_newest, reverse=True)[:MOST_ROWS])
    rows = [_row(one, snapshot, now, zone) for one in shown]
    if len(people) > len(shown):
        rows.append(f"and {plural(len(people) - len(shown), 'recipient')} more: show {snapshot.message.code}")
    return rows


def _row(recipient: Recipient, snapshot: Snapshot, now: dt.datetime, zone: dt.tzinfo | None) -> str:
    message = snapshot.message
    states = [word for word, holds in _steps(recipient, message, now) if holds]
    states += _opened(recipient.opens, recipient.clicks, recipient.last_open_at, now, zone)
    states += _answer(recipient, message)
    if recipient.opted_out_at:
        states.append("opted out")
    tracked_alone = not snapshot.shares_pixel and message.mode not in ("off", "watch")
    settled = recipient.opens or recipient.clicks or recipient.replied_at or recipient.bounced_at
    settled = settled or (message.origin == "send" and recipient.handed_over_at is None)
    if _details(recipient).get("mode") == "off":
        states.append("not tracked")
    elif tracked_alone and not settled and not recipient.loaded_at and not recipient.opted_out_at:
        states.append(_nothing_yet(str(_details(recipient).get("mode") or message.mode)))
    return ": ".join(filter(None, (one_line(recipient.address, 64), " · ".join(states))))


def _steps(recipient: Recipient, message: Message, now: dt.datetime) -> tuple[tuple[str, bool], ...]:
    """What happened before anybody looked, in order."""
    bounced, known = recipient.bounced_at is not None, _details(recipient)
    seen = recipient.opens or recipient.clicks or recipient.replied_at
    why = one_line(str(known.get("bounce") or ""), 80)
    told = message.armed_at or message.captured_at or message.handed_over_at or recipient.handed_over_at
    waits = message.origin == "send" and recipient.handed_over_at is None
    left = not waits and (told is not None or message.arms_at <= now)
    stopped = bool(known.get("stopped"))
    return (
        ("waiting to be sent", waits and not (bounced or stopped)),
        ("not sent: the mailbox was disconnected", waits and stopped and not bounced),
        ("sent", left and not bounced),
        ("maybe twice", bool(known.get("maybe_twice"))),
        ("delivery delayed", "delayed" in known and not (bounced or seen)),
        (f"did not arrive ({why})" if why else "did not arrive", bounced),
        ("loaded by Apple", recipient.loaded_at is not None),
    )


def _details(row: Recipient | Message) -> dict[str, Any]:
    return row.details if isinstance(row.details, dict) else {}


def _answer(recipient: Recipient, message: Message) -> list[str]:
    """Whether they replied, and how long after sending; an out-of-office is none."""
    if recipient.replied_at is None:
        return ["auto-reply only"] if "away" in _details(recipient) else []
    guessed = "probably " if _details(recipient).get("reply_guessed") else ""
    return [f"{guessed}{_replied_after(recipient.replied_at, message)}"]


def _replied_after(at: dt.datetime, message: Message) -> str:
    """Told by hand, the moment says nothing."""
    by_hand = _details(message).get("replied_by_hand")
    length = at - left_at(message)
    if by_hand or length < dt.timedelta(minutes=1):
        return "replied" if by_hand else "replied within a minute"
    return f"replied after {span(length)}"


def _answered(snapshot: Snapshot) -> list[str]:
    """The line for a reply that is none of the recipients'."""
    message, people = snapshot.message, snapshot.recipients
    if message.replied_at is None or any(one.replied_at for one in people):
        return []
    said = _replied_after(message.replied_at, message)
    return [said if not people or said == "replied" else f"somebody else {said}"]


def _opened(
    opens: int, clicks: int, last: dt.datetime | None, now: dt.datetime, zone: dt.tzinfo | None
) -> list[str]:
    """A click opens, even where no open was seen; the count of opens stays what it is."""
    states = []
    if opens > 0:
        when = f" (last {_stamp(last, now, zone)})" if last and zone else ""
        states.append(f"opened ×{opens}{when}")
    elif clicks > 0:
        states.append("opened")
    if clicks > 0:
        states.append("clicked" if clicks == 1 else f"clicked ×{clicks}")
    return states


def _stamp(at: dt.datetime, now: dt.datetime, zone: dt.tzinfo) -> str:
    """A time that reads the same tomorrow: no "today"."""
    here = at.astimezone(zone)
    year = "" if here.year == now.astimezone(zone).year else f" {here.year}"
    return f"{here:%a} {here.day} {here:%b}{year} {here:%H:%M}"


def _nothing_yet(mode: str) -> str:
    return "clicks only, none seen" if mode == "clicks" else "no open seen"


def _newest(recipient: Recipient) -> int:
    moments = (recipient.last_open_at, recipient.last_click_at, recipient.replied_at, recipient.bounced_at)
    return max((int(one.timestamp()) for one in moments if one), default=0)


def _clicked(links: tuple[Link, ...]) -> list[str]:
    """Which links were clicked, where there are several to tell apart."""
    counts: dict[str, int] = {}
    for link in links:
        if link.kind == "click":
            label = one_line(link.label or "a link", 48)
            counts[label] = counts.get(label, 0) + link.counted
    clicked = [f"{label} ×{count}" for label, count in counts.items() if count]
    if not clicked or len(counts) < 2:
        return []
    more = f" and {len(clicked) - MOST_LINKS} more" if len(clicked) > MOST_LINKS else ""
    return ["clicked: " + ", ".join(clicked[:MOST_LINKS]) + more]
