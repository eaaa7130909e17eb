"""The first moment of a connection: a pixel asked for at once is answered before there is a transport.

Making a transport and a task for each connection costs more than recording the hit, and most readers of a
mail ask for one pixel. Whatever else has come, or nothing yet, gets its transport at once, and the lean
protocol (lean.py) with the bytes that were read. Used by server.py, in front of the lean protocol only.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import socket
from typing import Any

from tracker.web.lean import HEAD_LIMIT, Door, Lean

log = logging.getLogger(__name__)

BURST = 64  # connections taken before others have a turn
_READ = HEAD_LIMIT + 64  # the longest request that the lean protocol takes
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_RETRY_SECONDS = 1.0


class Entrance:
    """Takes the connections of one listening socket, which it closes at the end."""

    def __init__(self, door: Door, listening: socket.socket) -> None:
        self._door = door
        self._listening = listening
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._made: set[asyncio.Task[Any]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._open()

    def close(self) -> None:
        """No connection is taken any more."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()

    def _open(self) -> None:
        self._loop.add_reader(self._listening.fileno(), self._take)

    def _take(self) -> None:
        try:
            for _ in range(BURST):
                self._received(*self._listening.accept())
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            log.error("no connection can be taken for a second: %s", error.strerror)
            self._loop.remove_reader(self._listening.fileno())
            self._again = self._loop.call_later(_RETRY_SECONDS, self._open)

    def _received(self, connection: socket.socket, address: Any) -> None:
        connection.setblocking(False)
        try:
            data = connection.recv(_READ)
        except BlockingIOError:
            self.make(connection, Lean(self._door))  # nothing has come yet
            return
        except OSError:
            data = b""
        if not data:
            connection.close()
            return
        request = self._door.request(data)
        if request is None:
            self.make(connection, Lean(self._door, received=data))
            return
        token, described, closing = request
        peer = address[0] if isinstance(address, tuple) else None
        hit = self._door.intake.hit("open", token, peer, described)
        self._door.recorder.record(hit, First(self, self._door, connection, closing).answer)

    def make(self, connection: socket.socket, protocol: Lean) -> None:
        """Gives a connection its transport.

        In the context of the listener: the writer tells of a commit in its own, which knows no database, and
        whatever else is asked on this connection would inherit that.
        """
        making = self._loop.connect_accepted_socket(lambda: protocol, connection)
        task = self._loop.create_task(making, context=self._context.copy())
        self._made.add(task)
        task.add_done_callback(self._is_made)

    def _is_made(self, task: asyncio.Task[Any]) -> None:
        self._made.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: who hung up meanwhile is nobody's concern


class First:
    """A connection whose first request waits for its commit."""

    __slots__ = ("__weakref__", "_closing", "_connection", "_door", "_entrance", "idle_since")

    def __init__(self, entrance: Entrance, door: Door, connection: socket.socket, closing: bool) -> None:
        self._entrance = entrance
        self._door = door
        self._connection = connection
        self._closing = closing
        self.idle_since = float("inf")
        door.connections.add(self)

    def answer(self) -> None:
        door, connection = self._door, self._connection
        door.connections.discard(self)
        closing = self._closing or door.stopping
        answer = door.last_answer if closing else door.answer
        try:
            sent = connection.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError:  # hung up, or aborted
            connection.close()
            return
        if closing and sent == len(answer):
            connection.close()
        else:
            self._entrance.make(connection, Lean(door, unsent=answer[sent:], closing=closing))

    def close_if_idle(self) -> None:
        """It never is."""

    def abort(self) -> None:
        self._door.connections.discard(self)
        self._connection.close()
