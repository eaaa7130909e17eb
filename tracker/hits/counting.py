"""Counters of a mail, a recipient and a link: what the judge adds up before it writes it.

Pure. `total` is everything that was recorded, of whatever class; `count` is what people did. Adding a hit
that arrived late keeps first and last right; where one is taken away, `recount` does it from all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Sum:
    """Opens, or clicks, of one mail or recipient. Moments in microseconds."""

    count: int = 0
    total: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, at: int) -> None:
        """One more that counts."""
        self.count += 1
        if self.first is None or at < self.first:
            self.first = at
        if self.last is None or at > self.last:
            self.last = at

    def recount(self, arrivals: Iterable[int]) -> None:
        """Exactly these count."""
        every = sorted(arrivals)
        self.count = len(every)
        self.first, self.last = (every[0], every[-1]) if every else (None, None)


@dataclass(slots=True)
class Tally:
    """Both sums of a mail or a recipient."""

    opens: Sum = field(default_factory=Sum)
    clicks: Sum = field(default_factory=Sum)

    def of(self, kind: str) -> Sum:
        return self.opens if kind == "open" else self.clicks

    @property
    def last(self) -> int | None:
        """The newest counted event."""
        one, other = self.opens.last, self.clicks.last
        return max(one, other) if one is not None and other is not None else one if other is None else other

    @property
    def row(self) -> tuple[int | None, ...]:
        """The eight columns, in the order of COLUMNS."""
        o, c = self.opens, self.clicks
        return o.count, c.count, o.total, c.total, o.first, o.last, c.first, c.last

    @classmethod
    def of_row(cls, row: tuple[int | None, ...]) -> Tally:
        """From the eight columns, in the order of COLUMNS."""
        return cls(
            Sum(row[0] or 0, row[2] or 0, row[4], row[5]), Sum(row[1] or 0, row[3] or 0, row[6], row[7])
        )


COLUMNS = (
    "opens",
    "clicks",
    "total_opens",
    "total_clicks",
    "first_open_at",
    "last_open_at",
    "first_click_at",
    "last_click_at",
)
