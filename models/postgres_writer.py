"""The writer for PostgreSQL: hits in one statement for each commit, over connections of its own.

One connection writes hits, one runs transactions (judge, outbox), one reads: a slow query never holds up a
hit. What queues up while a commit runs goes into the next one. Each call to the server has a time limit; a
connection that missed it is dropped and made anew, because nobody can know what it still does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from models.database import POSTGRES_FAULTS
from models.postgres_bulk import execute, translate
from models.wake import HITS, Wake
from models.writer import Done, RawHit, Statement, WriterDownError, agent_id

log = logging.getLogger(__name__)

T = TypeVar("T")

LIMIT = 20_000  # hits that may wait; more than this is refused at once and goes to the journal
BATCH = 2_000  # hits of one statement
PAUSE = 0.001  # seconds from one commit's beginning to the next one's, while hits keep coming
CONNECT_SECONDS = 3.0
HIT_SECONDS = 2.0
CALL_SECONDS = 15.0
_BACK_OFF = 0.5  # seconds in which a refused connection is not tried again
_KNOWN_AGENTS = 50_000

_INSERT_HITS = """
INSERT INTO hit (uid, at, kind, link_id, message_id, recipient_id,
                 method, purpose, agent_id, network, network_label, device, headers)
SELECT v.uid, v.at, l.kind, l.id, l.message_id, l.recipient_id,
       v.method, v.purpose, v.agent_id, v.network, v.network_label, v.device, v.headers::jsonb
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::text[]) WITH ORDINALITY
     AS v(uid, at, token, method, purpose, agent_id, network, network_label, device, headers, kind, n)
JOIN link l ON l.token = v.token AND l.recording AND (v.kind IS NULL OR v.kind = l.kind)
ORDER BY v.n
ON CONFLICT DO NOTHING
"""
_INSERT_AGENTS = """
INSERT INTO agent (id, text) SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT DO NOTHING
"""
# The statement or its values are wrong, not the database.
_CALLERS_FAULT = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.SyntaxOrAccessError,
)

# One row's values can never be stored.
_ROWS_FAULT = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, UnicodeError, OverflowError)


class _Line:
    """One connection, made when needed, used by one call at a time, dropped after any doubt."""

    def __init__(self, credentials: Mapping[str, Any]) -> None:
        self._credentials = dict(credentials)
        self._lock = asyncio.Lock()
        self._connection: Any = None
        self._refused_until = 0.0

    async def run(self, work: Callable[[Any], Awaitable[T]], seconds: float) -> T:
        """`work(connection)` within the time limit; WriterDownError when the database is at fault."""
        try:
            async with asyncio.timeout(seconds):
                await self._lock.acquire()
        except TimeoutError:
            raise WriterDownError("the connection is busy") from None
        try:
            if self._connection is None or self._connection.is_closed():
                await self._connect()
            async with asyncio.timeout(seconds):
                return await work(self._connection)
        except _CALLERS_FAULT:
            raise
        except POSTGRES_FAULTS as error:
            self.drop()
            raise WriterDownError(f"{type(error).__name__}: {error}") from error
        except asyncio.CancelledError:
            self.drop()
            raise
        finally:
            self._lock.release()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._refused_until:
            raise ConnectionError("the database refused a moment ago")
        try:
            self._connection = await asyncpg.connect(**self._credentials, timeout=CONNECT_SECONDS)
        except BaseException:
            self._refused_until = loop.time() + _BACK_OFF
            raise

    def drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*POSTGRES_FAULTS):
                await connection.close(timeout=2)


class PostgresWriter:
    """See models/writer.py for what each call promises. `credentials` are asyncpg.connect's arguments."""

    def __init__(
        self, credentials: Mapping[str, Any], wake: Wake, *, limit: int = LIMIT, pause: float = PAUSE
    ) -> None:
        self._wake = wake
        self._limit = limit
        self._pause = pause
        self._hit_line = _Line(credentials)
        self._work_line = _Line(credentials)
        self._read_line = _Line(credentials)
        self._queue: deque[tuple[RawHit, Done]] = deque()
        self._writing = 0
        self._more = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._known_agents: set[int] = set()

    async def start(self) -> None:
        self._stopping = False
        self._task = asyncio.create_task(self._write_for_ever(), name="postgres-write")

    async def stop(self) -> None:
        """Commits what is queued, then closes."""
        self._stopping = True
        self._more.set()
        if self._task is not None:
            await self._task
            self._task = None
        for line in (self._hit_line, self._work_line, self._read_line):
            await line.close()

    @property
    def queued(self) -> int:
        return len(self._queue) + self._writing

    def record(self, hit: RawHit, done: Done) -> None:
        if len(self._queue) >= self._limit or self._stopping:
            done(WriterDownError("the queue is full"))
            return
        self._queue.append((hit, done))
        self._more.set()

    async def record_many(self, hits: Sequence[RawHit]) -> None:
        if hits:
            await self._shielded(self._hit_line, lambda connection: self._insert(connection, hits))
            self._wake.ring(HITS)

    async def settle(self) -> None:
        """Each hit is a row at once."""

    async def apply(self, statements: Sequence[Statement]) -> list[int]:
        async def work(connection: Any) -> list[int]:
            async with connection.transaction():
                return [await execute(connection, statement) for statement in statements]

        return await self._shielded(self._work_line, work)

    async def fetch(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        query = translate(sql)
        rows = await self._read_line.run(lambda connection: connection.fetch(query, *arguments), CALL_SECONDS)
        return [tuple(row) for row in rows]

    async def _shielded(self, line: _Line, work: Callable[[Any], Awaitable[T]]) -> T:
        """In a task of its own: a caller that is cancelled half-way must not break a transaction off."""
        if self._stopping:
            raise WriterDownError("the writer is closed")
        return await asyncio.shield(asyncio.ensure_future(line.run(work, CALL_SECONDS)))

    async def _write_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._stopping and not self._queue):
            await self._more.wait()
            self._more.clear()
            started = loop.time()
            await self._write_queue()
            rest = started + self._pause - loop.time()
            if self._queue and rest > 0 and not self._stopping:
                await asyncio.sleep(rest)
            if self._queue:
                self._more.set()

    async def _write_queue(self) -> None:
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(len(queue), BATCH))]
        if not batch:
            return
        self._writing = len(batch)
        hits = [hit for hit, _ in batch]
        failure: Exception | None = None
        try:
            await self._hit_line.run(lambda connection: self._insert(connection, hits), HIT_SECONDS)
        except Exception as error:
            failure = error if isinstance(error, WriterDownError) else WriterDownError(str(error))
        self._writing = 0
        for _, done in batch:
            done(failure)
        if failure is None:
            self._wake.ring(HITS)

    async def _insert(self, connection: Any, hits: Sequence[RawHit]) -> None:
        try:
            await self._insert_all(connection, hits)
        except _ROWS_FAULT:
            # One row can never be stored: the others must not suffer. Those already in are ignored.
            for hit in hits:
                try:
                    await self._insert_all(connection, [hit])
                except _ROWS_FAULT as error:
                    log.error("a hit cannot be stored and is dropped: %s", type(error).__name__)

    async def _insert_all(self, connection: Any, hits: Sequence[RawHit]) -> None:
        texts = {agent_id(hit.agent): hit.agent for hit in hits if hit.agent is not None}
        fresh = {number: text for number, text in texts.items() if number not in self._known_agents}
        if fresh:
            # Sorted: two processes that insert the same agents in another order would deadlock.
            numbers = sorted(fresh)
            await connection.execute(_INSERT_AGENTS, numbers, [fresh[number] for number in numbers])
            if len(self._known_agents) > _KNOWN_AGENTS:
                self._known_agents.clear()
            self._known_agents |= fresh.keys()
        columns: list[list[Any]] = [list(column) for column in zip(*hits, strict=True)]
        columns[5] = [None if hit.agent is None else agent_id(hit.agent) for hit in hits]
        await connection.execute(_INSERT_HITS, *columns)
