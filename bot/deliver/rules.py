"""When an alert rings, waits, is held, falls silent or is folded; and how long to wait after a failure.

Pure: the clock and the random number are arguments. Called by bot/deliver/turn.py for the oldest alert that
is due. What the judge already decided (all, important, first, none) is not asked again here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

WINDOW = dt.timedelta(minutes=10)
MOST_AUDIBLE = 10  # in one window; what comes beyond goes into digests
GATHER = dt.timedelta(seconds=2)  # a digest waits that long for company
DIGEST_STEP = dt.timedelta(seconds=15)  # the n-th digest of a window waits n times that after the one before

FIRST_WAIT = 2.0  # seconds
LONGEST_WAIT = 600.0
LONGEST_ASKED = 3600.0  # of what a chat asks for; then it is asked again
LONGEST_REST = dt.timedelta(seconds=LONGEST_ASKED * 1.2)  # a destination's, with what luck adds


class Action(StrEnum):
    """What happens to an alert now."""

    SEND = "send"
    FOLD = "fold"
    SILENCE = "silence"
    HOLD = "hold"
    WAIT = "wait"


@dataclass(frozen=True)
class Decision:
    action: Action
    until: dt.datetime | None = None  # of WAIT and HOLD: when to ask again


@dataclass(frozen=True)
class Due:
    """What the decision needs to know of an alert."""

    event: str
    due_at: dt.datetime
    urgent: bool = False  # mail does not go out, and the like: no quiet hours hold it


@dataclass(frozen=True)
class Mutes:
    """Every mute that could cover an alert: of the account, the chat, the mail and the person."""

    until: tuple[dt.datetime | None, ...] = ()
    always: bool = False

    def hold(self, now: dt.datetime) -> bool:
        """Whether any of them is on."""
        return self.always or any(one is not None and one > now for one in self.until)


@dataclass(frozen=True)
class Recent:
    """When this destination made a sound lately; digests are one of both."""

    rings: tuple[dt.datetime, ...] = ()
    digests: tuple[dt.datetime, ...] = ()


def decide(
    alert: Due, mutes: Mutes, recent: Recent, now: dt.datetime, quiet_until: dt.datetime | None = None
) -> Decision:
    """What to do with the oldest waiting alert of a destination.

    A notice (a dead chat, a wrong password) is about mailbell itself: no mute covers it. Quiet hours, which
    end at `quiet_until`, hold it like everything else, unless it is urgent.
    """
    if alert.due_at > now:
        return Decision(Action.WAIT, alert.due_at)
    if alert.event != "notice" and mutes.hold(now):
        return Decision(Action.SILENCE)
    if quiet_until is not None and quiet_until > now and not alert.urgent:
        return Decision(Action.HOLD, quiet_until)
    since = now - WINDOW
    digests = [at for at in recent.digests if since < at <= now]  # none from before the clock was put back
    if sum(since < at <= now for at in recent.rings) + len(digests) < MOST_AUDIBLE:
        return Decision(Action.SEND)
    ready = alert.due_at + GATHER
    if digests:
        ready = max(ready, max(digests) + DIGEST_STEP * len(digests))
    return Decision(Action.FOLD) if ready <= now else Decision(Action.WAIT, ready)


def back_off(failures: int, luck: float) -> float:
    """Seconds to wait after this many failures in a row; `luck` from 0 to 1 spreads those who wait."""
    longest = min(FIRST_WAIT * 2.0 ** min(failures, 20), LONGEST_WAIT)
    return longest * (0.5 + luck / 2)
