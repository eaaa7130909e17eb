"""A neutral Reply as text for a terminal: pure, and harmless whatever stands in it.

Called by bot/console.py for people, not for `--json`. Buttons are shown as what to type.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bot.chat import Button, Kind, Reply

CARD_EDIT = "card_edit"
_BOLD, _DIM, _PLAIN, _BELL = "\x1b[1m", "\x1b[2m", "\x1b[0m", "\a"
_REORDERING = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))


@dataclass(frozen=True)
class Look:
    """How a terminal takes it: with bold, dim and the bell, and lines broken at `width`; a pipe without."""

    styled: bool = False
    width: int | None = None


def drawn(kind: str, reply: Reply, saved: str | None, look: Look) -> str:
    """The message and an empty line after it. `kind` is the Reply's, or "card_edit"; `saved` names a file."""
    if kind == CARD_EDIT:
        return _aside(reply, look)
    rows = [_in_style(_BOLD, row, look) for row in _fitted(reply.title, look)]
    mark = "• " if kind == Kind.DIGEST else ""
    rows += [part for line in reply.lines for part in _fitted(mark + line, look)]
    rows += [f"{visible(label)}: {visible(value)}" for label, value in (*reply.links, *reply.copyable)]
    if saved:
        rows.append(f"Saved: {visible(saved)}")
    rows += [_in_style(_DIM, row, look) for row in _typed(reply.buttons, look)]
    bell = _BELL if look.styled and kind in (Kind.ALERT, Kind.DIGEST) else ""
    return bell + "\n".join(rows) + "\n\n"


def _aside(reply: Reply, look: Look) -> str:
    """A card whose state changed. The ring beside it is the news: this stands back."""
    rows = [part for line in (reply.title, *reply.lines) for part in _fitted(f"  {line}", look)]
    return "\n".join(_in_style(_DIM, row, look) for row in rows) + "\n\n"


def _typed(rows: Iterable[tuple[Button, ...]], look: Look) -> Iterator[str]:
    """The buttons with what to type for each, as many in a row as there is room for."""
    line = ""
    for button in (one for row in rows for one in row):
        words = visible(f"[{button.text}] {button.action}")
        if line and look.width and len(line) + 3 + len(words) > look.width:
            yield line
            line = ""
        line += f"   {words}" if line else words
    if line:
        yield line


def _fitted(text: str, look: Look) -> list[str]:
    """The lines of a text, broken between words where they are longer than the terminal is wide."""
    lines = visible(text).split("\n") if text else []
    if look.width is None:
        return lines
    return [part for line in lines for part in _broken(line, look.width) or [""]]


def _broken(line: str, width: int) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip(" ")))
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _in_style(style: str, text: str, look: Look) -> str:
    return f"{style}{text}{_PLAIN}" if look.styled else text


def visible(text: str) -> str:
    """Outside text must not drive the terminal: no escape sequences, nothing that reorders a line."""
    return "".join(
        one
        for one in text
        if one == "\n"
        or (
            unicodedata.category(one) not in ("Cc", "Cs", "Zl", "Zp")
            and unicodedata.bidirectional(one) not in _REORDERING
        )
    )
