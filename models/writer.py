"""The one writer of a process for the busy rows: hits as they arrive, verdicts, counters, outbox.

Plain SQL, no ORM: a hit through `Model.create()` costs 136 µs, in a shared transaction 4.5 µs. What is handed
in while a commit runs goes into the next one (group commit), and every answer waits for its commit. SQL is
written with `?` placeholders for both engines.

Who calls it: tracker/hits (record, judge), bot/deliver. Rows that people change by commands go through the
models and `database.atomically`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

Done = Callable[[Exception | None], None]


class WriterDownError(Exception):
    """The database refused or did not answer; nothing of the call was stored. Try again later."""


class RawHit(NamedTuple):
    """A hit's facts at arrival, as recorded: everything that classification may ever see."""

    uid: str  # 32 hex digits, made at arrival
    at: int  # microseconds since 1970 UTC
    token: str
    method: str
    purpose: str | None
    agent: str | None  # the user agent, cleaned and cut to 500 characters
    network: str | None  # "203.0.113.0/24"
    network_label: str | None
    device: str | None
    headers: str | None  # JSON, or null
    kind: str | None = None  # what was asked for, open or click; a token of the other kind falls out


@lru_cache(maxsize=4096)
def agent_id(text: str) -> int:
    """Agent.id of a user agent: 63 bits of its BLAKE2, so that recording needs no look-up."""
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big") >> 1


class Statement(NamedTuple):
    """One SQL statement with `?` placeholders, run once for each row of arguments.

    `bulk`: an INSERT, or an UPDATE with one WHERE whose rows change different rows of the table. Then an
    engine may run them together (models/sqlite_bulk.py).
    """

    sql: str
    rows: Sequence[Sequence[Any]]
    bulk: bool = False


class Writer(Protocol):
    """Implemented for SQLite (a thread with its own connection) and for PostgreSQL (its own connection)."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Commits what is queued, then closes."""
        ...

    def record(self, hit: RawHit, done: Done) -> None:
        """Queues a hit. In the event loop, `done(None)` follows its commit, `done(error)` a failed one.

        Unknown tokens, and links that no longer record, fall out in its transaction, silently; a uid that
        is stored already is stored once. Never blocks, never raises.
        """
        ...

    async def record_many(self, hits: Sequence[RawHit]) -> None:
        """The journal's replay: all of them in one transaction, in order. Raises WriterDownError."""
        ...

    async def settle(self) -> None:
        """Makes rows of `hit` of what is recorded and is none yet, some hundreds of them at a time.

        Who reads rows that no judge has seen calls it first. Raises WriterDownError.
        """
        ...

    async def apply(self, statements: Sequence[Statement]) -> list[int]:
        """Runs all statements in one transaction; rows changed by each. Raises WriterDownError.

        An IntegrityError of the engine comes through as itself: the statements are wrong, not the database.
        """
        ...

    async def fetch(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a SELECT, as committed. Raises WriterDownError."""
        ...

    @property
    def queued(self) -> int:
        """Hits that wait for a commit now."""
        ...
