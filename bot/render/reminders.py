"""How a reminder rings: what did not happen, how long ago the mail left, and the owner's own words.

Pure; called by bot/render/rings.py for alerts of the event "reminder".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.chat import Button
from bot.words import duration, one_line, plural, quoted

Facts = Mapping[str, Any]


def reminder_sentence(subject: str, who: str, facts: Facts) -> str:
    """The first line. `who` may be empty: a mail to nobody we know."""
    mail, kind = quoted(subject), facts.get("kind")
    own = one_line(str(facts.get("own") or ""), 200)
    if kind == "noreply":
        said = f"no reply to {mail}" + (f" from {who}" if who else "") + " yet"
    elif kind == "noopen":
        said = f"no open of {mail}" + (f" by {who}" if who else "") + " seen yet"
    elif kind in ("open", "click"):
        did = "opened" if kind == "open" else "clicked in"
        opens = facts.get("opens") if kind == "open" else None
        times = f" ({plural(opens, 'open')})" if isinstance(opens, int) and opens > 1 else ""
        said = f"{who or 'somebody'} {did} {mail}{times} and did not reply"
    else:
        said = f"{mail} to {who}" if who else mail
    return f"Reminder: {own} – {said}" if own else f"Reminder: {said}"


def reminder_lines(facts: Facts) -> tuple[str, ...]:
    """What else there is to know: when it was sent, why another condition, how late."""
    lines = []
    sent = facts.get("sent_ago")
    if isinstance(sent, (int, float)) and 0 <= sent < 1e10:
        lines.append(f"sent {duration(sent)} ago")
    if facts.get("was_kind") == "noopen":
        why = one_line(str(facts.get("doubt") or "they are not reliable here"), 200)
        lines.append(f"You asked about opens, and they say nothing here ({why}): I watched for a reply.")
    late = facts.get("late")
    if isinstance(late, (int, float)) and late > 0:
        lines.append(f"This comes {duration(late)} late.")
    return tuple(lines)


def reminder_buttons(code: str, facts: Facts) -> tuple[tuple[Button, ...], ...]:
    """Snooze, done and details; where it hangs on a reply, a way to say that there was one."""
    number = facts.get("reminder")
    which = f"#{number}" if isinstance(number, int) else code
    first = (
        Button("Snooze 1d", f"snooze {which} 1d"),
        Button("Done", f"done {which}"),
        Button("Details", f"show {code}"),
    )
    if facts.get("kind") == "always":
        return (first,)
    return (first, (Button("Replied", f"replied {code}"),))
