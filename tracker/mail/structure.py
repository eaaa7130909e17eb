"""Where a mail's headers and MIME parts stand in its bytes, and how each part is encoded.

Called by tracker/mail/rewrite.py and raw_limits.py. It reads the way Python's `email` does (which the tests
use as the oracle), but remembers offsets, never copies a body and never raises on odd mail: what two
programs could read differently is named in `defect`, so that nobody edits there. Pure; linear in the size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message

MAX_DEPTH = 20
MAX_PARTS = 200
MAX_BOUNDARY = 70  # RFC 2046, 5.1.1
MAX_HEADER_BLOCK = 64 * 1024
MAX_HEADER = 16 * 1024
MAX_HEADERS = 1000


class LimitError(ValueError):
    """The mail is built beyond a limit; says which, in words that fit into an SMTP reply."""


@dataclass(frozen=True, slots=True)
class Header:
    """One header; `start` and `end` are offsets of its whole lines, folded ones and line end included."""

    name: str  # in lower case
    value: bytes  # as it stands, without the last line end
    start: int
    end: int


@dataclass(slots=True)
class Part:
    """One MIME part; the mail itself is the first. Offsets into the mail's bytes."""

    start: int
    body: int
    end: int
    headers: tuple[Header, ...]
    type: str = "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    encoding: str = "7bit"
    attached: bool = False  # says that it is an attachment, or has a file name
    children: list[Part] = field(default_factory=list)
    defect: str = ""  # why others could read this part differently

    def values(self, name: str) -> list[bytes]:
        """The values of the headers of that name (in lower case), from the top down."""
        return [header.value for header in self.headers if header.name == name]

    def walk(self) -> Iterator[Part]:
        """The part and all within, in their order; attached messages too."""
        yield self
        for child in self.children:
            yield from child.walk()


def locate(raw: bytes) -> Part:
    """The structure of a whole mail, headers and all. LimitError for what no mail needs, nothing else."""
    return _Locator(raw).part(0, len(raw), 0, "text/plain")


class _Locator:
    """Counts the parts while it descends."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.parts = 0

    def part(self, start: int, end: int, depth: int, usual_type: str) -> Part:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise LimitError(f"more than {MAX_PARTS} parts")
        if depth > MAX_DEPTH:
            raise LimitError(f"parts nested deeper than {MAX_DEPTH}")
        part = _read_headers(self.raw, start, end)
        _describe(part, usual_type)
        main_type = part.type.partition("/")[0]
        if main_type == "multipart":
            self.divide(part, depth)
        elif part.type == "message/delivery-status":
            self.count_blocks(part)
        elif main_type == "message":
            part.children.append(self.part(part.body, end, depth + 1, "text/plain"))
        return part

    def divide(self, part: Part, depth: int) -> None:
        boundary = part.parameters.get("boundary")
        if boundary is None:
            part.defect = part.defect or "a multipart without a boundary"
            return
        if len(boundary) > MAX_BOUNDARY:
            raise LimitError(f"a boundary longer than {MAX_BOUNDARY}")
        mark = b"--" + boundary.encode("latin-1", "replace")
        usual = "message/rfc822" if part.type == "multipart/digest" else "text/plain"
        start: int | None = None
        closed = False
        for line_start, line_end, closing in _marks(self.raw, mark, part.body, part.end):
            if start is not None:
                part.children.append(
                    self.part(start, _before_break(self.raw, start, line_start), depth + 1, usual)
                )
            start, closed = line_end, closing
            if closing:
                break
        if start is not None and not closed:  # cut off: the last part goes to the end
            part.children.append(self.part(start, part.end, depth + 1, usual))
            part.defect = part.defect or "a multipart that is not closed"
        if not part.children:
            part.defect = part.defect or "a multipart without parts"
        if part.encoding not in ("7bit", "8bit", "binary"):
            part.defect = part.defect or "an encoded multipart"

    def count_blocks(self, part: Part) -> None:
        """A delivery status is blocks of headers; parsers make a part of each."""
        body = self.raw[part.body : part.end]
        self.parts += len(re.findall(rb"\n\r?(?=\n)", body))
        if self.parts > MAX_PARTS:
            raise LimitError(f"more than {MAX_PARTS} parts")


_MARK_END = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")


def _marks(raw: bytes, mark: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Boundary lines: where each begins, where the next line begins, and whether it is the closing one."""
    at = start if raw.startswith(mark, start) else _next_line(raw, mark, start, end)
    while at is not None:
        found = _MARK_END.match(raw, at + len(mark), end)
        if found:
            yield at, found.end(), found[1] is not None
        at = _next_line(raw, mark, at + len(mark), end)


def _next_line(raw: bytes, mark: bytes, start: int, end: int) -> int | None:
    """Where the next line begins that starts with the mark."""
    found = raw.find(b"\n" + mark, start, end)
    return None if found < 0 else found + 1


def _before_break(raw: bytes, start: int, at: int) -> int:
    """The line break before a boundary belongs to the boundary."""
    if at > start and raw[at - 1 : at] == b"\n":
        at -= 1
        if at > start and raw[at - 1 : at] == b"\r":
            at -= 1
    return at


_EMPTY_LINE = re.compile(rb"\r?\n")
_BLANK = re.compile(rb"\n\r?\n")
# A field name, then its value with the folded lines (RFC 5322, 2.2).
_FIELD = re.compile(rb"([!-9;-~]++):([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")


def _read_headers(raw: bytes, start: int, end: int) -> Part:
    """The part with its headers and the offset of its body, not yet described."""
    first = _EMPTY_LINE.match(raw, start, end)
    blank = None if first else _BLANK.search(raw, start, end)
    block_end = start if first else (blank.start() + 1 if blank else end)
    body = first.end() if first else (blank.end() if blank else end)
    if block_end - start > MAX_HEADER_BLOCK:
        raise LimitError(f"headers of more than {MAX_HEADER_BLOCK // 1024} kB")
    headers: list[Header] = []
    defect = "" if first or blank else "headers without an end"
    at = start
    while at < block_end:
        found = _FIELD.match(raw, at, block_end)
        if found is None:
            defect = "a line among the headers that is none"
            # Read on behind it, so that no limit is evaded.
            at = (raw.find(b"\n", at, block_end) + 1) or block_end
            continue
        if found.end() - at > MAX_HEADER:
            raise LimitError(f"a header of more than {MAX_HEADER // 1024} kB")
        name = found[1].decode("ascii").lower()
        headers.append(Header(name, found[2].removesuffix(b"\r"), at, found.end()))
        if len(headers) > MAX_HEADERS:
            raise LimitError(f"more than {MAX_HEADERS} headers")
        at = found.end()
    return Part(start, body, end, tuple(headers), defect=defect)


_WORD = r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]+"
_TYPE = re.compile(rf"\s*({_WORD}/{_WORD})\s*(?=;|$)")
_PARAMETER = re.compile(rf";\s*(?:({_WORD})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))\s*)?(?=;|$)")
_ONCE = ("content-type", "content-transfer-encoding", "content-disposition", "mime-version")


def _describe(part: Part, usual_type: str) -> None:
    """Fills in type, parameters and encoding."""
    for name in _ONCE:
        if len(part.values(name)) > 1:
            part.defect = part.defect or f"more than one {name} header"
    part.type = usual_type
    for value in part.values("content-type")[:1]:
        _read_type(part, value)
    for value in part.values("content-transfer-encoding")[:1]:
        part.encoding = _unfold(value).strip().lower()
    for value in part.values("content-disposition")[:1]:
        text = _unfold(value).strip().lower()
        part.attached = not text.startswith("inline") or "filename" in text
    part.attached = part.attached or "name" in part.parameters


def _read_type(part: Part, value: bytes) -> None:
    text = _unfold(value)
    parameters = _read_parameters(text)
    if parameters is not None:
        part.type, part.parameters = parameters
        return
    # Something unusual: take Python's view of it, to count what is inside, and edit nothing.
    message = Message()
    message["content-type"] = text
    part.type = message.get_content_type()
    boundary = message.get_boundary()
    part.parameters = {} if boundary is None else {"boundary": boundary}
    part.defect = part.defect or "an unusual content type"


def _read_parameters(text: str) -> tuple[str, dict[str, str]] | None:
    """`text/html; charset="utf-8"` as type and parameters; None unless it reads in one way only."""
    found = _TYPE.match(text)
    if found is None:
        return None
    parameters: dict[str, str] = {}
    at = found.end()
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            return None
        at = parameter.end()
        if parameter[1] is None:
            continue
        name = parameter[1].lower()
        quoted = parameter[2]
        if name in parameters or name.startswith(("boundary*", "charset*")):
            return None
        parameters[name] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter[3]
    boundary = parameters.get("boundary")
    if boundary is not None and (not boundary.strip() or boundary != boundary.rstrip() or "\\" in text):
        return None
    return found[1].lower(), parameters


def _unfold(value: bytes) -> str:
    return re.sub(r"\r?\n", "", value.decode("latin-1"))
