"""What Telegram's refusals mean for whoever sent: the library's errors as the few that bot/chat.py draws.

Pure; called by bot/telegram/chat.py for every call. Descriptions are matched in lower case, as the Bot API
words them; an unknown 400 is a payload that will never be taken.
"""

from __future__ import annotations

import datetime as dt

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)

from bot.chat import ChatError, GoneError, LostError, NoAnswerError, RefusedError, TryLaterError
from bot.telegram.transport import FloodError, UnsentError

UNCHANGED = "message is not modified"
TOKEN_REFUSED = "Telegram refuses TELEGRAM_BOT_TOKEN; put the one that @BotFather shows"  # noqa: S105
_TOKEN_PAUSE = 60.0

# The destination is dead: nothing sent there will ever arrive.
_GONE = (
    "chat not found",
    "user not found",
    "user_deactivated",
    "user is deactivated",
    "peer_id_invalid",
    "group chat was deactivated",
    "message thread not found",
    "topic_deleted",
    "topic_closed",
    "not enough rights to send",
    "have no rights to send",
    "chat_write_forbidden",
    "chat_restricted",
    "need administrator rights",
)
# The message to edit or to refer to is gone; a new one can be sent.
_LOST = (
    "message to edit not found",
    "message can't be edited",
    "message_id_invalid",
    "message to be replied not found",
    "message to reply not found",
    "replied message not found",
    "there is no text in the message to edit",
)


def translate(error: TelegramError) -> ChatError:
    """The ChatError that tells the caller what to do next."""
    why = error.message
    match error:
        case FloodError():
            return TryLaterError(why, after=error.seconds)
        case RetryAfter():
            return TryLaterError("too many requests", after=_seconds(error.retry_after))
        case UnsentError():
            return TryLaterError(why)
        case InvalidToken():
            return TryLaterError(TOKEN_REFUSED, after=_TOKEN_PAUSE)
        case ChatMigrated():
            return GoneError("the group became a supergroup", moved_to=str(error.new_chat_id))
        case Forbidden():
            return GoneError(why)
        case BadRequest():
            return _bad_request(why)
        case Conflict():
            return TryLaterError(why)
    return NoAnswerError(why)  # time-outs, cut connections, 5xx, answers that are no JSON


def is_unchanged(error: TelegramError) -> bool:
    """Whether an edit was refused because the message shows exactly that already."""
    return isinstance(error, BadRequest) and UNCHANGED in error.message.lower()


def _bad_request(why: str) -> ChatError:
    said = why.lower()
    if any(words in said for words in _GONE):
        return GoneError(why)
    if any(words in said for words in _LOST):
        return LostError(why)
    return RefusedError(why)


def _seconds(wait: int | dt.timedelta) -> float:
    """The library gives whole seconds today and a timedelta tomorrow."""
    return wait.total_seconds() if isinstance(wait, dt.timedelta) else float(wait)
