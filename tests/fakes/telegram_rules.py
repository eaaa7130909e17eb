"""What the Bot API accepts: every payload that we send in tests is held against it.

Written from https://core.telegram.org/bots/api. A `Refusal` is what Telegram would answer with 400.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any

_TAGS = {
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "tg-spoiler",
    "a",
    "code",
    "pre",
    "blockquote",
}
_TOKEN = re.compile(r"<(/?)([a-zA-Z][a-zA-Z-]*)((?:\s+[a-zA-Z-]+=\"[^\"<>]*\")*)\s*>")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);")
_UPDATE_KINDS = {
    "message", "edited_message", "channel_post", "edited_channel_post", "inline_query", "callback_query",
    "my_chat_member", "chat_member", "chat_join_request", "poll", "poll_answer", "message_reaction",
}  # fmt: skip


class Refusal(Exception):
    """400 Bad Request, with Telegram's description."""


@dataclass
class Parsed:
    """Text as people see it, and what is styled in it: (tag, text, address)."""

    text: str = ""
    entities: list[tuple[str, str, str]] = field(default_factory=list)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def parse_html(html: str) -> Parsed:
    """Reads parse_mode HTML as Telegram does: only its tags, all balanced, nothing left unescaped."""
    parsed, open_tags, at = Parsed(), [], 0
    for token in _TOKEN.finditer(html):
        parsed.text += _plain(html[at : token.start()])
        at = token.end()
        closing, tag, attributes = token.groups()
        if tag.lower() not in _TAGS:
            raise Refusal(f'can\'t parse entities: unsupported start tag "{tag}"')
        if not closing:
            href = re.search(r'href="([^"]*)"', attributes)
            if bool(href) != (tag == "a") or (attributes and tag != "a"):
                raise Refusal(f"can't parse entities: wrong attributes of <{tag}>")
            open_tags.append((tag, len(parsed.text), unescape(href.group(1)) if href else ""))
            continue
        if not open_tags or open_tags[-1][0] != tag:
            raise Refusal(f"can't parse entities: unexpected end tag </{tag}>")
        name, begin, address = open_tags.pop()
        parsed.entities.append((name, parsed.text[begin:], address))
    if open_tags:
        raise Refusal(f"can't parse entities: can't find end tag of <{open_tags[-1][0]}>")
    parsed.text += _plain(html[at:])
    return parsed


def _plain(raw: str) -> str:
    rest = _ENTITY.sub("", raw)
    if any(character in rest for character in "<>&"):
        raise Refusal(f"can't parse entities: unescaped character in {raw[:60]!r}")
    return unescape(raw)


# name → (type, required). Whatever else arrives is a mistake of ours.
_SHOWN = {
    "parse_mode": ("str", False),
    "message_thread_id": ("int", False),
    "reply_parameters": ("json", False),
    "reply_markup": ("json", False),
    "disable_notification": ("bool", False),
}
_CHAT = {"chat_id": ("int", True)}
METHODS: dict[str, dict[str, tuple[str, bool]]] = {
    "getMe": {},
    "getUpdates": {
        "offset": ("int", False), "limit": ("int", False), "timeout": ("int", False),
        "allowed_updates": ("json", False),
    },
    "setWebhook": {
        "url": ("str", True), "secret_token": ("str", False), "allowed_updates": ("json", False),
        "max_connections": ("int", False), "drop_pending_updates": ("bool", False),
    },
    "deleteWebhook": {"drop_pending_updates": ("bool", False)},
    "getWebhookInfo": {},
    "setMyCommands": {"commands": ("json", True), "scope": ("json", False), "language_code": ("str", False)},
    "setMyDescription": {"description": ("str", False), "language_code": ("str", False)},
    "setMyShortDescription": {"short_description": ("str", False), "language_code": ("str", False)},
    "sendMessage": {**_CHAT, **_SHOWN, "text": ("str", True), "link_preview_options": ("json", False)},
    "sendPhoto": {**_CHAT, **_SHOWN, "photo": ("file", True), "caption": ("str", False)},
    "sendDocument": {**_CHAT, **_SHOWN, "document": ("file", True), "caption": ("str", False)},
    "editMessageText": {
        **_CHAT, "message_id": ("int", True), "text": ("str", True), "parse_mode": ("str", False),
        "link_preview_options": ("json", False), "reply_markup": ("json", False),
    },
    "answerCallbackQuery": {
        "callback_query_id": ("str", True), "text": ("str", False), "show_alert": ("bool", False),
        "cache_time": ("int", False), "url": ("str", False),
    },
}  # fmt: skip


def check(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their types, or Refusal."""
    known = METHODS[method]
    if unknown := set(given) - set(known):
        raise Refusal(f"unknown parameters: {sorted(unknown)}")
    if missing := {name for name, (_, required) in known.items() if required and name not in given}:
        raise Refusal(f"{sorted(missing)} is missing")
    values = {name: _typed(name, known[name][0], value) for name, value in given.items()}
    for name, rule in _RULES.items():
        if name in values:
            rule(values[name])
    return values


def _typed(name: str, kind: str, value: Any) -> Any:
    if kind == "file":
        if not getattr(value, "filename", None):
            raise Refusal(f"{name}: there is no file in the request")
        return value
    try:
        if kind == "int":
            return int(value)
        if kind == "bool":
            return {"true": True, "false": False}[value.lower()]
        return json.loads(value) if kind == "json" else value
    except (ValueError, KeyError):
        raise Refusal(f"{name}: {value!r} is no {kind}") from None


def body(values: dict[str, Any]) -> Parsed:
    """The text or caption that people see, within its limit."""
    name, limit = ("text", 4096) if "text" in values else ("caption", 1024)
    raw = values.get(name, "")
    if values.get("parse_mode") not in (None, "HTML"):
        raise Refusal("parse_mode: only HTML is used here")
    parsed = parse_html(raw) if values.get("parse_mode") else Parsed(raw)
    if name == "text" and not parsed.text.strip():
        raise Refusal("message text is empty")
    if utf16(parsed.text) > limit:
        raise Refusal(f"message {'caption ' if name == 'caption' else ''}is too long")
    if name == "text" and not (values.get("link_preview_options") or {}).get("is_disabled"):
        raise Refusal("link previews are on: an unfurler would open the tracked mail")
    return parsed


def _keyboard(markup: Any) -> None:
    if set(markup) != {"inline_keyboard"}:
        raise Refusal("reply_markup: only inline keyboards are used here")
    rows = markup["inline_keyboard"]
    if not rows or any(not row for row in rows):
        raise Refusal("reply_markup: an empty row")
    if any(len(row) > 8 for row in rows) or sum(map(len, rows)) > 100:
        raise Refusal("reply_markup: too many buttons")
    for button in (one for row in rows for one in row):
        _button(button)


def _button(button: dict[str, Any]) -> None:
    if not button.get("text", "").strip():
        raise Refusal("BUTTON_TEXT_EMPTY")
    kinds = set(button) - {"text"}
    if kinds == {"callback_data"}:
        if not 1 <= len(button["callback_data"].encode()) <= 64:
            raise Refusal("BUTTON_DATA_INVALID")
    elif kinds == {"copy_text"}:
        if set(button["copy_text"]) != {"text"} or not 1 <= utf16(button["copy_text"]["text"]) <= 256:
            raise Refusal("BUTTON_COPY_TEXT_INVALID")
    else:
        raise Refusal(f"a button does exactly one thing, not {sorted(kinds)}")


def _reply(parameters: Any) -> None:
    if set(parameters) - {"message_id", "chat_id", "allow_sending_without_reply", "quote"}:
        raise Refusal(f"reply_parameters: {sorted(parameters)}")
    if not isinstance(parameters.get("message_id"), int) or parameters["message_id"] < 1:
        raise Refusal("reply_parameters: message_id is invalid")


def _commands(commands: Any) -> None:
    if len(commands) > 100:
        raise Refusal("BOT_COMMANDS_TOO_MUCH")
    for one in commands:
        if set(one) != {"command", "description"} or not re.fullmatch(r"[a-z0-9_]{1,32}", one["command"]):
            raise Refusal(f"BOT_COMMAND_INVALID: {one}")
        if not 1 <= utf16(one["description"]) <= 256:
            raise Refusal("BOT_COMMAND_DESCRIPTION_INVALID")
    if len({one["command"] for one in commands}) != len(commands):
        raise Refusal("a command twice")


def _at_most(limit: int, what: str) -> Any:
    def rule(text: str) -> None:
        if utf16(text) > limit:
            raise Refusal(f"{what} is too long")

    return rule


def _secret(secret: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret):
        raise Refusal("secret token contains unallowed characters")


def _updates(kinds: Any) -> None:
    if not isinstance(kinds, list) or set(kinds) - _UPDATE_KINDS:
        raise Refusal(f"allowed_updates: {kinds}")


_RULES = {
    "reply_markup": _keyboard,
    "reply_parameters": _reply,
    "commands": _commands,
    "description": _at_most(512, "description"),
    "short_description": _at_most(120, "short description"),
    "secret_token": _secret,
    "allowed_updates": _updates,
}
