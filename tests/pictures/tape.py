"""What was said in a chat, in order: what a person typed, and mailbell's payloads as they stand there now.

The fakes of both chats keep the messages; here each gets its moment on the play's clock. An edited message
shows its newest content, at the place and time of its first.
"""

from __future__ import annotations

import copy
import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Clock
from tests.fakes.slack import FakeSlack, Post
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_rules import Parsed


@dataclass
class Entry:
    """One message. `said` is what the person typed, or pressed; else `payload` is what the API was given."""

    at: dt.datetime
    said: str = ""
    payload: dict[str, Any] = field(default_factory=dict)
    id: str = ""  # what a message that refers to this one names
    edited: bool = False


@dataclass
class Tape:
    """The messages of one chat, oldest first; and parts of it, by name, as they stood when taken."""

    clock: Clock
    entries: list[Entry] = field(default_factory=list)
    parts: dict[str, list[Entry]] = field(default_factory=dict)

    def keep(self, name: str, entries: list[Entry]) -> None:
        self.parts[name] = copy.deepcopy(entries)

    def find(self, name: str) -> Entry | None:
        return next((one for one in self.entries if one.id == name), None)

    def add(self, **parts: Any) -> Entry:
        self.entries.append(Entry(self.clock(), **parts))
        return self.entries[-1]


class TapedSlack(FakeSlack):
    """A fake Slack that keeps a tape of the play's only channel, the private chat."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def _new(self, channel: str, payload: dict[str, Any], only_for: str | None = None) -> Post:
        post = super()._new(channel, payload, only_for)
        self.tape.add(payload=payload, id=post.ts)
        return post

    def _chat_update(self, payload: dict[str, Any]) -> Any:
        answer = super()._chat_update(payload)
        post, entry = self._find(payload), self.tape.find(payload["ts"])
        assert post is not None
        assert entry is not None
        entry.payload, entry.edited = post.payload, True
        return answer


class TapedTelegram(FakeTelegram):
    """A fake Telegram that keeps a tape of the play's only chat."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def _show(self, values: dict[str, Any], parsed: Parsed, file: Any = None) -> dict[str, Any]:
        message = super()._show(values, parsed, file)
        self.tape.add(payload=values, id=str(message["message_id"]))
        return message

    async def _editMessageText(self, values: dict[str, Any]) -> Any:
        message = await super()._editMessageText(values)
        entry = self.tape.find(str(values["message_id"]))
        assert entry is not None
        kept = {name: value for name, value in entry.payload.items() if name != "reply_markup"}
        entry.payload, entry.edited = {**kept, **values}, True
        return message
