"""COMMANDS: the one registry of what people can say. A new command is a line here and a file beside it."""

from __future__ import annotations

from bot.commands.arming import SENT
from bot.commands.best import BEST
from bot.commands.capture import CAPTURE
from bot.commands.connect import CONNECT
from bot.commands.demo import DEMO
from bot.commands.doctor import DOCTOR
from bot.commands.erasure import FORGET
from bot.commands.exports import EXPORT
from bot.commands.figures import STATS
from bot.commands.help import CANCEL, HELP, SKIP
from bot.commands.invitations import CLAIM, INVITE, START
from bot.commands.listing import LIST
from bot.commands.mutes import MUTE, UNMUTE
from bot.commands.people import PEOPLE
from bot.commands.registry import Command
from bot.commands.remind import REMIND
from bot.commands.reminders import DONE, REMINDERS, SNOOZE
from bot.commands.replied import REPLIED
from bot.commands.replies import NOTREPLY
from bot.commands.settings import SETTINGS
from bot.commands.taught import MACHINE_COMMAND, ME_COMMAND, TAUGHT
from bot.commands.timeline import SHOW
from bot.commands.tracking import LINK, TRACK, WRITE
from bot.commands.why import WHY

COMMANDS: tuple[Command, ...] = (
    TRACK,
    LINK,
    LIST,
    SHOW,
    WHY,
    STATS,
    BEST,
    PEOPLE,
    ME_COMMAND,
    MACHINE_COMMAND,
    TAUGHT,
    REMIND,
    REMINDERS,
    DONE,
    MUTE,
    SETTINGS,
    SENT,
    CAPTURE,
    CONNECT,
    FORGET,
    EXPORT,
    DOCTOR,
    INVITE,
    DEMO,
    HELP,
    CLAIM,
    START,
    SNOOZE,
    REPLIED,
    UNMUTE,
    WRITE,
    CANCEL,
    SKIP,
    NOTREPLY,
)

_BY_VERB = {command.verb: command for command in COMMANDS}


def find_command(word: str) -> Command | None:
    """The command with this verb, however it is written: "List", "list:", "/list"."""
    return _BY_VERB.get(word.lower().lstrip("/").rstrip(":,.!?"))
