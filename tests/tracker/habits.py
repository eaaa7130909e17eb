"""Ninety days of three accounts and forty readers with habits of their own: plain random processes.

Nothing in here knows how tracker/insights/best.py works. A reader goes through the inbox at an hour of theirs
and now and then looks at other hours of their day; a mail that arrives in that day is often opened within
half an hour, because a phone rings. So most opens are near the hours in which their sender sends, and a
histogram of opens shows the sender. Some read through Apple's proxy: all of their mail is loaded by night.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

BEGIN = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)  # a Monday
DAYS = 90
END = BEGIN + dt.timedelta(days=DAYS)
_HOUR = dt.timedelta(hours=1)
_HABITS = (7, 8, 9, 12, 13, 16, 17, 18, 20, 21)


@dataclass(frozen=True)
class Sender:
    """`hours`: how often in which hour of the day; uneven, as people are."""

    name: str
    zone: str
    hours: dict[int, int]
    near: tuple[str, ...]  # zones of some of their readers


SENDERS = (
    Sender(
        "alice",
        "Europe/Berlin",
        {10: 15, 9: 2, 11: 2, 14: 1, 15: 1, 16: 1},
        ("Europe/Athens", "Europe/London"),
    ),
    Sender(
        "bob",
        "America/New_York",
        {15: 15, 14: 2, 16: 2, 10: 1, 12: 1},
        ("America/Chicago", "America/Halifax"),
    ),
    Sender("carol", "Europe/London", {11: 15, 12: 2, 16: 2, 9: 1, 14: 1}, ("Europe/Kyiv", "Europe/Berlin")),
)


@dataclass
class Sent:
    """One mail: when it left, when it was opened, when it was answered."""

    at: dt.datetime
    opens: list[dt.datetime] = field(default_factory=list)
    replied: dt.datetime | None = None


@dataclass
class Reader:
    address: str
    sender: Sender
    zone: str
    hour: int  # the habit, in their zone
    days: tuple[int, ...]
    reads: float  # share of the mails that are ever opened
    answers: float
    apple: bool
    seldom: bool  # gets too few mails for anything to be known
    mails: list[Sent] = field(default_factory=list)

    @property
    def opens(self) -> int:
        return 0 if self.apple else sum(len(one.opens) for one in self.mails)

    @property
    def ignores(self) -> bool:
        """Planted: opens nearly everything, answers nothing."""
        return self.reads > 0.9 and self.answers == 0 and not self.apple and not self.seldom

    def histogram(self) -> int:
        """The hour in which most opens are: what a plain count would call the best."""
        zone = ZoneInfo(self.zone)
        counts = Counter(at.astimezone(zone).hour for one in self.mails for at in one.opens)
        return max(range(24), key=lambda hour: counts[hour])


def simulate(seed: int, readers: int = 40) -> list[Reader]:
    """The readers with all their mails, by seed."""
    chance = random.Random(seed)
    found = [_reader(chance, number) for number in range(readers)]
    for reader in found:
        reader.mails = sorted(_mails(chance, reader), key=lambda one: one.at)
    return found


def _reader(chance: random.Random, number: int) -> Reader:
    sender = SENDERS[number % len(SENDERS)]
    kind = number % 10
    return Reader(
        address=f"reader{number}@{('acme', 'other', 'third')[number % 3]}.example",
        sender=sender,
        zone=sender.zone if chance.random() < 0.7 else chance.choice(sender.near),
        hour=chance.choice(_HABITS),
        days=chance.choice(
            ((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4), (1, 3))
        ),
        reads=1.0 if kind in (2, 5) else 0.8,
        answers=0.0 if kind in (2, 5) else 0.5,
        apple=kind == 7,
        seldom=kind == 9,
    )


def _mails(chance: random.Random, reader: Reader) -> Iterator[Sent]:
    hours, zone = reader.sender.hours, ZoneInfo(reader.sender.zone)
    for _ in range(3 if reader.seldom else chance.randrange(30, 60)):
        day = BEGIN + dt.timedelta(days=chance.randrange(DAYS - 8))
        while day.weekday() > 4 and chance.random() < 0.9:
            day = BEGIN + dt.timedelta(days=chance.randrange(DAYS - 8))
        hour = chance.choices(list(hours), list(hours.values()))[0]
        sent = Sent(dt.datetime(day.year, day.month, day.day, hour, chance.randrange(60), tzinfo=zone))
        if chance.random() < reader.reads:
            _open(chance, reader, sent)
        if sent.opens and chance.random() < reader.answers:
            sent.replied = sent.opens[0] + dt.timedelta(minutes=chance.randrange(5, 300))
        yield sent


def _open(chance: random.Random, reader: Reader, sent: Sent) -> None:
    """Hour by hour until it is opened; then, seldom, once more."""
    zone = ZoneInfo(reader.zone)
    if _at_work(sent.at.astimezone(zone)) and chance.random() < 0.7:
        sent.opens.append(sent.at + dt.timedelta(minutes=chance.uniform(1, 30)))
    at, lazily = sent.at.astimezone(dt.UTC), chance.uniform(0.03, 0.08)
    until = min(END, at + dt.timedelta(days=21))
    while at < until and len(sent.opens) < 5:
        end = at.replace(minute=0, second=0, microsecond=0) + _HOUR
        looks = _attention(reader, at.astimezone(zone), lazily) * (0.015 if sent.opens else 1.0)
        if chance.random() < 1 - (1 - looks) ** ((end - at) / _HOUR):
            sent.opens.append(at + chance.random() * (end - at))
        at = end
    sent.opens.sort()


def _attention(reader: Reader, here: dt.datetime, lazily: float) -> float:
    """How probable it is that a mail is opened that lies there for this hour."""
    if here.hour == reader.hour and here.weekday() in reader.days:
        return 0.65
    return lazily if _at_work(here) else 0.01


def _at_work(here: dt.datetime) -> bool:
    return 8 <= here.hour < 18 and here.weekday() < 5


def near(hour: int | None, planted: int) -> bool:
    """Whether it is the planted hour, give or take one."""
    return hour is not None and min((hour - planted) % 24, (planted - hour) % 24) <= 1


def share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0
