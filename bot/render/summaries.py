"""How the morning summary and the weekly digest read. Pure; tracker/summaries.py gathers what they tell.

What asks for something to be done stands first: answers, what did not arrive, what is due, who is hot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.chat import Button
from bot.words import duration, listed, one_line, plural, quoted

Facts = Mapping[str, Any]


def summary_sentence(event: str, facts: Facts) -> str:
    """The first line."""
    opens, clicks, replied = _number(facts, "opens"), _number(facts, "clicks"), _number(facts, "replied")
    seen = [plural(count, noun) for count, noun in ((opens, "open"), (clicks, "click")) if count]
    said = [f"{' and '.join(seen)} of {plural(_number(facts, 'seen'), 'mail')}"] if seen else []
    said += [plural(replied, "reply", "replies")] if replied else []
    if event == "weekly":
        sent, opened = _number(facts, "sent"), _number(facts, "opened")
        first = [f"{plural(sent, 'mail')} sent, {opened} of them opened"] if sent else []
        return f"Your week: {listed([*first, *said], 9) or 'nothing happened to your mails'}."
    since = _number(facts, "since")
    period = "since yesterday" if since <= 90_000 else f"in the last {duration(since)}"
    return f"Good morning! {listed(said, 9)} {period}." if said else f"Good morning! No open seen {period}."


def summary_lines(facts: Facts) -> tuple[str, ...]:
    """A line for each thing, most urgent first; each kind with its count where not all are named."""
    lines = [f"Answer {_who(one)}, who replied to {_mail(one)}" for one in _rows(facts, "replies")]
    lines += _more(facts, "replied", "replies", "more replies")
    lines += [f"{_mail(one)} did not reach {_who(one)}" for one in _rows(facts, "bounces")]
    lines += _more(facts, "bounced", "bounces", "more that did not arrive")
    lines += [_due(one) for one in _rows(facts, "due")]
    lines += _more(facts, "waiting", "due", "more reminders")
    lines += [f"Hot: {_who(one)} opened {_mail(one)} ×{_number(one, 'opens')}" for one in _rows(facts, "hot")]
    busiest = [f"{_mail(one)} {_counts(one)}" for one in _rows(facts, "mails")]
    if busiest:
        rest = _number(facts, "seen") - len(busiest)
        lines.append(
            "Seen: " + ", ".join(busiest) + (f" and {plural(rest, 'more mail')}" if rest > 0 else "")
        )
    return tuple(one_line(line, 500) for line in lines)


def summary_buttons(facts: Facts) -> tuple[tuple[Button, ...], ...]:
    """To the lists behind it."""
    reminders = (Button("Reminders", "reminders"),) if _number(facts, "waiting") else ()
    return ((*reminders, Button("My mails", "list opened"), Button("Stats", "stats 7d")),)


def _due(row: Facts) -> str:
    waits = {
        "noreply": "no reply yet", "noopen": "no open seen", "open": "opened, no reply",
        "click": "clicked, no reply",
    }  # fmt: skip
    own = one_line(str(row.get("own") or ""), 100)
    when = f"at {row['at']}" if row.get("at") else "rang already"
    parts = [_mail(row), own, waits.get(str(row.get("kind")), ""), when]
    return "Reminder: " + " · ".join(filter(None, parts))


def _counts(row: Facts) -> str:
    opens, clicks = _number(row, "opens"), _number(row, "clicks")
    parts = [f"opened ×{opens}" if opens else "", f"clicked ×{clicks}" if clicks else ""]
    return " and ".join(filter(None, parts))


def _more(facts: Facts, total: str, shown: str, noun: str) -> list[str]:
    rest = _number(facts, total) - len(_rows(facts, shown))
    return [f"and {rest} {noun}"] if rest > 0 else []


def _rows(facts: Facts, name: str) -> list[Facts]:
    rows = facts.get(name)
    return [one for one in rows if isinstance(one, Mapping)] if isinstance(rows, list) else []


def _number(facts: Facts, name: str) -> int:
    value = facts.get(name)
    return int(value) if isinstance(value, (int, float)) else 0


def _mail(row: Facts) -> str:
    return f"{quoted(str(row.get('subject') or ''), 50)} ({row.get('code')})"


def _who(row: Facts) -> str:
    return one_line(str(row.get("who") or "somebody"), 64)
