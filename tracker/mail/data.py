"""The DATA of a mail, read with bounded memory, and where it ends: CRLF.CRLF and nothing else.

Called by tracker/mail/smtp.py, and by tracker/sending/receiving.py. A bare CR or LF never ends a mail, and
neither does a mixture with NUL: what some other server takes for the end is content here (SMTP smuggling).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

KEPT = 2 * 1024 * 1024  # bytes of a mail that are looked at: its text comes first, attachments follow
MOST = 50 * 1024 * 1024  # bytes of a mail
HOPELESS = 3 * MOST  # from here on nobody waits for the end
_AT_ONCE = 64 * 1024
_BREAK = b"\r\n"
_END = b"\r\n.\r\n"


class TooLongError(Exception):
    """The client sends on and on; there is no use in waiting for the end."""


class NoRoomError(Exception):
    """So many mails come in at once that there is no memory for another one."""


@dataclass
class Room:
    """The memory that all mails together may hold while they come in."""

    most: int
    held: int = 0


class Pieces:
    """The content of one mail as it comes, piece by piece: `async for piece in Pieces(reader)`.

    Dots that were doubled are single again. No piece ends between a CR and its LF, and none is longer than
    what was read at once. What follows the end of the mail stays in the reader.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._held = _BREAK  # not handed out yet: it may be the beginning of the end. A mail begins a line
        self._is_first = True
        self._ended = False

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        """The next piece, never empty. Raises ConnectionResetError where the client is gone."""
        while not self._ended:
            read = await self._reader.read(_AT_ONCE)
            if not read:
                raise ConnectionResetError
            text = self._held + read
            at = text.find(_END)
            if at >= 0:
                self._ended = True
                # The reader has no way of its own to take something back; the library clears its buffer so.
                self._reader._buffer[:0] = text[at + len(_END) :]  # type: ignore[attr-defined]
                text = text[: at + len(_BREAK)]
            else:
                ready = len(text) - _begun(text)
                text, self._held = text[:ready], text[ready:]
            piece = text.replace(b"\r\n.", _BREAK)
            if piece and self._is_first:
                piece, self._is_first = piece.removeprefix(_BREAK), False  # the break that nobody sent
            if piece:
                return piece
        raise StopAsyncIteration


def _begun(text: bytes) -> int:
    """How much at the end of the text may be the beginning of the end of the mail."""
    return next((length for length in (4, 3, 2, 1) if text.endswith(_END[:length])), 0)


@dataclass
class Content:
    """What came: the beginning of the mail, and how long it was in all."""

    kept: bytearray
    size: int = 0

    @property
    def is_too_large(self) -> bool:
        return self.size > MOST


async def read_content(reader: asyncio.StreamReader, room: Room | None = None) -> Content:
    """Reads to the end of the mail and keeps its beginning. Raises TooLongError, NoRoomError."""
    content, room = Content(bytearray()), room or Room(KEPT + HOPELESS)
    try:
        async for piece in Pieces(reader):
            content.size += len(piece)
            if len(content.kept) < KEPT:
                content.kept += piece
                room.held += len(piece)
            if content.size > HOPELESS:
                raise TooLongError
            if room.held > room.most:
                raise NoRoomError
    finally:
        room.held -= len(content.kept)
    return content


def normalise(kept: bytes) -> bytes:
    """Every bare CR or LF as the end of a line, for a parser that shall not be led astray; no NUL."""
    return kept.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
