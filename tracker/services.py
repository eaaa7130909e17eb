"""What the parts of a running process share, handed to them by name: settings, clock, writer, wake-ups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from models.wake import Wake
from models.writer import Writer
from tracker.pace import Pace
from tracker.settings import Settings

Clock = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The clock of a real process; tests hand in their own."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Services:
    settings: Settings
    writer: Writer
    wake: Wake
    now: Clock = utc_now
    pace: Pace = field(default_factory=Pace)  # of all mail that comes in, whatever the way
