"""What commands and rings know of a chat: neutral words in, neutral words out.

Slack, Telegram and the console each implement `Chat`; none of them imports another, and nothing above them
knows any of their formats. Text in here is plain: each chat escapes it in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True)
class Place:
    """Where something was said, or has to be said."""

    platform: str  # slack | telegram | console
    chat_id: str
    workspace: str = ""  # Slack team
    thread_id: str = ""  # a Telegram group's topic
    private: bool = True  # one person and the bot
    title: str = ""


@dataclass(frozen=True)
class Incoming:
    """Something a person did in a chat: typed a command or plain text, or pressed a button."""

    place: Place
    user_id: str
    user_name: str
    text: str  # "track ana@acme.com Q3", without slash; or the action of the pressed button
    is_button: bool = False
    is_command: bool = True  # False: plain text without a slash, understood in private chats
    pressed_on: str | None = None  # remote id of the message whose button was pressed
    lines: str = ""  # what was typed, line by line, where the text has become one line


@dataclass(frozen=True)
class Button:
    """A button under a message. `action` is a command line, "show k7m2qx": at most 64 bytes of UTF-8."""

    text: str
    action: str


class Kind(StrEnum):
    """What a message is, for chats that tell them apart (the console's JSON lines)."""

    REPLY = "reply"
    CARD = "card"
    ALERT = "alert"
    DIGEST = "digest"
    ERROR = "error"


@dataclass(frozen=True)
class Reply:
    """One message, without any chat's formatting."""

    title: str = ""
    lines: tuple[str, ...] = ()
    # Label and value pairs that a person copies: shown as code, never as a link, previews off. An unfurler
    # that fetches a tracked URL makes a false hit.
    copyable: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # label and address of our own pages, clickable
    buttons: tuple[tuple[Button, ...], ...] = ()  # rows
    file: tuple[str, bytes] | None = None  # name and content: a picture or an export
    kind: Kind = Kind.REPLY
    private: bool = True  # holds addresses: goes to the private chat when asked for in a group
    form: str | None = None  # the verb whose questions to ask: a modal in Slack, step by step in Telegram
    data: Mapping[str, Any] = field(default_factory=dict)  # machine-readable, for the console's --json

    @property
    def text(self) -> str:
        """The whole message as plain text."""
        rows = [self.title] if self.title else []
        rows += self.lines
        rows += [f"{label}: {value}" for label, value in (*self.links, *self.copyable)]
        return "\n".join(rows)


@dataclass(frozen=True)
class Sent:
    """The chat took the message: its id there, for edits and for messages that refer to it."""

    remote_id: str


class ChatError(Exception):
    """Base of what can go wrong at a chat's API; each subclass says what the caller should do.

    ChatError
      ├─ TryLaterError   nothing was shown: wait `after` seconds, then send again
      ├─ NoAnswerError   it may or may not have been shown: send again, and accept a double
      ├─ GoneError       this destination is dead for good: switch it off, tell the owner elsewhere
      ├─ LostError       the message to edit or to refer to is gone: post anew
      └─ RefusedError    this payload will never be taken: do not send it again
    """


class TryLaterError(ChatError):
    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after  # seconds the chat asked for, or None: back off


class NoAnswerError(ChatError):
    """Time-out, cut connection or 5xx after the request went out."""


class GoneError(ChatError):
    def __init__(self, why: str, moved_to: str | None = None) -> None:
        super().__init__(why)
        self.moved_to = moved_to  # the chat's new id (a Telegram group that became a supergroup)


class LostError(ChatError):
    """The referred message does not exist any more."""


class RefusedError(ChatError):
    """The platform says that this payload is wrong."""


class Chat(Protocol):
    """A chat platform, as bot/deliver and `__main__` use it. Every call raises only ChatError."""

    platform: str

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, place: Place, reply: Reply, *, under: str | None = None) -> Sent:
        """Posts `reply`; `under` is the remote id of the card that it refers to.

        Telegram: a reply to it. Slack: in its thread, also sent to the channel.
        """
        ...

    async def edit(self, place: Place, remote_id: str, reply: Reply) -> None:
        """Replaces a message in place. Unchanged content is not an error."""
        ...

    def health(self) -> str:
        """Says "ok", or what is wrong in a few words: shown by /healthz."""
        ...
