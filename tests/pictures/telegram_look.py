"""Bot API payloads as HTML, in the manner of a messenger on a phone: bubbles, with keys under them.

It knows the parts that mailbell sends and no others: an unknown tag, key or kind of button raises
UnknownPartError, so that a picture never leaves out what a person would see.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any

from tests.fakes.telegram_rules import parse_html
from tests.pictures.tape import Entry, Tape
from tests.pictures.unknown import UnknownPartError, check_keys

Part = dict[str, Any]

_MESSAGE = {
    "chat_id", "text", "parse_mode", "link_preview_options", "reply_markup", "reply_parameters", "message_id",
}  # fmt: skip
_TAG = re.compile(r'<(/?)(\w+)(?: href="([^"]*)")?>')
TAGS = {"b": "b", "code": "code", "pre": "pre", "a": "span"}


def conversation(entries: list[Entry], tape: Tape) -> str:
    """The messages as a person reads them, oldest first."""
    return "\n".join(_typed(one) if one.said else _message(one, tape) for one in entries)


def _typed(entry: Entry) -> str:
    return (
        f'<div class="bubble mine"><div class="words">{escape(entry.said)}'
        f"{_time(f'{entry.at:%H:%M}')}</div></div>"
    )


def _message(entry: Entry, tape: Tape) -> str:
    payload = entry.payload
    check_keys("a message", payload, _MESSAGE)
    time = f"edited {entry.at:%H:%M}" if entry.edited else f"{entry.at:%H:%M}"
    return (
        f'<div class="bubble"><div class="words">{_quoted(payload, tape)}{words(payload["text"])}'
        f"{_time(time)}</div>{keyboard(payload.get('reply_markup'))}</div>"
    )


def _time(text: str) -> str:
    """In the bubble's corner; the last line leaves as much room for it."""
    return f'<span class="room">{text}</span><time>{text}</time>'


def _quoted(payload: Part, tape: Tape) -> str:
    """The message that this one replies to, in one line."""
    parameters = payload.get("reply_parameters")
    if parameters is None:
        return ""
    check_keys("reply_parameters", parameters, {"message_id", "allow_sending_without_reply"})
    card = tape.find(str(parameters["message_id"]))
    assert card is not None
    shown = parse_html(card.payload["text"]).text.replace("\n", " ")
    return f'<div class="quote"><b>mailbell</b><span>{escape(shown)}</span></div>'


def words(html: str) -> str:
    """Telegram's HTML as the browser's."""
    made, at = [], 0
    for found in _TAG.finditer(html):
        made += [_text(html[at : found.start()]), _tag(*found.groups())]
        at = found.end()
    return "".join([*made, _text(html[at:])])


def _text(raw: str) -> str:
    if "<" in raw or ">" in raw:
        raise UnknownPartError(f"markup in {raw!r}")
    return escape(unescape(raw), quote=False)


def _tag(closing: str, name: str, href: str | None) -> str:
    if name not in TAGS or (href is not None) != (name == "a" and not closing):
        raise UnknownPartError(f"tag <{closing}{name}>")
    attribute = ' class="link"' if href is not None else ""
    return f"<{closing}{TAGS[name]}{attribute}>"


def keyboard(markup: Part | None) -> str:
    """Rows of keys, each row as wide as the bubble."""
    if markup is None:
        return ""
    check_keys("reply_markup", markup, {"inline_keyboard"})
    rows = ["".join(_key(one) for one in row) for row in markup["inline_keyboard"]]
    return "".join(f'<div class="keys">{row}</div>' for row in rows)


def _key(key: Part) -> str:
    check_keys("a key", key, {"text", "callback_data", "copy_text"})
    kind = "copy" if "copy_text" in key else ""
    return f'<span class="key {kind}"><span>{escape(key["text"])}</span></span>'
