"""The short way of the pixel: a plain, complete GET of `/o/TOKEN.gif` is answered without the framework.

Stands in front of the ordinary application on the same port. Whatever is not exactly such a request, in one
read, is handed over with every byte and the connection itself (`transport.set_protocol`), so that there is
one HTTP implementation for everything else. Answers are the bytes that the ordinary handler would send.
Switch it off with `serve(…, lean=False)`; the same tests run on both ways.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from email.utils import formatdate
from typing import Protocol, cast

from tracker.hits.record import Recorder
from tracker.web.hits import GIF, PIXEL_HEADERS
from tracker.web.intake import Described, Intake, describe

_REQUEST = re.compile(rb"GET /o/([A-Za-z0-9_-]{22})\.gif HTTP/1\.1\r\n")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e][\t\x20-\x7e]*)?)")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")
_FORWARDED = re.compile(rb"\r\nX-Forwarded-For: ([\x21-\x7e][\t\x20-\x7e]*)(?=\r\n)")
# These change what the request means or how the answer is framed: the framework knows how.
_HARD = {"content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer", "http2-settings"}

HEAD_LIMIT = 8000  # bytes of a head; the framework has limits of its own for longer ones
HELD_LIMIT = 64 * 1024  # bytes that may arrive while an answer waits for its commit
IDLE_SECONDS = 15.0
_CACHED_HEADS = 4096

Head = tuple[Described, bool]  # what the headers say; whether the connection closes after the answer


class Connection(Protocol):
    """What a door knows of each of its connections."""

    idle_since: float

    def close_if_idle(self) -> None: ...

    def abort(self) -> None: ...


def parse_head(raw: bytes) -> Head | None:
    """The header fields of a plain request, up to and with the empty line; None for anything unusual."""
    try:
        lines = raw.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        return None
    fields: dict[str, str] = {}
    for line in lines[:-2]:
        match = _FIELD.fullmatch(line)
        if match is None:
            return None
        name = match[1].lower()
        if name in fields or name in _HARD:
            return None
        fields[name] = match[2].rstrip(" \t")
    connection = fields.get("connection", "keep-alive").lower()
    if connection not in ("keep-alive", "close") or not _HOST.fullmatch(fields.get("host", "")):
        return None
    forwarded = (fields["x-forwarded-for"],) if "x-forwarded-for" in fields else ()
    return describe(fields, forwarded), connection == "close"


class Door:
    """What the connections of one listener share."""

    def __init__(self, intake: Intake, recorder: Recorder, ordinary: Callable[[], asyncio.Protocol]) -> None:
        self.intake = intake
        self.recorder = recorder
        self.ordinary = ordinary
        self.connections: set[Connection] = set()
        self.stopping = False
        self.now = 0.0
        self.answer = self.last_answer = b""
        self.heads: dict[bytes, Head] = {}  # remembered, without what proxies put in
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._every_second()

    def __call__(self) -> Lean:
        return Lean(self)

    def request(self, data: bytes) -> tuple[str, Described, bool] | None:
        """Token and head of a plain, complete request; None for anything else."""
        match = _REQUEST.match(data)
        if match is None:
            return None
        rest = data[match.end() :]
        head = self.heads.get(rest) or self.head(rest)
        return None if head is None else (match[1].decode(), *head)

    def head(self, raw: bytes) -> Head | None:
        """As `parse_head`; heads differ in little but the address that a proxy in front puts in."""
        if len(raw) > HEAD_LIMIT or raw.find(b"\r\n\r\n") != len(raw) - 4:
            return None
        forwarded = _FORWARDED.search(raw)
        if forwarded is None:
            return self._remembered(raw)
        head = self._remembered(raw[: forwarded.start()] + raw[forwarded.end() :])
        if head is None or head[0].forwarded:  # twice: unusual
            return None
        return head[0]._replace(forwarded=(forwarded[1].decode().rstrip(" \t"),)), head[1]

    def _remembered(self, raw: bytes) -> Head | None:
        known = self.heads.get(raw)
        if known is None:
            known = parse_head(raw)
            if known is not None:
                if len(self.heads) >= _CACHED_HEADS:
                    self.heads.clear()
                self.heads[raw] = known
        return known

    def _every_second(self) -> None:
        """Renews the date in the answer, and closes what has been idle for too long."""
        self.now = self._loop.time()
        lines = [*(f"{name}: {value}" for name, value in PIXEL_HEADERS.items())]
        lines += [f"Content-Length: {len(GIF)}", f"Date: {formatdate(usegmt=True)}"]
        head = "HTTP/1.1 200 OK\r\n" + "\r\n".join(lines)
        self.answer = f"{head}\r\n\r\n".encode() + GIF
        self.last_answer = f"{head}\r\nConnection: close\r\n\r\n".encode() + GIF
        for one in [one for one in self.connections if one.idle_since < self.now - IDLE_SECONDS]:
            one.close_if_idle()
        self._timer = self._loop.call_later(1.0, self._every_second)

    async def stop(self, seconds: float) -> None:
        """Closes idle connections, waits for the answers under way, then closes the rest."""
        self.stopping = True
        for one in list(self.connections):
            one.close_if_idle()
        until = self._loop.time() + seconds
        while self.connections and self._loop.time() < until:  # noqa: ASYNC110, many may end
            await asyncio.sleep(0.01)
        for one in list(self.connections):
            one.abort()
        if self._timer is not None:
            self._timer.cancel()


class Lean(asyncio.Protocol):
    """One connection, until it is closed or handed over.

    `received` and `unsent` are bytes of it from before it had a transport; `closing`: with these it ends.
    """

    __slots__ = (
        "_closing", "_door", "_held", "_peer", "_received", "_transport", "_unsent", "_waiting", "idle_since",
    )  # fmt: skip

    def __init__(
        self, door: Door, *, received: bytes = b"", unsent: bytes = b"", closing: bool = False
    ) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._peer: str | None = None
        self._held = b""
        self._waiting = False  # an answer waits for its commit
        self._closing = closing
        self._received = received
        self._unsent = unsent
        self.idle_since = door.now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else None
        self._door.connections.add(self)
        if self._unsent:
            self._transport.write(self._unsent)
        if self._received:
            self.data_received(self._received)
        elif self._closing or self._door.stopping:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._door.connections.discard(self)

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._waiting:
            self._held += data
            if len(self._held) > HELD_LIMIT:
                self.pause_writing()
            return
        door = self._door
        request = door.request(data)
        if request is None:
            self._hand_over(data)
            return
        token, described, self._closing = request
        self._waiting = True
        door.recorder.record(door.intake.hit("open", token, self._peer, described), self._answer)

    def _answer(self) -> None:
        self._waiting = False
        transport = self._transport
        if transport is None:
            return
        door = self._door
        if self._closing or door.stopping:
            transport.write(door.last_answer)
            transport.close()
            return
        transport.write(door.answer)
        self.idle_since = door.now
        if self._held:
            held, self._held = self._held, b""
            transport.resume_reading()
            self.data_received(held)

    def _hand_over(self, data: bytes) -> None:
        """From here on the connection is the framework's, from its first unanswered byte."""
        transport, self._transport = self._transport, None
        self._door.connections.discard(self)
        if transport is None or transport.is_closing():
            return
        ordinary = self._door.ordinary()
        transport.set_protocol(ordinary)
        ordinary.connection_made(transport)
        ordinary.data_received(data)

    def close_if_idle(self) -> None:
        if not self._waiting and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
