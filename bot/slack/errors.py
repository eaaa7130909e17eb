"""What goes wrong at Slack's API, in the words of bot/chat.py: who catches it knows what to do.

Pure. Called by bot/slack/client.py around every request. Sources: the error tables of chat.postMessage,
chat.update and conversations.open in Slack's reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.chat import ChatError, GoneError, LostError, NoAnswerError, RefusedError, TryLaterError

# This chat takes nothing any more, whatever is sent: Slack's code, and why in words for the owner.
GONE = {
    "account_inactive": "the app or its owner was deactivated in Slack",
    "cannot_dm_bot": "Slack allows no chat with a bot there",
    "channel_not_found": "Slack does not find the channel, or mailbell is not in it",
    "is_archived": "the channel is archived",
    "is_inactive": "the channel is archived",
    "messages_tab_disabled": "the app's messages tab is off",
    "not_in_channel": "mailbell is not in the channel: type /invite @mailbell there",
    "restricted_action": "mailbell may not post there",
    "restricted_action_non_threadable_channel": "mailbell may not post there",
    "restricted_action_read_only_channel": "the channel is read-only",
    "restricted_action_thread_only_channel": "mailbell may not post there",
    "team_access_not_granted": "mailbell is not let into that workspace",
    "team_not_found": "Slack does not find the workspace",
    "token_revoked": "Slack revoked the bot's token",
    "user_disabled": "the user was deactivated",
    "user_not_found": "Slack does not find the user",
    "users_not_found": "Slack does not find the user",
    "user_not_visible": "Slack does not show the user",
}

# The message to edit, or the thread to post in, is not there any more.
LOST = frozenset({
    "cannot_reply_to_message", "cant_update_message", "edit_window_closed", "message_not_found",
    "thread_not_found",
})  # fmt: skip

# Slack's own trouble: the message may have been posted.
UNSURE = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})

# The operator has to act (a wrong token, a missing scope): nothing is lost meanwhile.
OPERATOR = frozenset({
    "access_denied", "accesslimited", "ekm_access_denied", "enterprise_is_restricted", "invalid_auth",
    "missing_scope", "no_permission", "not_allowed_token_type", "not_authed", "org_login_required",
    "team_added_to_org", "token_expired", "two_factor_setup_required", "message_limit_exceeded",
})  # fmt: skip
OPERATOR_SECONDS = 300.0
MOST_SECONDS = 3600.0


def chat_error(error: Exception) -> ChatError:
    """The ChatError that says what to do about `error`, which came from slack_sdk or aiohttp."""
    if isinstance(error, ChatError):
        return error
    if isinstance(error, SlackApiError):
        return _answered(error)
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return TryLaterError(f"Slack cannot be reached ({type(error).__name__})")
    if isinstance(error, (aiohttp.ClientError, asyncio.TimeoutError, OSError)):
        return NoAnswerError(f"Slack gave no answer ({type(error).__name__})")
    if isinstance(error, SlackClientError):
        return NoAnswerError("Slack's answer could not be read")
    return NoAnswerError(f"asking Slack failed ({type(error).__name__})")


def _answered(error: SlackApiError) -> ChatError:
    answer = error.response
    status = int(getattr(answer, "status_code", 0) or 0)
    data = getattr(answer, "data", None)
    if not status:  # a body that is no JSON: the SDK hands over aiohttp's own response
        status = int(getattr(answer, "status", 0) or 0)
    code = str(data.get("error") or "") if isinstance(data, dict) else ""
    headers = getattr(answer, "headers", None) or {}
    if status == 429 or code in ("ratelimited", "rate_limited"):
        return TryLaterError("Slack asked us to wait", seconds_asked(headers))
    if status >= 500 or code in UNSURE or not code:
        return NoAnswerError(f"Slack answered {status} {code}".strip())
    return _refused(code)


def _refused(code: str) -> ChatError:
    if code in GONE:
        return GoneError(GONE[code])
    if code in LOST:
        return LostError(code)
    if code in OPERATOR:
        return TryLaterError(code, OPERATOR_SECONDS)
    return RefusedError(code)


def seconds_asked(headers: Mapping[str, str]) -> float | None:
    """The Retry-After header, at most an hour; None where it is missing or no number."""
    for name, value in headers.items():
        if name.lower() == "retry-after" and str(value).strip().isdecimal():
            return min(float(str(value).strip()[:9]), MOST_SECONDS)
    return None
