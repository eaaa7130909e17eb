"""A neutral Reply as Telegram shows it: HTML pieces within the Bot API's limits, and buttons.

Pure; called by bot/telegram/chat.py. Every outside text passes `_tame` and `escape` here and nowhere else.
Lengths are what Telegram counts: UTF-16 units of the text after its entities are parsed
(https://core.telegram.org/bots/api#sendmessage).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from urllib.parse import urlsplit

from bot.chat import Button, Kind, Reply
from bot.words import beginning, units

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
ACTION_BYTES = 64
COPY_LIMIT = 256
ROW_LIMIT = 8
BUTTON_LIMIT = 100
_LABEL_LIMIT = 64  # the API names no limit for a button's text; phones show fewer
_COPY_BUTTONS = 8
_LONG_VALUE = 120  # from here on a copyable value stands in a block of its own

# Controls, and the characters that turn the reading direction: a subject could dress up as our own words.
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# "@somebody" at the start of a word would call that member of a group; inside an address it stays.
_MENTION = re.compile(r"(?<![\w@.])@(?=\w)")


@dataclass(frozen=True)
class Span:
    """A stretch of text in one style: "", "b", "code", "pre", or "a" with its address."""

    text: str
    tag: str = ""
    href: str = ""

    @property
    def html(self) -> str:
        inner = escape(self.text, quote=False)
        if not self.tag:
            return inner
        attribute = f' href="{escape(self.href)}"' if self.tag == "a" else ""
        return f"<{self.tag}{attribute}>{inner}</{self.tag}>"


@dataclass(frozen=True)
class Key:
    """One button: `action` goes back to us when pressed, `copy` goes to the person's clipboard."""

    text: str
    action: str = ""
    copy: str = ""


@dataclass(frozen=True)
class Rendered:
    """HTML pieces, each within the limit, in order; the buttons belong under the last."""

    pieces: tuple[str, ...]
    keys: tuple[tuple[Key, ...], ...] = field(default=())


def render(reply: Reply, *, limit: int = TEXT_LIMIT, whole: bool = False) -> Rendered:
    """The reply in as many pieces as it takes; with `whole`, in one that is cut where it is too long.

    Cards and rings are `whole`: they are edited, and referred to, as one message.
    """
    pieces = list(_pack(_lines(reply), limit))
    if whole and len(pieces) > 1:
        pieces = [_clip(pieces[0], limit)]
    html = tuple("".join(span.html for span in piece) for piece in pieces)
    return Rendered(html or ("…",), keys(reply))


def fits(reply: Reply, limit: int) -> bool:
    """Whether the whole text stays within one message, or caption, of `limit`."""
    return len(list(_pack(_lines(reply), limit))) <= 1


def one_line(reply: Reply, limit: int = 200) -> str:
    """The reply as the plain text of a pop-up (answerCallbackQuery: 200 characters)."""
    text = _tame(reply.text)
    return text if units(text) <= limit else beginning(text, limit - 1) + "…"


def keys(reply: Reply) -> tuple[tuple[Key, ...], ...]:
    """Rows of buttons: the reply's own, then one for each value that can be copied."""
    rows = [[key for button in row if (key := _key(button))] for row in reply.buttons]
    copies = [
        Key(_label(f"Copy {_inside(label)}"), copy=value)
        for label, value in reply.copyable
        if 1 <= units(value) <= COPY_LIMIT
    ][:_COPY_BUTTONS]
    rows += [copies[at : at + 2] for at in range(0, len(copies), 2)]
    narrow = [tuple(row[at : at + ROW_LIMIT]) for row in rows for at in range(0, len(row), ROW_LIMIT)]
    return tuple(_first(narrow, BUTTON_LIMIT))


def _key(button: Button) -> Key | None:
    """A button as Telegram takes it.

    An action over 64 bytes cannot come back to us, so that button copies the command for the person to
    send; one that is too long even for that is left out.
    """
    if 1 <= len(button.action.encode()) <= ACTION_BYTES:
        return Key(_label(button.text), action=button.action)
    command = f"/{button.action}"
    if button.action and units(command) <= COPY_LIMIT:
        return Key(_label(f"{button.text} (copy command)"), copy=command)
    return None


def _inside(label: str) -> str:
    """A label inside a sentence: "Pixel" is "pixel" there, and "HTML" stays."""
    return label.lower() if label[1:].islower() else label


def _label(text: str) -> str:
    text = " ".join(_tame(text).split()) or "…"
    return text if units(text) <= _LABEL_LIMIT else beginning(text, _LABEL_LIMIT - 1) + "…"


def _first(rows: Iterable[tuple[Key, ...]], limit: int) -> Iterator[tuple[Key, ...]]:
    for row in rows:
        if len(row) > limit:
            return
        limit -= len(row)
        yield row


def _tame(text: str) -> str:
    text = _SURROGATES.sub("\ufffd", text.replace("\r\n", "\n"))
    return _CONTROLS.sub(" ", text)


def _lines(reply: Reply) -> list[list[Span]]:
    lines: list[list[Span]] = []
    if reply.title:
        lines.append([Span(_plain(reply.title), "b")])
    # On a phone nobody sees where one line of a digest ends and the next begins.
    mark = "• " if reply.kind is Kind.DIGEST else ""
    lines += [[Span(part)] for line in reply.lines for part in _plain(mark + line).split("\n")]
    lines += [_link(_plain(label), _tame(address)) for label, address in reply.links]
    for label, given in reply.copyable:
        value = _tame(given)
        if units(value) > _LONG_VALUE or "\n" in value:
            lines += [[Span(f"{_plain(label)}:")], [Span(value, "pre")]]
        else:
            lines.append([Span(f"{_plain(label)}: "), Span(value, "code")])
    return lines


def _plain(text: str) -> str:
    return _MENTION.sub("@\u2060", _tame(text))


def _link(label: str, address: str) -> list[Span]:
    """A clickable label; Telegram drops addresses without a dot (localhost), so these stand as they are."""
    try:
        parts = urlsplit(address)
        clickable = parts.scheme in ("http", "https") and "." in (parts.hostname or "")
    except ValueError:
        clickable = False
    return [Span(label, "a", address)] if clickable else [Span(f"{label}: "), Span(address, "code")]


def _pack(lines: list[list[Span]], limit: int) -> Iterator[list[Span]]:
    """Lines joined by newlines into pieces of at most `limit`; a line is broken only where it is longer."""
    piece: list[Span] = []
    used = 0
    for line in lines:
        for part in _split(line, limit):
            size = _size(part)
            if piece and used + 1 + size > limit:
                if _shows(piece):
                    yield piece
                piece, used = [], 0
            if piece:
                piece.append(Span("\n"))
                used += 1
            piece += part or [Span("")]
            used += size
    if _shows(piece):
        yield piece


def _split(line: list[Span], limit: int) -> Iterator[list[Span]]:
    part: list[Span] = []
    room = limit
    for span in line:
        rest = span.text
        while units(rest) > room:
            head = beginning(rest, room)
            part.append(replace(span, text=head))
            yield [one for one in part if one.text]
            part, room, rest = [], limit, rest[len(head) :]
        part.append(replace(span, text=rest))
        room -= units(rest)
    yield [one for one in part if one.text]


def _clip(piece: list[Span], limit: int) -> list[Span]:
    """The piece with an ellipsis at its end, still within `limit`."""
    room = limit - 2
    kept: list[Span] = []
    for span in piece:
        head = beginning(span.text, room)
        room -= units(head)
        if head:
            kept.append(replace(span, text=head))
        if len(head) < len(span.text):
            break
    return [*kept, Span("\n…")]


def _size(line: list[Span]) -> int:
    return sum(units(span.text) for span in line)


def _shows(piece: list[Span]) -> bool:
    """Telegram refuses a message of nothing but white space."""
    return any(span.text.strip() for span in piece)
