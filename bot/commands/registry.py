"""The shapes of the one registry of commands; the commands themselves stand in the files beside it.

COMMANDS (in bot/commands/__init__.py) drives Slack, Telegram, the console, every help text, the Slack
manifest, Telegram's menu and the README's table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.chat import Incoming, Reply
from models import Account
from tracker.services import Services


@dataclass(frozen=True)
class Request:
    """A command of somebody who may give it."""

    services: Services
    account: Account
    incoming: Incoming
    arguments: str  # what stood after the verb, one line, trimmed


@dataclass(frozen=True)
class Question:
    """One field of a form: an input in Slack's modal, one step of Telegram's dialogue."""

    name: str
    label: str
    hint: str = ""
    required: bool = True
    multiline: bool = False
    check: Callable[[str], str | None] | None = None  # what is wrong with an answer, in words
    typed: Callable[[str], str] | None = None  # the answer as it stands in a command line
    keeps_lines: bool = False  # line ends matter; they stand as ¶ in a command line


class CommandError(Exception):
    """Wrong use: the text says what was wrong, which value, and what to type instead."""


Handler = Callable[[Request], Awaitable[Reply]]


@dataclass(frozen=True)
class Command:
    """One verb. `usage` is what stands after it; `details` are the lines of `help VERB`."""

    verb: str
    summary: str  # one line, at most 100 characters
    usage: str
    handler: Handler
    details: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    form: tuple[Question, ...] = ()  # asked when the verb comes with nothing
    hidden: bool = False  # not in menus and tables
    # The verb whose questions this account is asked in place of this one's.
    instead: Callable[[Request], Awaitable[str | None]] | None = None
    personal: bool = False  # its answers go to the private chat even from a group that is a destination
