"""Many mails with many hits, as rows: what `make bench-scale` fills a database with.

Ten accounts, the first with a third of all mails; people get mail for 170 days and look at it in hours of
their own; hits are judged already and the counters of mails, recipients and links fit them.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from models.columns import to_micros
from models.writer import agent_id
from tracker.hits.classify import RULES_VERSION
from tracker.services import utc_now

ACCOUNTS = 10
DAYS = 170
HOUR = 3_600_000_000
DAY = 24 * HOUR
MEAN_AGE = 20 * HOUR  # of a mail when it is opened
AGENTS = tuple(
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/{version}.0.0.0 Safari/537.36"
    for version in range(90, 130)
)
_SUBJECTS = ("Q3 proposal", "Your invoice", "Next steps", "Interview on Tuesday", "Renewal", "Hello again")
_NUMBERS = tuple(agent_id(agent) for agent in AGENTS)
# Class, reason and how often: what a realistic mailbox sees.
_CLASSES = (
    ("human", "browser", 40), ("proxied", "image-proxy", 25), ("duplicate", "same-view", 10),
    ("privacy", "apple-privacy", 10), ("scanner", "filter-network", 6), ("sender", "own-device", 4),
    ("bot", "bot", 3), ("unknown", "unknown", 2),
)  # fmt: skip
_WEIGHTS = [one[2] for one in _CLASSES]

COLUMNS = {
    "account": ("id", "name", "created_at", "timezone"),
    "agent": ("id", "text"),
    "person": ("id", "account_id", "address", "name", "created_at"),
    "message": (
        "id", "account_id", "code", "subject", "origin", "created_at", "arms_at", "armed_at", "opens",
        "clicks", "total_opens", "total_clicks", "first_open_at", "last_open_at", "first_click_at",
        "last_click_at", "last_event_at", "replied_at", "revision",
    ),
    "recipient": (
        "id", "message_id", "person_id", "address", "opens", "clicks", "total_opens", "total_clicks",
        "first_open_at", "last_open_at", "first_click_at", "last_click_at", "loaded_at", "replied_at",
    ),
    "link": (
        "id", "token", "kind", "message_id", "recipient_id", "target", "label", "position", "hits",
        "counted", "created_at",
    ),
    "hit": (
        "uid", "at", "kind", "link_id", "message_id", "recipient_id", "method", "agent_id", "network",
        "device", "verdict", "reason", "rules", "client", "ordinal", "judged_at",
    ),
}  # fmt: skip
Rows = list[tuple[Any, ...]]


class Size(NamedTuple):
    mails: int
    hits: int

    @property
    def people(self) -> int:
        return max(10 * ACCOUNTS, self.mails // 40)


def token(number: int, kind: str) -> str:
    """The link's token: worked out, so that nothing has to be remembered."""
    return f"{kind}{number:021d}"


class Maker:
    """Makes the rows, a batch of mails at a time."""

    def __init__(self, size: Size, seed: int = 3) -> None:
        self._size = size
        self._chance = random.Random(seed)
        self._now = to_micros(utc_now())
        self._habits = [self._chance.randrange(7, 22) for _ in range(size.people)]
        self._hit = 0

    def account_of(self, person: int) -> int:
        """A third of the people belong to the first account."""
        return 1 if person % 3 == 0 else 2 + person % (ACCOUNTS - 1)

    def address_of(self, person: int) -> str:
        return f"person{person}@company{person % 997}.example"

    def people(self) -> dict[str, Rows]:
        begin = self._now - 200 * DAY
        return {
            "account": [(n, f"account {n}", begin, "Europe/Berlin") for n in range(1, ACCOUNTS + 1)],
            "agent": list(zip(_NUMBERS, AGENTS, strict=True)),
            "person": [
                (n + 1, self.account_of(n), self.address_of(n), f"Person {n}", begin)
                for n in range(self._size.people)
            ],
        }

    def mails(self, batch: int = 5000) -> Iterator[dict[str, Rows]]:
        """Rows by table, in the order of writing, the oldest mails first."""
        for start in range(0, self._size.mails, batch):
            rows: dict[str, Rows] = {name: [] for name in ("message", "recipient", "link", "hit")}
            for number in range(start, min(start + batch, self._size.mails)):
                self._mail(number, rows)
            yield rows

    def _mail(self, number: int, rows: dict[str, Rows]) -> None:
        chance, size = self._chance, self._size
        person = chance.randrange(size.people)
        sent = self._now - DAYS * DAY + int(number / size.mails * (DAYS * DAY - HOUR))
        count = int(chance.expovariate(size.mails / size.hits))
        hits = sorted(self._moment(sent, self._habits[person]) for _ in range(count))
        state = _State()
        for at in hits:
            self._hit += 1
            rows["hit"].append(self._row(number, at, state))
        replied = hits[-1] if state.opens and chance.random() < 0.1 else None
        identity = number + 1
        first = (state.first_open, state.last_open, state.first_click, state.last_click)
        counts = (state.opens, state.clicks, state.all_opens, state.all_clicks)
        newest = max((one for one in (state.last_open, state.last_click, replied) if one), default=None)
        subject = f"{chance.choice(_SUBJECTS)} {number % 200}"
        rows["message"].append(
            (identity, self.account_of(person), f"b{number:x}", subject, "send", sent, sent, sent, *counts,
             *first, newest, replied, 1)
        )  # fmt: skip
        rows["recipient"].append(
            (identity, identity, person + 1, self.address_of(person), *counts, *first, state.loaded, replied)
        )
        rows["link"].append(
            (2 * identity, token(number, "o"), "open", identity, identity, None, "", 0, state.all_opens,
             state.opens, sent)
        )  # fmt: skip
        target = f"https://acme.com/deck/{number % 50}"
        rows["link"].append(
            (2 * identity + 1, token(number, "c"), "click", identity, identity, target, target[8:], 1,
             state.all_clicks, state.clicks, sent)
        )  # fmt: skip

    def _moment(self, sent: int, habit: int) -> int:
        """Some hours or days later, mostly at the person's hour, never in the future."""
        chance = self._chance
        at = sent + int(chance.expovariate(1 / MEAN_AGE))
        if chance.random() < 0.6:
            at = at - at % DAY + habit * HOUR + chance.randrange(HOUR)
        return min(max(at, sent + 60_000_000), self._now - 1_000_000)

    def _row(self, number: int, at: int, state: _State) -> tuple[Any, ...]:
        chance = self._chance
        verdict, reason, _ = chance.choices(_CLASSES, _WEIGHTS)[0]
        kind = "click" if chance.random() < 0.12 else "open"
        if kind == "click" and verdict in ("privacy", "proxied"):
            verdict, reason = "human", "browser"
        ordinal = state.note(kind, verdict, at)
        identity = number + 1
        link = 2 * identity + (kind == "click")
        return (
            f"{self._hit:032x}", at, kind, link, identity, identity, "GET", chance.choice(_NUMBERS),
            f"198.51.{chance.randrange(100)}.0/24", f"{chance.randrange(10**9):032x}", verdict, reason,
            RULES_VERSION, "Chrome on Windows", ordinal, at + 1000,
        )  # fmt: skip


class _State:
    """A mail's counters, while its hits are made."""

    def __init__(self) -> None:
        self.opens = self.clicks = self.all_opens = self.all_clicks = 0
        self.first_open: int | None = None
        self.last_open: int | None = None
        self.first_click: int | None = None
        self.last_click: int | None = None
        self.loaded: int | None = None

    def note(self, kind: str, verdict: str, at: int) -> int | None:
        """Counts it; its ordinal, where it counts."""
        if verdict == "privacy" and self.loaded is None:
            self.loaded = at
        counts = verdict in ("human", "proxied")
        if kind == "open":
            self.all_opens += 1
            if not counts:
                return None
            self.opens += 1
            self.first_open, self.last_open = self.first_open or at, at
            return self.opens
        self.all_clicks += 1
        if not counts:
            return None
        self.clicks += 1
        self.first_click, self.last_click = self.first_click or at, at
        return self.clicks


class Progress:
    """A bar on stderr, drawn anew at most a few times a second."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total = name, max(1, total)
        self._began = time.monotonic()
        self._drawn = 0.0

    def show(self, done: int) -> None:
        now = time.monotonic()
        last = done >= self._total
        if now - self._drawn < (0.3 if sys.stderr.isatty() else 15) and not last:
            return
        self._drawn = now
        filled = min(30, 30 * done // self._total)
        bar = f"{self._name:<24}[{'#' * filled}{'.' * (30 - filled)}] {done:,} of {self._total:,}"
        spent = f" {now - self._began:.0f} s"
        sys.stderr.write(f"\r{bar}{spent}" if sys.stderr.isatty() else f"{bar}{spent}\n")
        if last and sys.stderr.isatty():
            sys.stderr.write("\n")
        sys.stderr.flush()


def marks(columns: Sequence[str]) -> str:
    return ", ".join("?" * len(columns))
