"""What a Telegram update says, in the words of bot/chat.py.

Pure; called by bot/telegram/intake.py. In groups only commands count; edited messages, channel posts, other
bots and what people write to each other are nothing to us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telegram import CallbackQuery, Chat, ChatMember, ChatMemberUpdated, Message, Update
from telegram.constants import ChatType

from bot.chat import Incoming, Place

PLATFORM = "telegram"
# What we ask Telegram for; everything else is never sent to us.
ALLOWED_UPDATES = ("message", "callback_query", "my_chat_member")

# "/track", "/track@mailbell_bot", and what stands after it.
_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@([A-Za-z0-9_]+))?(?:\s+(.*))?\Z", re.DOTALL)
_NO_MORE = (ChatMember.LEFT, ChatMember.BANNED)


@dataclass(frozen=True)
class Said:
    """A person typed something (message_id: where) or pressed a button (query_id: to be answered)."""

    incoming: Incoming
    message_id: str
    query_id: str | None = None


@dataclass(frozen=True)
class Standing:
    """Whether we may write to a chat from now on: blocked, kicked, let in again."""

    chat_id: str
    may_write: bool
    why: str


@dataclass(frozen=True)
class Moved:
    """A group became a supergroup: the same people under a new id."""

    chat_id: str
    to: str


def read(update: Update, username: str) -> Said | Standing | Moved | None:
    """The event that an update holds, or None; `username` is the bot's own, without @; "" if unknown."""
    if update.callback_query is not None:
        return _press(update.callback_query)
    if update.my_chat_member is not None:
        return _standing(update.my_chat_member)
    message = update.message
    if message is None:
        return None
    if message.migrate_to_chat_id:
        return Moved(str(message.chat.id), str(message.migrate_to_chat_id))
    return _message(message, username)


def _message(message: Message, username: str) -> Said | None:
    user, text = message.from_user, message.text
    if user is None or user.is_bot or not text:
        return None
    if message.sender_chat is not None:
        # A channel or a group speaks, under an id that all of them share (777000, or an anonymous admin's).
        return None
    command = _COMMAND.match(text)
    if command is not None:
        verb, addressed_to, rest = command.groups()
        if addressed_to and username and addressed_to.lower() != username.lower():
            return None
        text = f"{verb.lower()} {rest or ''}".strip()
    elif message.chat.type != ChatType.PRIVATE:
        return None
    incoming = Incoming(
        place=_place(message.chat, _topic(message)),
        user_id=str(user.id),
        user_name=user.full_name,
        text=text,
        is_command=command is not None,
    )
    return Said(incoming, str(message.message_id))


def _press(query: CallbackQuery) -> Said | None:
    if query.message is None or query.data is None:
        return None  # a button of an inline message or a game: none of ours
    message_id = str(query.message.message_id)
    topic = _topic(query.message) if isinstance(query.message, Message) else ""
    incoming = Incoming(
        place=_place(query.message.chat, topic),
        user_id=str(query.from_user.id),
        user_name=query.from_user.full_name,
        text=query.data,
        is_button=True,
        pressed_on=message_id,
    )
    return Said(incoming, message_id, query.id)


def _standing(change: ChatMemberUpdated) -> Standing:
    status = change.new_chat_member.status
    muted = status == ChatMember.RESTRICTED and not getattr(change.new_chat_member, "can_send_messages", True)
    private = change.chat.type == ChatType.PRIVATE
    why = "the bot was blocked" if private else "the bot was removed from the group"
    return Standing(str(change.chat.id), status not in _NO_MORE and not muted, why)


def _place(chat: Chat, topic: str) -> Place:
    return Place(
        platform=PLATFORM,
        chat_id=str(chat.id),
        thread_id=topic,
        private=chat.type == ChatType.PRIVATE,
        title=chat.title or "",
    )


def _topic(message: Message) -> str:
    """The forum topic; the thread id of plain replies in other groups is none."""
    return str(message.message_thread_id) if message.is_topic_message and message.message_thread_id else ""
