"""People and chats of the fake Telegram, and the bot's messages as they stand there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Person:
    id: int
    name: str

    @property
    def json(self) -> dict[str, Any]:
        return {"id": self.id, "is_bot": False, "first_name": self.name}


@dataclass(frozen=True)
class Chat:
    """A private chat (id of the person), or a group (negative id)."""

    id: int
    title: str = ""
    topic: int | None = None

    @property
    def json(self) -> dict[str, Any]:
        if self.id > 0:
            return {"id": self.id, "type": "private", "first_name": "somebody"}
        return {"id": self.id, "type": "supergroup", "title": self.title}


@dataclass
class Shown:
    """A message of the bot as it stands in a chat now."""

    id: int
    chat_id: int
    text: str
    entities: list[tuple[str, str, str]]
    buttons: list[dict[str, Any]]
    reply_to: int | None = None
    thread: int | None = None
    file: tuple[str, bytes] | None = None
    edits: int = 0
    silent: bool = False
    markup: Any = None

    def button(self, text: str) -> str:
        """The data of the button with this label."""
        return str(next(one["callback_data"] for one in self.buttons if one["text"].startswith(text)))

    def styled(self, tag: str) -> list[str]:
        return [text for name, text, _ in self.entities if name == tag]
