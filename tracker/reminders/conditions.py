"""Whether a reminder has something to say: the rule, pure, with the clock as an argument.

A reply or a bounce ends every condition; `always` comes whatever happened. Asked when it is due, and whenever
something happened to its mail.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

LONGEST_WAIT = dt.timedelta(days=60)  # for an open or a click that a reminder waits for


@dataclass(frozen=True)
class State:
    """What is known of a mail, or of the one recipient that a reminder is about."""

    opened_at: dt.datetime | None = None  # first open or click that counts: a click opens
    clicked_at: dt.datetime | None = None
    replied: bool = False
    bounced: bool = False
    doubt: str | None = None  # why "no open" says nothing here, in words; None: opens can be trusted


class Action(StrEnum):
    FIRE = "fire"
    END = "end"
    WAIT = "wait"


@dataclass(frozen=True)
class Look:
    """What becomes of a reminder. `kind` is another one where opens say nothing."""

    action: Action
    kind: str
    because: str = ""  # of END: reply | bounce | met
    until: dt.datetime | None = None  # of WAIT


Due = Callable[[dt.datetime], dt.datetime]


def ended_by(kind: str, state: State) -> str | None:
    """Why the condition cannot hold any more: reply | bounce | met; None while it can."""
    if kind == "always":
        return None
    if state.replied:
        return "reply"
    if state.bounced:
        return "bounce"
    return "met" if kind == "noopen" and state.opened_at is not None else None


def look(
    kind: str, state: State, now: dt.datetime, *, after: Due | None, waited: bool, since: dt.datetime
) -> Look:
    """What to do with a reminder that is due.

    One about opened or clicked mail whose open is not there yet goes on waiting: then the time that was
    ordered counts from the open, by `after`; without it (a fixed day and time) it ends. `waited` says that it
    waits like that already, `since` when it was ordered.
    """
    because = ended_by(kind, state)
    if because is not None:
        return Look(Action.END, kind, because)
    if kind == "noopen" and state.doubt is not None:
        return Look(Action.FIRE, "noreply")
    if kind not in ("open", "click"):
        return Look(Action.FIRE, kind)
    happened = state.opened_at if kind == "open" else state.clicked_at
    if happened is None:
        if after is None or now - since >= LONGEST_WAIT:
            return Look(Action.END, kind, "met")
        return Look(Action.WAIT, kind, until=max(after(now), now + dt.timedelta(minutes=1)))
    if waited and after is not None and after(happened) > now:
        return Look(Action.WAIT, kind, until=after(happened))
    return Look(Action.FIRE, kind)
