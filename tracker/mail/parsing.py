"""What a captured mail says: its headers and our tokens in it. Nothing of its body is ever kept.

Pure, and of the standard library alone: tracker/mail/parser.py runs it in processes of their own, with limits
on time and memory, since `email` takes seconds or fails on hostile mail. Cheap limits on the raw bytes come
first. What cannot be parsed is a mail that was seen, and no more.
"""

from __future__ import annotations

import email.header
import email.message
import email.parser
import email.utils
import json
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from tracker.replies.bounces import Returned, read_returned
from tracker.replies.kinds import kind_of

T = TypeVar("T")

MOST_HEADERS = 64 * 1024  # bytes of the header block
MOST_HEADER = 16 * 1024  # bytes of one header
MOST_DEPTH = 20
MOST_PARTS = 200
MOST_BOUNDARY = 70  # RFC 2046, 5.1.1
MOST_ADDRESSES = 200
MOST_TOKENS = 200
SINGLETONS = ("from", "date", "message-id", "subject")  # RFC 5322, 3.6


@dataclass(frozen=True)
class Parsed:
    """A mail's headers, cleaned of nothing yet. `fault` says why there is less than that.

    kind: mail | auto (RFC 3834) | bounce | delay (RFC 3464) | list | bulk | loop. `date` is in seconds since
    1970 UTC. `tokens` are (o or c, token). `doubled` names a header that may stand once and stands twice.
    """

    subject: str = ""
    sender: str = ""
    to: tuple[tuple[str, str], ...] = ()  # name, address
    message_id: str = ""
    refers_to: tuple[str, ...] = ()  # In-Reply-To and References, newest first; of a bounce: what came back
    date: float | None = None
    kind: str = "mail"
    tokens: tuple[tuple[str, str], ...] = ()
    failed: tuple[str, ...] = ()  # of a bounce or delay: whom it did not reach
    why: str = ""  # of a bounce or delay: the server's words
    returned: bool = False  # a server wrote it about mail that came back: its parts tell what became of that
    doubled: str = ""
    fault: str = ""

    def to_json(self) -> str:
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Parsed:
        """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
        given = json.loads(text)
        for name in ("to", "tokens"):
            given[name] = tuple((str(one), str(other)) for one, other in given[name])
        for name in ("refers_to", "failed"):
            given[name] = tuple(map(str, given[name]))
        return cls(**given)


class _RefusedError(Exception):
    """More than the limits allow."""


def parse_mail(raw: bytes, public_url: str) -> Parsed:
    """What `raw` says, and which of the tokens of the instance at `public_url` stand in it. Never raises."""
    doubled = ""
    try:
        doubled = _check_headers(raw)
        message = email.parser.BytesParser().parsebytes(raw)
        parts = list(_walk(message))
        return _read(message, parts, public_url, doubled)
    except _RefusedError as refused:
        fault = str(refused)
    except Exception as error:  # the library raises nearly anything on hostile bytes
        fault = type(error).__name__
    return Parsed(fault=fault, doubled=doubled, tokens=tokens_in([raw], public_url))


def _check_headers(raw: bytes) -> str:
    """Refuses headers that the parser would take seconds for; the name of a header that stands twice."""
    end = re.search(rb"\r?\n\r?\n", raw[: MOST_HEADERS + 4])
    if end is None and len(raw) > MOST_HEADERS:
        raise _RefusedError("headers too long")
    block = raw[: end.start()] if end else raw
    seen: set[str] = set()
    doubled = ""
    for header in re.split(rb"\r?\n(?![ \t])", block):
        if len(header) > MOST_HEADER:
            raise _RefusedError("header too long")
        name = header.partition(b":")[0].strip().lower().decode("latin-1")
        if name in seen and name in SINGLETONS:
            doubled = doubled or name
        seen.add(name)
    return doubled


def _walk(message: email.message.Message) -> Iterator[email.message.Message]:
    """The mail's parts in their order, without recursion."""
    waiting = [(message, 0)]
    count = 0
    while waiting:
        part, depth = waiting.pop()
        count += 1
        if depth > MOST_DEPTH or count > MOST_PARTS:
            raise _RefusedError("too many parts")
        if len(part.get_boundary("") or "") > MOST_BOUNDARY:
            raise _RefusedError("boundary too long")
        yield part
        payload = part.get_payload()
        if isinstance(payload, list):
            waiting += [
                (one, depth + 1) for one in reversed(payload) if isinstance(one, email.message.Message)
            ]


def _read(
    message: email.message.Message,
    parts: Sequence[email.message.Message],
    public_url: str,
    doubled: str,
) -> Parsed:
    senders = _addresses(message, ("From",))
    sender = senders[0][1] if len(senders) == 1 else ""
    subject = _or(_text(message), "")
    kind, returned = kind_of(message, sender), Returned("")
    is_returned = kind == "bounce"
    if is_returned:
        returned = read_returned(parts, subject)
        kind = returned.kind
    to = _addresses(message, ("To", "Cc"))
    texts = (_decoded(part) for part in parts if part.get_content_maintype() == "text")
    return Parsed(
        subject=subject,
        sender=sender,
        to=to[:MOST_ADDRESSES],
        message_id=next(iter(_ids(message, "Message-ID")), ""),
        refers_to=tuple(
            dict.fromkeys(
                [*returned.ids, *_ids(message, "In-Reply-To"), *reversed(_ids(message, "References"))]
            )
        ),
        date=_or(lambda: _date(message), None),
        kind=kind,
        tokens=tokens_in(texts, public_url),
        failed=returned.failed,
        why=returned.why,
        returned=is_returned,
        doubled=doubled,
    )


def _or(work: Callable[[], T], otherwise: T) -> T:
    """The library's header parsers raise IndexError, LookupError, RecursionError… on hostile values."""
    try:
        return work()
    except Exception:
        return otherwise


def _text(message: email.message.Message) -> Callable[[], str]:
    def decode() -> str:
        value = message.get("Subject", "")
        try:
            return str(email.header.make_header(email.header.decode_header(value)))
        except Exception:  # an unknown charset: as it stands
            return str(value)

    return decode


def _addresses(message: email.message.Message, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    values = [str(value) for name in names for value in message.get_all(name, [])]
    if sum(len(value) for value in values) > MOST_HEADER:
        values = values[:1]
    found = []
    none: list[tuple[str, str]] = []
    for name, address in _or(lambda: email.utils.getaddresses(values), none):
        if "@" in address:
            found.append((_name(name), address))
    return tuple(found)


def _name(value: str) -> str:
    return _or(lambda: str(email.header.make_header(email.header.decode_header(value))), value)


def _ids(message: email.message.Message, name: str) -> list[str]:
    """Message-IDs without their brackets; what is longer than a line may be is none."""
    value = " ".join(str(one) for one in message.get_all(name, []))
    return list(re.findall(r"<([^<>\s]{1,990})>", value))[:100]


def _date(message: email.message.Message) -> float | None:
    value = str(message.get("Date", ""))[:200]
    found = email.utils.parsedate_tz(value)
    if found is None:
        return None
    return float(email.utils.mktime_tz(found))


def _decoded(part: email.message.Message) -> bytes:
    """The part's bytes without its transfer encoding; UTF-16 is read as if it were ASCII."""
    payload: object = _or(lambda: part.get_payload(decode=True), None)
    return payload.replace(b"\0", b"") if isinstance(payload, bytes) else b""


def tokens_in(texts: Sequence[bytes] | Iterator[bytes], public_url: str) -> tuple[tuple[str, str], ...]:
    """Our pixel and link addresses in the texts, as (o or c, token), each once in their order."""
    place = re.escape(public_url.partition("://")[2].encode())
    ours = re.compile(rb"(?i:" + place + rb")/(?:(o)/([\w-]{22})\.gif|(c)/([\w-]{22}))(?![\w-])")
    found: dict[tuple[str, str], None] = {}
    for text in texts:
        for match in ours.finditer(text):
            kind, token = (match[1], match[2]) if match[1] else (match[3], match[4])
            found[kind.decode(), token.decode()] = None
            if len(found) >= MOST_TOKENS:
                return tuple(found)
    return tuple(found)


COUNT = struct.Struct(">I")  # of mails that come together
SIZE = struct.Struct(">II")  # of the public URL, of the mail
ANSWER = struct.Struct(">I")  # its length: what each mail says, each on a line


def _serve(given: BinaryIO, answers: BinaryIO) -> None:
    """Mails on stdin, some together and each with its lengths before it; for them the answer on stdout."""
    while len(head := given.read(COUNT.size)) == COUNT.size:
        (count,) = COUNT.unpack(head)
        told = []
        for _ in range(count):
            for_url, for_mail = SIZE.unpack(given.read(SIZE.size))
            url, raw = given.read(for_url).decode(), given.read(for_mail)
            told.append(parse_mail(raw, url).to_json())
        answer = "\n".join(told).encode()
        answers.write(ANSWER.pack(len(answer)) + answer)
        answers.flush()


def serve() -> None:
    """What a parsing process does, within a limit on its memory."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    _serve(sys.stdin.buffer, sys.stdout.buffer)
