"""What no mail may be, judged on its bytes before anything parses it.

Called by the submission server, which refuses such mail; the capture server asks `beyond_limits`.
Bare line ends smuggle a second mail past the next server, control characters in headers become headers of
their own when somebody re-writes them, and bombs of parts and headers cost a parser minutes. Linear, pure.
"""

from __future__ import annotations

import re

from tracker.mail.structure import LimitError, locate

# C0 controls but TAB, and what Unicode calls a line end (NEL, LS, PS in UTF-8): programs that read headers as
# text begin a new line there.
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]|\xc2\x85|\xe2\x80[\xa8\xa9]")
_BLANK = re.compile(rb"\n\r?\n")


def refusal(raw: bytes) -> str | None:
    """Why this mail is not taken, in words for a 550 5.6.0 reply; None if it is fine."""
    return malformed(raw) or beyond_limits(raw)


def malformed(raw: bytes) -> str | None:
    """What is wrong with the bytes themselves: bare CR or LF, NUL, control characters in the headers."""
    if fault := bad_bytes(raw):
        return fault
    if _CONTROL.search(raw, 0, headers_end(raw)):
        return "the message holds a control character in its headers"
    return None


def bad_bytes(piece: bytes) -> str | None:
    """What no part of a mail may hold; a piece must not end between a CR and its LF."""
    if b"\0" in piece:
        return "the message holds a NUL character"
    if not piece.count(b"\r\n") == piece.count(b"\n") == piece.count(b"\r"):
        return "the message holds a line end that is not CR LF"
    return None


def beyond_limits(raw: bytes) -> str | None:
    """Which limit of size, number or depth of headers and parts is passed."""
    try:
        locate(raw)
    except LimitError as error:
        return f"the message has {error}"
    return None


def headers_end(raw: bytes) -> int:
    """Where the line end before the empty line stands; 0 for no headers, the end of `raw` for no body."""
    if raw.startswith((b"\r\n", b"\n")):
        return 0
    found = _BLANK.search(raw)
    return found.start() if found else len(raw)
