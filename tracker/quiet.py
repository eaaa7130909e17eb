"""Quiet hours: when an account's chats make no sound, and when that ends.

Pure, with the clock and the zone as arguments. Counting and silent edits go on meanwhile; what would have
rung is held (bot/deliver) and told in one message at the end. Kept in Account.quiet_hours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from tracker.preferences import read_days, read_time
from tracker.wall_clock import DAY, at

ALL_DAYS = frozenset(range(7))
MORNING = dt.time(8)
_STRETCHES = 30  # that may touch one another; more is "always"


@dataclass(frozen=True)
class Span:
    """From a time to a time, over midnight where that is earlier; on nights that begin on these days."""

    begin: dt.time
    end: dt.time
    days: frozenset[int] = ALL_DAYS


@dataclass(frozen=True)
class Quiet:
    """What is quiet every week: a span of each day, and whole days."""

    span: Span | None = None
    days: frozenset[int] = field(default=frozenset())

    @classmethod
    def of(cls, value: Any) -> Quiet:
        """From what the column holds, whatever that is."""
        if not isinstance(value, dict):
            return cls()
        begin, end = read_time(value.get("from")), read_time(value.get("to"))
        span = None
        if begin is not None and end is not None and begin != end:
            span = Span(begin, end, read_days(value.get("nights")) or ALL_DAYS)
        days = read_days(value.get("days"))
        return cls(span, days if days != ALL_DAYS else frozenset())

    @property
    def stored(self) -> dict[str, Any] | None:
        if self.span is None and not self.days:
            return None
        kept: dict[str, Any] = {"days": sorted(self.days)}
        if self.span is not None:
            kept |= {
                "from": f"{self.span.begin:%H:%M}",
                "to": f"{self.span.end:%H:%M}",
                "nights": sorted(self.span.days),
            }
        return kept

    def until(self, now: dt.datetime, zone: dt.tzinfo) -> dt.datetime | None:
        """When the quiet that is now ends, in UTC; None where it is not quiet. What touches is one."""
        end = now
        for _ in range(_STRETCHES):
            further = max((to for since, to in self._around(end, zone) if since <= end < to), default=end)
            if further == end:
                break
            end = further
        return end if end > now else None

    def next_morning(self, now: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
        """When the next night is over: at the end of the quiet hours, else at 8:00; on a day that rings."""
        here = now.astimezone(zone).date()
        time = self.span.end if self.span is not None else MORNING
        morning = at(here, time, zone)
        if morning <= now:
            morning = at(here + DAY, time, zone)
        return self.until(morning, zone) or morning

    def _around(self, moment: dt.datetime, zone: dt.tzinfo) -> Iterator[tuple[dt.datetime, dt.datetime]]:
        """The stretches that could cover `moment`."""
        here = moment.astimezone(zone).date()
        for day in (here - DAY, here):
            if day.weekday() in self.days:
                yield at(day, dt.time(), zone), at(day + DAY, dt.time(), zone)
            if self.span is not None and day.weekday() in self.span.days:
                over = self.span.end <= self.span.begin
                yield (
                    at(day, self.span.begin, zone),
                    at(day + DAY if over else day, self.span.end, zone),
                )


def is_always(span: Span | None, days: Collection[int]) -> bool:
    """Whether nothing would ever ring."""
    week = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
    found = Quiet(span, frozenset(days)).until(week, dt.UTC)
    return frozenset(days) == ALL_DAYS or (found is not None and found - week > 8 * DAY)
