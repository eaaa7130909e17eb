"""The command menu and the description that people see before they write, made from COMMANDS.

Sent at start when it changed since the last time: Telegram limits how often a bot may describe itself.
https://core.telegram.org/bots/api#setmycommands names the limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from telegram import Bot, BotCommand

from bot.telegram.state import recall, remember

if TYPE_CHECKING:
    from bot.commands.registry import Command

SHORT_DESCRIPTION = "Rings when an email that you sent is opened or clicked."
DESCRIPTION = (
    "I ring here when an email that you sent is opened or clicked.\n\n"
    "Press Start with the invitation that you were given, then write me: "
    "ana@acme.com Q3 proposal https://acme.com/deck"
)
_NAME = re.compile(r"[a-z0-9_]{1,32}")
_DESCRIPTION_LIMIT = 256
_MOST = 100
_STATE = "telegram_menu"


def menu(commands: Iterable[Command]) -> list[BotCommand]:
    """What people may pick after typing a slash. Pure."""
    shown = [one for one in commands if not one.hidden and _NAME.fullmatch(one.verb)]
    return [BotCommand(one.verb, one.summary[:_DESCRIPTION_LIMIT]) for one in shown[:_MOST]]


async def publish(bot: Bot, commands: Iterable[Command]) -> None:
    """Shows menu and descriptions in Telegram. Raises TelegramError."""
    entries = menu(commands)
    mark = json.dumps([bot.token.partition(":")[0], SHORT_DESCRIPTION, DESCRIPTION, *map(str, entries)])
    if await recall(_STATE) == mark:
        return
    await bot.set_my_commands(entries)
    await bot.set_my_short_description(SHORT_DESCRIPTION)
    await bot.set_my_description(DESCRIPTION)
    await remember(_STATE, mark)
