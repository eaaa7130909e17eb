"""`help`: what mailbell can do, grouped and short, or all about one verb. And two words for dialogues."""

from __future__ import annotations

import difflib

from bot.chat import Button, Reply
from bot.commands.registry import Command, CommandError, Request
from bot.words import one_line

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Track", ("track", "link", "sent", "connect", "capture", "forget")),
    ("Look", ("list", "show", "why", "stats", "people", "best", "export")),
    ("Teach", ("me", "machine", "taught")),
    ("Come back", ("remind", "reminders", "done")),
    ("Ring", ("mute", "settings")),
    ("More", ("invite", "doctor", "demo", "help")),
)


async def answer_help(request: Request) -> Reply:
    """The overview, or one verb in full."""
    word = request.arguments.partition(" ")[0]
    return explain(word) if word else overview()


def overview() -> Reply:
    """All verbs in a few lines."""
    from bot.commands import find_command

    lines = []
    for group, verbs in GROUPS:
        lines.append(f"{group}:")
        for verb in verbs:
            command = find_command(verb)
            assert command is not None
            lines.append(f"  {verb} – {command.summary}")
    lines.append("Shortest of all: write me an address, a subject and a link. More on one: help track")
    buttons = (Button("Track a mail", "track"), Button("My mails", "list"), Button("Demo", "demo"))
    return Reply(
        title="I ring when an email that you sent is opened or clicked.",
        lines=tuple(lines),
        buttons=(buttons,),
        private=False,
    )


def explain(word: str) -> Reply:
    """One verb: usage, details, examples."""
    from bot.commands import COMMANDS, find_command

    command = find_command(word)
    if command is None:
        verbs = [one.verb for one in COMMANDS if not one.hidden]
        near = difflib.get_close_matches(word.lower(), verbs, 1)
        more = f"Did you mean help {near[0]}?" if near else "Type help to see all I can do."
        raise CommandError(f"I do not know “{one_line(word, 30)}”. {more}")
    examples = tuple(f"Such as: {example}" for example in command.examples)
    return Reply(
        title=f"{command.verb} {command.usage}".strip(),
        lines=(f"{command.summary}.", *command.details, *examples),
        private=False,
    )


async def answer_cancel(_: Request) -> Reply:
    """`cancel` and `skip` where nothing is being asked; conversation.py ends dialogues itself."""
    return Reply(title="I am not asking anything just now.", private=False)


HELP = Command(
    verb="help",
    summary="What I can do, or all about one command",
    usage="[COMMAND]",
    handler=answer_help,
    examples=("help", "help track"),
)
CANCEL = Command(verb="cancel", summary="Stop what I am asking", usage="", handler=answer_cancel, hidden=True)
SKIP = Command(verb="skip", summary="Leave a question out", usage="", handler=answer_cancel, hidden=True)
