"""What stands after the `+` of a capture address: `+3d`, `+noopen2d.noreply5d`, `+mon9am`, `+off`.

Pure. Nothing is guessed: a word that is not understood comes back as it was typed, so that the chat can say
so beside what was understood. Called by tracker/mail/capture.py.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

LONGEST = dt.timedelta(days=366)
MOST_ORDERS = 10
MORNING = 9  # o'clock, for a day without a time


@dataclass(frozen=True)
class Order:
    """One reminder: `kind` says on what condition, and then either `after` or a day and time of the week.

    Kinds: always (whatever happened), noopen, noreply, open (opened but no reply), click (clicked but no
    reply). `weekday` counts from Monday = 0; without it and without `after` it is tomorrow.
    """

    kind: str
    after: dt.timedelta | None = None
    weekday: int | None = None
    hour: int = MORNING
    minute: int = 0

    def due(self, sent: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
        """When to come back to a mail that was sent at `sent`; days and hours are those of `zone`."""
        if self.after is not None:
            return sent + self.after
        here = sent.astimezone(zone)
        at = here.replace(hour=self.hour, minute=self.minute, second=0, microsecond=0, fold=0)
        if self.weekday is None:
            at += dt.timedelta(days=1)
        else:
            at += dt.timedelta(days=(self.weekday - here.weekday()) % 7)
            if at <= here:
                at += dt.timedelta(days=7)
        return at.astimezone(dt.UTC)

    @property
    def said(self) -> str:
        """The order in words, to be told in chat."""
        return f"{_CONDITIONS[self.kind]}{self._when}"

    @property
    def _when(self) -> str:
        if self.after is not None:
            minutes = int(self.after.total_seconds()) // 60
            for name, size in (("week", 10_080), ("day", 1440), ("hour", 60), ("minute", 1)):
                if minutes % size == 0:
                    count = minutes // size
                    return f"in {count} {name}{'' if count == 1 else 's'}"
        day = "tomorrow" if self.weekday is None else f"on {_DAYS[self.weekday].capitalize()}"
        return f"{day} at {self.hour:02}:{self.minute:02}"


@dataclass(frozen=True)
class Tag:
    """A whole tag: what was ordered, whether tracking is to be off, and what was not understood."""

    orders: tuple[Order, ...] = ()
    off: bool = False
    unclear: tuple[str, ...] = ()


def parse_tag(text: str) -> Tag:
    """The tag of a local part, without its first `+`; words stand apart by `.`, `+` or `,`."""
    orders: dict[Order, None] = {}
    unclear: list[str] = []
    off = False
    for word in filter(None, re.split(r"[.+,]", text[:200])):
        plain = re.sub(r"[-_ ]", "", word).lower()
        order = _read_length(plain) or _read_day(plain)
        if plain in _OFF:
            off = True
        elif order is not None and len(orders) < MOST_ORDERS:
            orders[order] = None
        else:
            unclear.append(word)
    return Tag(tuple(orders), off, tuple(unclear))


_OFF = frozenset({"off", "notrack", "untracked"})
_CONDITIONS = {
    "always": "",
    "noopen": "if no open is seen, ",
    "noreply": "if nobody replies, ",
    "open": "if it is opened and nobody replies, ",
    "click": "if it is clicked and nobody replies, ",
}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_KINDS = {
    "noopen": "noopen", "unopened": "noopen", "noreply": "noreply", "noanswer": "noreply",
    "opened": "open", "open": "open", "clicked": "click", "click": "click",
}  # fmt: skip
# A single m could be minutes or months: it is asked about.
_UNITS = {
    "min": 1, "mins": 1, "minute": 1, "minutes": 1,
    "h": 60, "hr": 60, "hrs": 60, "hour": 60, "hours": 60,
    "d": 1440, "day": 1440, "days": 1440,
    "w": 10_080, "wk": 10_080, "week": 10_080, "weeks": 10_080,
    "mo": 43_200, "month": 43_200, "months": 43_200,
}  # fmt: skip
_LENGTH = re.compile(rf"({'|'.join(_KINDS)})?(?:in|after|for)?(\d{{1,4}})([a-z]+)", re.ASCII)
_DAY = re.compile(
    r"(?:on)?(mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun|tomorrow|" + "|".join(_DAYS) + r")"
    r"(?:at)?(?:(\d{1,2})(?:[:h]?(\d\d))?(am|pm)?)?",
    re.ASCII,
)


def _read_length(word: str) -> Order | None:
    found = _LENGTH.fullmatch(word)
    minutes = int(found[2]) * _UNITS.get(found[3], 0) if found else 0
    if found is None or not minutes or minutes > LONGEST.total_seconds() // 60:
        return None
    return Order(_KINDS.get(found[1], "always"), after=dt.timedelta(minutes=minutes))


def _read_day(word: str) -> Order | None:
    found = _DAY.fullmatch(word)
    if found is None:
        return None
    day, hours, minutes, half = found.groups()
    hour, minute = int(hours or MORNING), int(minutes or 0)
    if half is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    if hour > 23 or minute > 59:
        return None
    weekday = next((number for number, name in enumerate(_DAYS) if name.startswith(day[:3])), None)
    return Order("always", weekday=weekday, hour=hour, minute=minute)
