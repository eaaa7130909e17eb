"""Logs on stderr in one format, for our code and the libraries'; never an address, never a token.

Called once by `__main__`. The mask is a safety net under a rule: no log call of ours names a person or a
token in the first place.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from tracker.settings import Settings

# Looked for from the beginning of a word only: from each of its letters would cost the square of its length.
_ADDRESS = re.compile(r"(?<![^\s<>\"'(),:;@])[^\s<>\"'(),:;@]+@[^\s<>\"'(),:;@]+")
_TOKEN_PATH = re.compile(r"/(o|c|m|connect)/[^\s\"'?]+")
# A token by itself, as in a database's "Key (token)=(…) already exists": 22 letters of base64, of all kinds.
_TOKEN = re.compile(r"(?<![\w-])(?=\S{0,21}[A-Z])(?=\S{0,21}[a-z])(?=\S{0,21}\d)[\w-]{22}(?![\w-])")
# What Slack and Telegram put into URLs and headers to authenticate.
_SECRET = re.compile(r"(xox[a-z]-|xapp-)[\w-]+|\bbot\d+:[\w-]+")


def mask(text: str) -> str:
    """`text` without e-mail addresses, tracking tokens and chat tokens."""
    text = _ADDRESS.sub("[address]", text)
    text = _TOKEN_PATH.sub(r"/\1/[token]", text)
    text = _SECRET.sub("[secret]", text)
    return _TOKEN.sub("[token]", text)


def _mask_all(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = mask(value)
    return event


def configure(settings: Settings, *, at_terminal: bool = False) -> None:
    """Sends everything that is logged to stderr, as LOG_LEVEL and LOG_FORMAT say.

    `at_terminal`: somebody chats where the lines would appear; without LOG_LEVEL only warnings come through.
    """
    quiet = at_terminal and "log_level" not in settings.model_fields_set
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    as_json = settings.log_format == "json"
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _mask_all,
            structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("WARNING" if quiet else settings.log_level.upper())
    for chatty in (
        "aiosqlite",
        "tortoise",
        "asyncio",
        "httpx",
        "httpcore",
        "slack_bolt",
        "slack_sdk",
        "telegram",
    ):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
