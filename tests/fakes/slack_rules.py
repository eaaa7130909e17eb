"""Slack's documented limits and shapes, as the fake checks them on every payload.

Written from the reference pages (blocks, elements, views, chat.postMessage), not from our own renderer;
slack_sdk's models check the same payload once more, as each finds what the other misses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

MOST_BLOCKS = {"message": 50, "modal": 100}
PARSED_MENTION = re.compile(r"<[!@#][^>]*>|<https?://[^>]*>|<mailto:[^>]*>")


def length(text: str) -> int:
    """As JavaScript counts: UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def faults_of_post(payload: dict[str, Any]) -> list[str]:
    """What is wrong with a chat.postMessage, chat.postEphemeral or response URL payload."""
    found = list(_message(payload))
    flags = [one for one in ("unfurl_links", "unfurl_media") if payload.get(one) is not False]
    return found + [f"{flag} is {payload.get(flag)!r}: Slack would fetch the addresses" for flag in flags]


def faults_of_update(payload: dict[str, Any]) -> list[str]:
    return list(_message(payload))


def _message(payload: dict[str, Any]) -> Iterator[str]:
    text, blocks = payload.get("text"), payload.get("blocks")
    if not text and not blocks:
        yield "no_text"
    if text is not None:
        if not isinstance(text, str) or length(text) > 4000:
            yield "the text is longer than the 4,000 that Slack advises"
        elif found := PARSED_MENTION.search(text):
            yield f"the text would be parsed as {found[0]!r}"
    if blocks is not None:
        yield from _blocks(blocks, "message")


def _blocks(blocks: Any, where: str) -> Iterator[str]:
    if not isinstance(blocks, list) or not blocks:
        yield "blocks is no list, or empty"
        return
    if len(blocks) > MOST_BLOCKS[where]:
        yield f"{len(blocks)} blocks"
    seen: set[str] = set()
    for block in blocks:
        checker = _CHECKERS.get(block.get("type"))
        if checker is None:
            yield f"block type {block.get('type')!r} is not known here"
            continue
        yield from checker(block)
        name = block.get("block_id")
        if name is not None and (name in seen or not 0 < length(name) <= 255):
            yield f"block_id {name!r} twice or too long"
        seen.add(name)
    actions = [
        one.get("action_id") for block in blocks for one in block.get("elements", []) if "action_id" in one
    ]
    if len(actions) != len(set(actions)):
        yield "an action_id stands twice"
    try:
        for parsed in Block.parse_all(blocks):
            parsed.validate_json()
    except SlackObjectFormationError as error:
        yield f"slack_sdk: {error}"


def _text(text: Any, most: int, kinds: tuple[str, ...] = ("plain_text",)) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        yield f"{text!r} is no {' or '.join(kinds)}"
        return
    words = text.get("text")
    if not isinstance(words, str) or not 0 < length(words) <= most:
        yield f"a text of {length(words) if isinstance(words, str) else words!r}, not 1 to {most}"
    if text["type"] == "mrkdwn":
        if "emoji" in text:
            yield "emoji on mrkdwn"
        if isinstance(words, str) and (found := PARSED_MENTION.search(words)):
            yield f"mrkdwn would be parsed as {found[0]!r}"
    if extra := set(text) - {"type", "text", "emoji", "verbatim"}:
        yield f"text object with {extra}"


def _section(block: dict[str, Any]) -> Iterator[str]:
    if "text" not in block and not block.get("fields"):
        yield "a section with neither text nor fields"
    if "text" in block:
        yield from _text(block["text"], 3000, ("plain_text", "mrkdwn"))
    fields = block.get("fields", [])
    if len(fields) > 10:
        yield f"{len(fields)} fields"
    for one in fields:
        yield from _text(one, 2000, ("plain_text", "mrkdwn"))


def _header(block: dict[str, Any]) -> Iterator[str]:
    yield from _text(block.get("text"), 150)


def _context(block: dict[str, Any]) -> Iterator[str]:
    elements = block.get("elements", [])
    if not 1 <= len(elements) <= 10:
        yield f"a context with {len(elements)} elements"
    for one in elements:
        yield from _text(one, 3000, ("plain_text", "mrkdwn"))


def _actions(block: dict[str, Any]) -> Iterator[str]:
    elements = block.get("elements", [])
    if not 1 <= len(elements) <= 25:
        yield f"actions with {len(elements)} elements"
    for one in elements:
        if one.get("type") != "button":
            yield f"an action of type {one.get('type')!r}"
            continue
        yield from _text(one.get("text"), 75)
        if not 0 < length(str(one.get("action_id", ""))) <= 255:
            yield "a button's action_id is missing or longer than 255"
        if "value" in one and not 0 < length(one["value"]) <= 2000:
            yield "a button's value is empty or longer than 2,000"
        if "url" in one and length(one["url"]) > 3000:
            yield "a button's url is longer than 3,000"


def _rich_text(block: dict[str, Any]) -> Iterator[str]:
    elements = block.get("elements", [])
    if not elements:
        yield "rich text without elements"
    for one in elements:
        kind = one.get("type")
        if kind not in ("rich_text_section", "rich_text_preformatted", "rich_text_quote"):
            yield f"rich text element {kind!r}"
        if not one.get("elements"):
            yield f"{kind} without elements"
        for part in one.get("elements", []):
            yield from _rich_part(part, kind)


def _rich_part(part: dict[str, Any], kind: str) -> Iterator[str]:
    if part.get("type") == "text":
        if not isinstance(part.get("text"), str) or not part["text"]:
            yield "an empty rich text"
        if kind == "rich_text_preformatted" and "style" in part:
            yield "a style in preformatted text"
    elif part.get("type") == "link":
        if kind == "rich_text_preformatted":
            yield "a link in text to copy"
        if not re.match(r"https?://", str(part.get("url"))) or length(str(part.get("url"))) > 3000:
            yield "a link without a usable url"
    else:
        yield f"a rich text part of type {part.get('type')!r}"


def _input(block: dict[str, Any]) -> Iterator[str]:
    yield from _text(block.get("label"), 2000)
    if "hint" in block:
        yield from _text(block["hint"], 2000)
    element = block.get("element", {})
    if element.get("type") != "plain_text_input":
        yield f"an input of type {element.get('type')!r}"
    if not 1 <= int(element.get("max_length", 3000)) <= 3000:
        yield "max_length is not 1 to 3,000"
    if "placeholder" in element:
        yield from _text(element["placeholder"], 150)


def _divider(block: dict[str, Any]) -> Iterator[str]:
    yield from ()


_CHECKERS = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "rich_text": _rich_text,
    "input": _input,
    "divider": _divider,
}


def faults_of_view(view: dict[str, Any]) -> list[str]:
    """What is wrong with a modal."""
    found: list[str] = []
    if view.get("type") != "modal":
        found.append(f"view type {view.get('type')!r}")
    for part in ("title", "submit", "close"):
        if part in view or part == "title":
            found += _text(view.get(part), 24)
    if length(view.get("private_metadata", "")) > 3000:
        found.append("private_metadata is longer than 3,000")
    if length(view.get("callback_id", "")) > 255:
        found.append("callback_id is longer than 255")
    found += _blocks(view.get("blocks"), "modal")
    if any(block.get("type") == "input" for block in view.get("blocks", [])) and "submit" not in view:
        found.append("inputs without submit")
    return found


def shown_text(payload: dict[str, Any]) -> str:
    """All words that a reader sees in a message, block by block, one line each."""
    rows: list[str] = []
    for block in payload.get("blocks") or []:
        if block["type"] in ("section", "header"):
            rows.append(block["text"]["text"])
        elif block["type"] == "context":
            rows += [one["text"] for one in block["elements"]]
        elif block["type"] == "rich_text":
            rows += ["".join(part["text"] for part in one["elements"]) for one in block["elements"]]
    return "\n".join(rows) or str(payload.get("text", ""))


def buttons_of(payload: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The buttons of a message by what stands on them."""
    found = {}
    for block in payload.get("blocks") or []:
        if block["type"] == "actions":
            found.update({one["text"]["text"]: one for one in block["elements"]})
    return found


def copyable_of(payload: dict[str, Any]) -> list[str]:
    """The texts shown as code, in order."""
    return [
        "".join(part["text"] for part in element["elements"])
        for block in payload.get("blocks") or []
        if block["type"] == "rich_text"
        for element in block["elements"]
        if element["type"] == "rich_text_preformatted"
    ]
