"""The audible messages: "Q3 proposal" was opened by ana@acme.com (2nd time).

The first line says what happened, the second what else is known. Everything from outside (subjects,
addresses, labels) is one harmless line; each chat escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.chat import Button, Kind, Reply
from bot.render.reminders import reminder_buttons, reminder_lines, reminder_sentence
from bot.render.summaries import summary_buttons, summary_lines, summary_sentence
from bot.words import duration, nth_time, one_line, plural, quoted, span

_SUMMARIES = frozenset({"morning", "weekly"})


@dataclass(frozen=True)
class Ring:
    """One alert with what its text needs from other rows."""

    event: str  # open | click | hot | revived | reply | bounce | reminder | morning | weekly | notice
    code: str | None = None  # of the mail; a notice may have none
    subject: str = ""
    recipient: str | None = None  # address; None where several share the pixel or link
    ordinal: int | None = None
    label: str | None = None  # of the clicked link: "acme.com/deck"
    facts: Mapping[str, Any] = field(default_factory=dict)
    hit: str | None = None  # uid of the request that it is about, where it is about one

    @property
    def data(self) -> dict[str, Any]:
        """The console's machine-readable part."""
        return {
            "event": self.event,
            "recipient": self.recipient,
            "count": self.ordinal,
            "message": self.code,
        }

    @property
    def fixed(self) -> str | None:
        """What this ring was corrected to, after it rang."""
        text = self.facts.get("fixed")
        return one_line(str(text), 300) if text else None


def ring(one: Ring) -> Reply:
    """The audible message of one alert."""
    times = f" ({nth_time(one.ordinal)})" if one.ordinal and one.ordinal > 1 and _counts(one) else ""
    known = _known(one)
    lines: tuple[str, ...] = (known,) if known else ()
    if one.event == "reminder":
        lines = reminder_lines(one.facts)
    elif one.event in _SUMMARIES:
        lines = summary_lines(one.facts)
    return Reply(
        title=sentence(one) + times,
        lines=lines,
        buttons=_buttons(one),
        kind=Kind.DIGEST if one.event in _SUMMARIES else Kind.ALERT,
        data=one.data,
    )


def correction(one: Ring, text: str) -> Reply:
    """What replaces a ring that was judged anew; `text` says what it was instead."""
    return Reply(
        title=one_line(text, 300),
        buttons=((Button("Details", f"show {one.code}"), Button("Why?", f"why {one.code}")),)
        if one.code
        else (),
        kind=Kind.ALERT,
        data={**one.data, "corrected": True},
    )


def forgotten(text: str) -> Reply:
    """What replaces a message about something that is forgotten: no buttons, nothing of what it was."""
    return Reply(title=one_line(text, 300), kind=Kind.ALERT, data={"event": "notice", "forgotten": True})


def withdrawal(one: Ring) -> str:
    """The correction of a ring that was judged anew while it was on its way."""
    return f"Correction: {sentence(one)} does not count any more; it was judged anew."


def plain(reply: Reply) -> Reply:
    """The same words without anything a platform could refuse: one text, no buttons, no links."""
    return Reply(title=one_line(reply.text, 500), kind=reply.kind, private=reply.private, data=reply.data)


def sentence(one: Ring) -> str:
    """What happened, in one line, without the count."""
    mail, who = quoted(one.subject), _who(one)
    if one.event == "open":
        return f"{mail} was opened" + (f" by {who}" if who else "")
    if one.event == "click":
        return f"{mail}: {who or 'someone'} clicked {_label(one)}"
    if one.event == "hot":
        opens = plural(one.ordinal, "open") if one.ordinal else "several opens"
        return f"{mail} is hot: {opens} by {who or 'someone'} within a day"
    if one.event == "revived":
        return f"{mail} is back after {_silence(one)}: opened by {who or 'someone'}"
    if one.event == "reply":
        return f"{who or 'Someone'} {_maybe(one)}replied to {mail}"
    if one.event == "bounce":
        return f"{mail} {_maybe(one)}did not reach {who or 'a recipient'}"
    if one.event in _SUMMARIES:
        return summary_sentence(one.event, one.facts)
    if one.event == "reminder":
        return reminder_sentence(one.subject, who, one.facts)
    return _notice_text(one) or f"News about {mail}"


def _counts(one: Ring) -> bool:
    return one.event in ("open", "click")


def _maybe(one: Ring) -> str:
    """For what only a subject and an address tell."""
    return "probably " if one.facts.get("guessed") else ""


def _who(one: Ring) -> str:
    return one_line(one.recipient or str(one.facts.get("who") or ""), 64)


def _label(one: Ring) -> str:
    return one_line(one.label or str(one.facts.get("label") or ""), 64) or "a link"


def _silence(one: Ring) -> str:
    days = one.facts.get("silent_days")
    return f"{days} silent days" if isinstance(days, int) else "a long silence"


def _notice_text(one: Ring) -> str:
    return one_line(str(one.facts.get("text") or ""), 1000)


def _known(one: Ring) -> str:
    """The second line: how long after sending, with which client, through which proxy."""
    facts = one.facts
    parts = []
    if _counts(one) and facts.get("hot"):
        parts.append("hot now: 3 opens within a day")
    if _counts(one) and isinstance(facts.get("silent_days"), int):
        parts.append(f"is back after {facts['silent_days']} days")
    after = facts.get("after")
    if isinstance(after, (int, float)) and 0 <= after < 1e9 and (_counts(one) or one.event == "reply"):
        length = span(after) if one.event == "reply" and after >= 60 else duration(after)
        parts.append(f"{length} after sending")
    if facts.get("via"):
        parts.append(f"via {one_line(str(facts['via']), 40)}")
    elif facts.get("client"):
        parts.append(one_line(str(facts["client"]), 60))
    if one.event == "bounce" and facts.get("why"):
        parts.append(one_line(str(facts["why"]), 200))
    if facts.get("guessed"):
        parts.append("known by subject and address alone")
    return " · ".join(parts)


_OF_HITS = frozenset({"open", "click", "hot", "revived"})


def _buttons(one: Ring) -> tuple[tuple[Button, ...], ...]:
    if one.event == "notice" and one.facts.get("buttons"):
        return (tuple(Button(str(text), str(action)) for text, action in one.facts["buttons"]),)
    if one.event in _SUMMARIES:
        return summary_buttons(one.facts)
    if one.code is None:
        return ()
    if one.event == "reminder":
        return reminder_buttons(one.code, one.facts)
    # Muting for an hour, or the person, is offered by the answer to Mute: a ring is short.
    details, mute = Button("Details", f"show {one.code}"), Button("Mute", f"mute {one.code}")
    if one.event == "reply" and one.facts.get("captured"):
        return ((details, mute, Button("Not a reply", f"notreply {one.facts['captured']}")),)
    if one.hit is None or one.event not in _OF_HITS:
        return ((details, mute),)
    return (
        (details, Button("Why?", f"why {one.code}"), mute),
        (
            Button("Remind me ▾", f"remind {one.code}"),
            Button("That was me", f"me {one.hit}"),
            Button("Not a person", f"machine {one.hit}"),
        ),
    )
