"""A neutral Reply as Slack's Block Kit: pure, and always within Slack's limits.

Nothing that comes from outside (subjects, names, addresses) stands in a field that Slack parses: titles are
headers or rich text, lines are `plain_text`, values to copy are preformatted rich text, which makes no link
and no preview of a tracked address. Called by bot/slack/client.py before each post and edit.
Limits: https://docs.slack.dev/reference/block-kit/blocks (each constant names its own).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bot.chat import Button, Kind, Reply
from bot.slack.text import escaped, shortened, tidy_lines
from bot.words import units

Block = dict[str, Any]

HEADER = 150
SECTION = 3000
BUTTON_TEXT = 75
BUTTON_VALUE = 2000
BUTTONS_IN_ROW = 25
URL = 3000
ALT = 2000

# Our own bounds, below what Slack takes (50 blocks in a message, about 40,000 characters of text).
ROWS = 15
LINE_BLOCKS = 30
LINES = 12_000
FALLBACK = 3000
COPYABLE = 12_000
TITLE = 300


def message(reply: Reply) -> dict[str, Any]:
    """The fields `text` and `blocks` of a post or an edit that shows `reply` (without its file)."""
    return {"text": fallback(reply), "blocks": blocks(reply)}


def fallback(reply: Reply) -> str:
    """What notifications and screen readers show. Tracked addresses are left out: Slack parses this text."""
    rows = [tidy_lines(row, FALLBACK) for row in (reply.title, *reply.lines)]
    text = "\n".join(row for row in rows if row) or "mailbell"
    while units(escaped(text)) > FALLBACK:
        text = shortened(text, max(1, units(text) * 3 // 4))
    return escaped(text)


def blocks(reply: Reply) -> list[Block]:
    """The blocks of `reply`: title, lines, links, values to copy, rows of buttons."""
    made = list(_title(reply))
    made += _lines(_listed(reply))
    made += _links(reply.links)
    made += _copyable(reply.copyable)
    made += _rows(reply.buttons)
    return made or [_section("mailbell")]


def _listed(reply: Reply) -> tuple[str, ...]:
    """The lines; those of a digest marked, or nobody sees on a phone where one ends and the next begins."""
    return tuple(f"• {line}" for line in reply.lines) if reply.kind is Kind.DIGEST else reply.lines


def _title(reply: Reply) -> Iterator[Block]:
    if reply.kind is Kind.CARD and (text := tidy_lines(reply.title, HEADER)):
        yield {"type": "header", "text": _plain(text)}
    elif text := tidy_lines(reply.title, TITLE):
        yield _rich([_words(_text(text, bold=True))])


def _lines(lines: Iterable[str]) -> list[Block]:
    """Lines packed into as few sections as their limit allows, and cut with a word about it."""
    packed: list[str] = []
    left = LINES
    for line in lines:
        row = tidy_lines(line, SECTION)
        if left < units(row) or (len(packed) == LINE_BLOCKS and units(packed[-1]) + units(row) >= SECTION):
            packed[-1] = shortened(packed[-1], SECTION - 2) + "\n…"
            break
        left -= units(row) + 1
        if packed and units(packed[-1]) + 1 + units(row) <= SECTION:
            packed[-1] += "\n" + row
        else:
            packed.append(row)
    return [_section(text) for text in packed if text.strip()]


def _copyable(pairs: Iterable[tuple[str, str]]) -> list[Block]:
    """Label and value pairs, the values as code. A value too long to show is named, never cut in two."""
    elements: list[Block] = []
    left = COPYABLE
    for label, value in pairs:
        name = tidy_lines(label, TITLE) or "Copy"
        if value and units(value) <= min(SECTION, left):
            left -= units(value)
            elements.append(_words(_text(name, bold=True)))
            elements.append({"type": "rich_text_preformatted", "elements": [_text(value)]})
        elif value:
            elements.append(_words(_text(f"{name}: too long to show here")))
    return [_rich(elements)] if elements else []


def _links(pairs: Iterable[tuple[str, str]]) -> list[Block]:
    parts: list[Block] = []
    for label, url in pairs:
        if units(url) <= URL and len(parts) < 40:
            parts += [_text("\n")] if parts else []
            parts.append({"type": "link", "url": url, "text": tidy_lines(label, TITLE) or "open"})
    return [_rich([_words(*parts)])] if parts else []


def _rows(rows: Iterable[tuple[Button, ...]]) -> list[Block]:
    made: list[Block] = []
    for row in rows:
        usable = [one for one in row if one.action and units(one.action) <= BUTTON_VALUE]
        if usable and len(made) < ROWS:
            buttons = [_button(one, len(made), i) for i, one in enumerate(usable[:BUTTONS_IN_ROW])]
            made.append({"type": "actions", "elements": buttons})
    return made


def _button(button: Button, row: int, column: int) -> Block:
    return {
        "type": "button",
        "action_id": f"press:{row}:{column}",  # unique in the message; what is done stands in the value
        "text": _plain(tidy_lines(button.text, BUTTON_TEXT) or "…"),
        "value": button.action,
    }


def _section(text: str) -> Block:
    return {"type": "section", "text": _plain(text)}


def _plain(text: str) -> Block:
    """A text that Slack shows as it is; `emoji` off, or ":tada:" in a subject becomes a picture."""
    return {"type": "plain_text", "text": text, "emoji": False}


def _rich(elements: list[Block]) -> Block:
    return {"type": "rich_text", "elements": elements}


def _words(*parts: Block) -> Block:
    return {"type": "rich_text_section", "elements": list(parts)}


def _text(text: str, *, bold: bool = False) -> Block:
    part: Block = {"type": "text", "text": text}
    return {**part, "style": {"bold": True}} if bold else part
