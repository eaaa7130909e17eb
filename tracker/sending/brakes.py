"""The brakes on guessing of passwords: who has to wait before a login is looked at, and who is put off.

Called by tracker/sending/submission.py for each login. Pure, with the clock as an argument, in seconds.
Failures count for the place a login comes from and for the name it tries, and fade. The owner is never
locked out: a place that has logged in with that name before is only slowed down, and a place that has not
failed yet is always heard, however many others try the name.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

FREE = 3  # failures that cost nothing: people mistype
MOST = 10  # failures after which a place, or strangers who try a name, are put off
FADES = 60.0  # seconds in which one failure is forgotten
LONGEST = 4.0  # seconds that a login is held back
REMEMBERED = 10_000  # places and names with failures; the oldest go first
KNOWN = 10_000  # pairs of place and name that have logged in
KNOWN_SECONDS = 30 * 86400.0


@dataclass(frozen=True)
class Pace:
    """What to do with a login: hold it back for `delay` seconds, or put it off for `refused` seconds."""

    delay: float = 0.0
    refused: int = 0


class Brakes:
    """What is remembered of logins: `ask` before one is looked at, and say then how it went.

    Strangers of one place ask one after the other, or all of them ask before the first has failed.
    """

    def __init__(self) -> None:
        self._places = _Failures(REMEMBERED)
        self._names = _Failures(REMEMBERED)
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()

    def ask(self, place: str, name: str, now: float) -> Pace:
        """How fast this login may go."""
        by_place, by_name = self._places.count(place, now), self._names.count(name, now)
        failures = by_place
        if not self.knows(place, name, now):
            if by_place > MOST - 1:
                return Pace(refused=_seconds(by_place - (MOST - 1)))
            if by_name > MOST - 1 and by_place > 0:
                return Pace(refused=_seconds(by_place))
            failures = max(by_place, by_name)
        return Pace(delay=_delay(failures))

    def wrong(self, place: str, name: str, now: float) -> None:
        """The login was wrong."""
        self._places.add(place, now)
        self._names.add(name, now)

    def right(self, place: str, name: str, now: float) -> None:
        """The login was right: the place is known for the name from now on."""
        self._known[place, name] = now
        self._known.move_to_end((place, name))
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def knows(self, place: str, name: str, now: float) -> bool:
        """Whether that place has logged in with the name not too long ago."""
        at = self._known.get((place, name))
        return at is not None and now - at < KNOWN_SECONDS


class _Failures:
    """Failures by key, each forgotten after a while; never more keys than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: OrderedDict[str, tuple[float, float]] = OrderedDict()  # count, as of when

    def count(self, key: str, now: float) -> float:
        count, since = self._counts.get(key, (0.0, now))
        return max(0.0, count - max(0.0, now - since) / FADES)

    def add(self, key: str, now: float) -> None:
        self._counts[key] = self.count(key, now) + 1, now
        self._counts.move_to_end(key)
        while len(self._counts) > self._most:
            self._counts.popitem(last=False)


def _delay(failures: float) -> float:
    """Nothing for the first failures, then half a second, and twice as long after each more."""
    over = math.ceil(failures) - FREE
    return 0.0 if over < 0 else float(min(0.5 * 2**over, LONGEST))


def _seconds(failures: float) -> int:
    """Until so many failures are forgotten, in whole seconds."""
    return max(1, math.ceil(failures * FADES))
