"""A part's body as the reader sees it, and edits of it carried back to the bytes as they stand in the mail.

Called by tracker/mail/rewrite.py. 7bit and 8bit are edited in place, quoted-printable at its encoded offsets
so that only touched lines change, base64 as a whole with its line length kept. Nothing here is lenient: what
does not decode cleanly is not edited (BodyError). Pure.
"""

from __future__ import annotations

import binascii
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

MAX_LINE = 998  # RFC 5322, 2.1.1, without the line end
MAX_QUOTED_LINE = 76  # RFC 2045, 6.7


class BodyError(ValueError):
    """The body cannot be edited safely; says why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Bytes `start` to `end` become `new`. An insertion has start = end."""

    start: int
    end: int
    new: bytes


class Body(Protocol):
    """`text` is decoded; `encode` turns edits of it into edits of the mail's bytes, in the same order."""

    text: bytes

    def encode(self, edits: Sequence[Edit]) -> list[Edit]: ...


def open_body(raw: bytes, start: int, end: int, encoding: str) -> Body:
    """The body that stands there under that Content-Transfer-Encoding."""
    if encoding in ("7bit", "8bit", "binary", ""):
        return _Plain(raw, start, end)
    if encoding == "quoted-printable":
        return _Quoted(raw, start, end)
    if encoding == "base64":
        return _Base64(raw, start, end)
    raise BodyError("encoding")


def glance(encoded: bytes, encoding: str) -> bytes:
    """The text as well as it decodes, only to look at it."""
    if encoding == "quoted-printable":
        return binascii.a2b_qp(encoded)
    if encoding == "base64":
        try:
            return binascii.a2b_base64(encoded)
        except binascii.Error:
            return encoded
    return encoded


def apply_edits(raw: bytes, edits: Iterable[Edit]) -> bytes:
    """The bytes with all edits made. They must be in order and must not overlap."""
    pieces: list[bytes] = []
    at = 0
    for edit in edits:
        if edit.start < at or edit.end < edit.start:
            raise BodyError("edits that overlap")
        pieces += (raw[at : edit.start], edit.new)
        at = edit.end
    pieces.append(raw[at:])
    return b"".join(pieces)


class _Plain:
    """7bit, 8bit and binary."""

    def __init__(self, raw: bytes, start: int, end: int) -> None:
        self.text = raw[start:end]
        self.start = start
        self.newline = _newline(self.text)

    def encode(self, edits: Sequence[Edit]) -> list[Edit]:
        """As they are; but an insertion gets lines of its own where the line would become too long.

        A link that would make its line too long stays what it was: it cannot be broken. Where the line was
        too long before, the link changes all the same.
        """
        kept: list[Edit] = []
        line_end, growth = -1, 0
        for edit in edits:
            line_start = self.text.rfind(b"\n", max(0, edit.start - MAX_LINE), edit.start) + 1
            if edit.start > line_end:
                growth = 0
            line_end = self.text.find(b"\n", edit.end, edit.end + MAX_LINE)
            line_end = len(self.text) if line_end < 0 else line_end
            length = line_end - line_start + growth + len(edit.new) - (edit.end - edit.start)
            new = edit.new
            if length > MAX_LINE + 1 and len(new) > edit.end - edit.start:
                if edit.start == edit.end:
                    new = self.newline + new + self.newline
                elif line_end - line_start <= MAX_LINE + 1:
                    continue
            else:
                growth += len(new) - (edit.end - edit.start)
            kept.append(Edit(edit.start + self.start, edit.end + self.start, new))
        return kept


class _Base64:
    """Decoded, edited and encoded again as a whole."""

    def __init__(self, raw: bytes, start: int, end: int) -> None:
        encoded = raw[start:end]
        self.start = start
        self.newline = _newline(encoded)
        content = encoded.strip()
        lines = content.split(maxsplit=1)
        self.width = max(4, len(lines[0]) // 4 * 4) if lines else MAX_QUOTED_LINE
        self.body = start + len(encoded) - len(encoded.lstrip())
        self.end = self.body + len(content)
        try:
            self.text = binascii.a2b_base64(b"".join(content.split()), strict_mode=True)
        except binascii.Error:
            raise BodyError("encoding") from None

    def encode(self, edits: Sequence[Edit]) -> list[Edit]:
        encoded = binascii.b2a_base64(apply_edits(self.text, edits), newline=False)
        width = self.width
        lines = (encoded[at : at + width] for at in range(0, len(encoded), width))
        return [Edit(self.body, self.end, self.newline.join(lines))]


# A sign that is neither an escape nor a soft line break: decoders guess differently.
_STRAY = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n|\r?\Z)")
_SOFT = re.compile(rb"=\r?\Z")


class _Quoted:
    """Quoted-printable: finds for every decoded byte where it stands encoded, by way of its line."""

    def __init__(self, raw: bytes, start: int, end: int) -> None:
        encoded = raw[start:end]
        if _STRAY.search(encoded):
            raise BodyError("encoding")
        self.raw, self.start, self.end = raw, start, end
        self.newline = _newline(encoded)
        self.text = binascii.a2b_qp(encoded)
        lines = encoded.split(b"\n")
        if max(map(len, lines)) > MAX_LINE + 1:
            raise BodyError("encoding")  # 76 are allowed; and finding places would take for ever
        self.encoded = list(accumulate((len(line) + 1 for line in lines), initial=start))
        self.decoded = list(accumulate(map(_decoded_length, lines), initial=0))
        if self.decoded.pop() != len(self.text) + (0 if _SOFT.search(lines[-1]) else 1):
            raise BodyError("encoding")

    def encode(self, edits: Sequence[Edit]) -> list[Edit]:
        return [self.encode_one(edit) for edit in edits]

    def encode_one(self, edit: Edit) -> Edit:
        start = self.place(edit.start)
        end = start if edit.start == edit.end else self.place_behind(edit.end - 1)
        before = self.raw[self.raw.rfind(b"\n", self.start, start) + 1 : start] if start > self.start else b""
        soft = b"=" + self.newline
        if not edit.new:
            joins = before.endswith((b" ", b"\t")) or b"\n" in self.raw[start:end]
            return Edit(start, end, soft if joins else b"")
        lines = _quote(edit.new)
        if end < self.end:
            lines.append(b"")
        # Where a full line ends, there is no room for the sign of a soft break.
        lead = self.newline if len(before) >= MAX_QUOTED_LINE and start == end else soft
        return Edit(start, end, (lead if before else b"") + soft.join(lines))

    def place(self, offset: int) -> int:
        """Where the decoded byte at `offset` begins in the mail."""
        line = bisect_right(self.decoded, offset) - 1
        at, end = self.encoded[line], self.encoded[line + 1] - 1
        left = offset - self.decoded[line]
        while True:
            escape = self.raw.find(b"=", at, end)
            if escape < 0 or left <= escape - at:
                return at + left
            left -= escape - at + 1
            at = escape + 3

    def place_behind(self, offset: int) -> int:
        """Where the decoded byte at `offset` ends in the mail."""
        place = self.place(offset)
        is_escape = self.raw[place : place + 1] == b"="
        return place + (3 if is_escape else 1)


def _decoded_length(line: bytes) -> int:
    """Of a line without its LF, but with the LF counted where it stays."""
    escapes = line.count(b"=")
    if line.endswith((b"=", b"=\r")):
        return len(line) - 2 * escapes + (1 if line.endswith(b"=") else 0)
    return len(line) - 2 * escapes + 1


_UNUSUAL = re.compile(rb"[^ -<>-~]")


def _quote(text: bytes) -> list[bytes]:
    """The text in quoted-printable, in lines that leave room for the soft break."""
    text = _UNUSUAL.sub(lambda found: b"=%02X" % found[0][0], text)
    lines, at, room = [], 0, MAX_QUOTED_LINE - 1
    while len(text) - at > room:
        escape = text.rfind(b"=", at + room - 2, at + room)
        end = at + room if escape < 0 else escape
        lines.append(text[at:end])
        at = end
    return [*lines, text[at:]]


def _newline(text: bytes) -> bytes:
    return b"\r\n" if b"\r\n" in text or b"\n" not in text else b"\n"
