"""A mail on its way into the spool: checked and written while it comes in, with bounded memory.

Called by tracker/sending/submission.py for each DATA. Bytes that another server could take for something
else are refused; nothing is repaired. A mail without Message-ID or Date gets one at its very top (RFC 6409,
8.1 and 8.2), and nothing else is ever changed.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import re
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tracker.hits.facts import clean_agent, device_of
from tracker.keys import new_token
from tracker.mail.data import HOPELESS, MOST, TooLongError
from tracker.mail.raw_limits import bad_bytes, headers_end, refusal
from tracker.sending.senders import from_addresses, same
from tracker.sending.spool import Envelope, Spool, Unready

T = TypeVar("T")

AT_ONCE = 256 * 1024  # bytes that are written at once; a mail up to this size takes one step
SMALL = 32 * 1024  # bytes that are looked at at once, in less time than a thread takes to begin
_ONCE = ("from", "message-id", "date", "subject", "to", "cc", "sender", "reply-to")  # RFC 5322, 3.6
_TOO_LARGE = "552 5.3.4 The mail is too large: 50 MB at most"


class _RefusedError(Exception):
    """The reply to the client."""


@dataclass(frozen=True)
class Origin:
    """Who sends: what the account may write from, and the client's full address, which is never stored."""

    owned: frozenset[str]
    address: str
    key: str


class Incoming:
    """One mail: `add` its pieces, then `finish`; `discard` it if that does not come about."""

    def __init__(self, spool: Spool, envelope: Envelope, origin: Origin) -> None:
        self._spool = spool
        self._envelope = envelope
        self._origin = origin
        self._held = bytearray()
        self._size = 0
        self._file: Unready | None = None
        self._refused: str | None = None
        self._step: asyncio.Future[Any] | None = None  # what a thread does for this mail

    async def add(self, piece: bytes) -> None:
        """Takes what came, to disk if it is much. Raises TooLongError, SpoolFullError, OSError."""
        self._size += len(piece)
        if self._size > HOPELESS:
            raise TooLongError
        if self._size > MOST and self._refused is None:
            await self._refuse(_TOO_LARGE)
        if self._refused is None:
            self._held += piece
            if len(self._held) >= AT_ONCE:
                await self._write()

    async def finish(self) -> tuple[str | None, str]:
        """The mail's name in the spool and None, or None and the reply that says why there is none.

        The mail is on disk then. Call it where nobody cancels it. Raises SpoolFullError, OSError; nothing is
        left behind.
        """
        if self._refused is not None:
            return None, self._refused
        rest = bytes(self._held)
        try:
            if self._file is not None:
                return await self._spool.run(lambda: self._open(rest).finish(rest)), ""
            if len(rest) <= SMALL:
                envelope, content = self._checked(rest)
                return await self._spool.keep(lambda: (envelope, content)), ""
            return await self._spool.keep(lambda: self._checked(rest)), ""
        except _RefusedError as refused:
            await self._refuse(str(refused))
            return None, str(refused)

    async def discard(self) -> None:
        """Leaves nothing of a mail that did not come to its end; does nothing to one that did."""
        if self._step is not None:  # the client may have gone in the middle of it
            await asyncio.wait([self._step])
        if self._file is not None:
            file, self._file = self._file, None
            await self._spool.run(file.discard)

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """One step of the work on the file, which ends whether or not the caller is cancelled."""
        step = asyncio.ensure_future(work)
        self._step = step
        return await asyncio.shield(step)

    async def _refuse(self, reply: str) -> None:
        self._refused = reply
        self._held = bytearray()
        await self.discard()

    async def _write(self) -> None:
        held, self._held = bytes(self._held), bytearray()
        try:
            await self._run(self._spool.run(lambda: self._open(held).write(held)))
        except _RefusedError as refused:
            await self._refuse(str(refused))

    def _checked(self, held: bytes) -> tuple[Envelope, bytes]:
        """The mail, or its beginning, with what is missing at its top. Raises _RefusedError."""
        top, agent = _look(held, self._origin.owned, self._envelope.arrived)
        device = device_of(self._origin.key, self._origin.address or None, agent)
        return replace(self._envelope, device=device), top + held

    def _open(self, held: bytes) -> Unready:
        """The file; at first, once the beginning of the mail has been looked at."""
        if self._file is None:
            envelope, begun = self._checked(held)
            self._file = self._spool.begin(envelope)
            self._file.write(begun[: len(begun) - len(held)])
        elif fault := bad_bytes(held):
            raise _RefusedError(_malformed(fault))
        return self._file


def _look(head: bytes, owned: frozenset[str], now: dt.datetime) -> tuple[bytes, str | None]:
    """What is to be put at the top of a mail that begins so, and the mail program that made it.

    Raises _RefusedError. The limits on parts hold for the beginning of a large mail; what comes later is
    passed on unchanged where it goes beyond them.
    """
    fault = refusal(head)
    if fault is not None:
        raise _RefusedError(_malformed(fault))
    headers = _headers(head)
    for name in _ONCE:
        if len(headers.get(name, ())) > 1:
            raise _RefusedError(f"550 5.6.0 The message has more than one {name.title()} header")
    senders = from_addresses(headers["from"][0]) if "from" in headers else None
    if senders is None:
        raise _RefusedError(
            "550 5.6.0 The message has no From header that can be read: one address is enough"
        )
    for sender in senders:
        if same(sender) not in owned:
            raise _RefusedError(not_yours(sender))
    top = b""
    if "message-id" not in headers:
        top += f"Message-ID: <{new_token()}@{_in_ascii(same(senders[0]).rpartition('@')[2])}>\r\n".encode()
    if "date" not in headers:
        top += f"Date: {email.utils.format_datetime(now)}\r\n".encode()
    return top, clean_agent(headers.get("user-agent", [""])[0])


def _in_ascii(domain: str) -> str:
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return "localhost"


def not_yours(address: str) -> str:
    """The reply to a sender that is not the account's, with what to do."""
    shown = re.sub(r"[^\x21-\x7e]", "?", address)[:80] or "no address"
    return (
        f"550 5.7.1 {shown} is not known as yours: choose the address of this mailbox as the sender, "
        f"or tell the bot: capture mine {shown}"
    )


def _headers(head: bytes) -> dict[str, list[str]]:
    """The values of the headers by name, unfolded; a blank before the colon is no part of a name."""
    block = head[: headers_end(head)].decode("utf-8", "replace")
    found: dict[str, list[str]] = {}
    for line in re.split(r"\r\n(?![ \t])", block):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), []).append(value.replace("\r\n", "").strip())
    return found


def _malformed(fault: str) -> str:
    return f"550 5.6.0 {fault[:1].upper()}{fault[1:]}"
