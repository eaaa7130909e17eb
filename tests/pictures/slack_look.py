"""Block Kit payloads as HTML, in the manner of a work chat on a phone.

It knows the parts that mailbell sends and no others: an unknown type, key or style raises UnknownPartError,
so that a picture never leaves out what a person would see. Never imports bot/slack: it reads what was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from tests.pictures.tape import Entry, Tape
from tests.pictures.unknown import UnknownPartError, check_keys

Part = dict[str, Any]

# What a post carries beside its blocks, and what it does. `text` is for notifications only.
_POST = {
    "channel",
    "text",
    "blocks",
    "unfurl_links",
    "unfurl_media",
    "thread_ts",
    "reply_broadcast",
    "mrkdwn",
}


def conversation(entries: list[Entry], tape: Tape) -> str:
    """The messages as a person reads them, oldest first."""
    return "\n".join(_typed(one) if one.said else _message(one, tape) for one in entries)


def _typed(entry: Entry) -> str:
    return f'<p class="typed"><span>You</span> {escape(entry.said)}</p>'


def _message(entry: Entry, tape: Tape) -> str:
    payload = entry.payload
    check_keys("a post", payload, _POST)
    thread = _thread(payload, tape)
    body = "\n".join(block(one) for one in payload["blocks"])
    return (
        '<article class="message"><div class="face">m</div><div class="words">'
        f'<p class="by"><b>mailbell</b> <i>APP</i> <time>{entry.at:%H:%M}</time></p>'
        f"{thread}{body}</div></article>"
    )


def _thread(payload: Part, tape: Tape) -> str:
    """Above a message of a thread that is shown in the channel, too: what it answers."""
    if "thread_ts" not in payload:
        return ""
    if payload.get("reply_broadcast") is not True:
        raise UnknownPartError("a message that is in a thread only")
    card = tape.find(payload["thread_ts"])
    assert card is not None
    return f'<p class="thread">replied to a thread: <span>{escape(_first_words(card.payload))}</span></p>'


def _first_words(payload: Part) -> str:
    return (
        str(payload["text"])
        .partition("\n")[0]
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
    )


def block(part: Part) -> str:
    """One block of a message or a modal."""
    draw = BLOCKS.get(part.get("type", ""))
    if draw is None:
        raise UnknownPartError(f"block {part.get('type')!r}")
    return draw(part)


def _header(part: Part) -> str:
    check_keys("header", part, {"type", "text"})
    return f"<h3>{_plain(part['text'])}</h3>"


def _section(part: Part) -> str:
    check_keys("section", part, {"type", "text"})
    return f'<p class="section">{_plain(part["text"])}</p>'


def _actions(part: Part) -> str:
    check_keys("actions", part, {"type", "elements"})
    return f'<p class="actions">{"".join(_button(one) for one in part["elements"])}</p>'


def _button(part: Part) -> str:
    if part.get("type") != "button":
        raise UnknownPartError(f"action {part.get('type')!r}")
    check_keys("button", part, {"type", "action_id", "text", "value", "style"})
    style = part.get("style", "")
    if style not in ("", "primary", "danger"):
        raise UnknownPartError(f"button style {style!r}")
    return f'<span class="button {style}">{_plain(part["text"])}</span>'


def _rich_text(part: Part) -> str:
    check_keys("rich_text", part, {"type", "elements"})
    return "".join(_rich_element(one) for one in part["elements"])


def _rich_element(part: Part) -> str:
    check_keys("a rich text element", part, {"type", "elements"})
    inner = "".join(_rich_part(one) for one in part["elements"])
    if part["type"] == "rich_text_section":
        return f'<p class="section">{inner}</p>'
    if part["type"] == "rich_text_preformatted":
        return f"<pre>{inner}</pre>"
    raise UnknownPartError(f"rich text element {part['type']!r}")


def _rich_part(part: Part) -> str:
    if part.get("type") == "text":
        check_keys("text", part, {"type", "text", "style"})
        return _styled(escape(part["text"]), part.get("style", {}))
    if part.get("type") == "link":
        check_keys("link", part, {"type", "url", "text"})
        return f'<span class="link">{escape(part["text"])}</span>'
    raise UnknownPartError(f"rich text {part.get('type')!r}")


def _styled(inner: str, style: Part) -> str:
    tags = {"bold": "b", "code": "code"}
    check_keys("a text's style", style, set(tags))
    for name in style:
        inner = f"<{tags[name]}>{inner}</{tags[name]}>"
    return inner


def _plain(part: Part) -> str:
    check_keys("a text object", part, {"type", "text", "emoji"})
    if part["type"] != "plain_text" or part.get("emoji") is not False:
        raise UnknownPartError(f"text object {part['type']!r}, emoji {part.get('emoji')}")
    return escape(part["text"])


def _input(part: Part) -> str:
    check_keys("input", part, {"type", "block_id", "optional", "label", "element", "hint"})
    element = part["element"]
    if element["type"] != "plain_text_input":
        raise UnknownPartError(f"input {element['type']!r}")
    check_keys("plain_text_input", element, {"type", "action_id", "multiline", "max_length"})
    optional = " <i>(optional)</i>" if part["optional"] else ""
    hint = f'<p class="hint">{_plain(part["hint"])}</p>' if "hint" in part else ""
    size = " tall" if element["multiline"] else ""
    return f'<p class="label">{_plain(part["label"])}{optional}</p><div class="field{size}"></div>{hint}'


def modal(view: Part) -> str:
    """A form as it stands over the chat."""
    check_keys(
        "view", view, {"type", "callback_id", "title", "submit", "close", "private_metadata", "blocks"}
    )
    body = "\n".join(block(one) for one in view["blocks"])
    return (
        f'<div class="modal"><p class="bar"><span>{_plain(view["close"])}</span>'
        f'<b>{_plain(view["title"])}</b><span class="go">{_plain(view["submit"])}</span></p>{body}</div>'
    )


BLOCKS: dict[str, Callable[[Part], str]] = {
    "header": _header,
    "section": _section,
    "actions": _actions,
    "rich_text": _rich_text,
    "input": _input,
}
