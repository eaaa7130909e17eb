"""The DATA of a mail, read with bounded memory, and where it ends: CRLF.CRLF and nothing else.

Called by tracker/mail/smtp.py. A bare CR or LF never ends a mail, and neither does a mixture with NUL: what
some other server takes for the end is content here (SMTP smuggling).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

KEPT = 2 * 1024 * 1024  # bytes of a mail that are looked at: its text comes first, attachments follow
MOST = 50 * 1024 * 1024  # bytes of a mail
HOPELESS = 3 * MOST  # from here on nobody waits for the end


class TooLongError(Exception):
    """The client sends on and on; there is no use in waiting for the end."""


@dataclass
class Content:
    """What came: the beginning of the mail, and how long it was in all."""

    kept: bytearray
    size: int = 0

    @property
    def is_too_large(self) -> bool:
        return self.size > MOST


async def read_content(reader: asyncio.StreamReader) -> Content:
    """Reads to the end of the mail; dots that were doubled are single again. Raises TooLongError."""
    content = Content(bytearray())
    begins = True  # whether a line begins here
    while True:
        try:
            piece = await reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as more:
            piece = await reader.read(more.consumed)
        if begins and piece == b".\r\n":
            return content
        start = 1 if begins and piece.startswith(b".") else 0
        begins = piece.endswith(b"\r\n")
        content.size += len(piece) - start
        if len(content.kept) < KEPT:
            content.kept += piece[start:]
        if content.size > HOPELESS:
            raise TooLongError


def normalise(kept: bytes) -> bytes:
    """Every bare CR or LF as the end of a line, for a parser that shall not be led astray; no NUL."""
    return kept.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
