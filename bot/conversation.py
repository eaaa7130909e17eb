"""The one entry for everything that people say or press, in every chat: Slack, Telegram and the console.

`handle` checks who speaks, goes on with a dialogue half done, finds the command and runs it. It never raises,
and it never tells a stranger more than one line. Where an answer may be shown is decided here too.
"""

from __future__ import annotations

import difflib
import logging
import re
import traceback
from dataclasses import replace

from bot import dialogue as steps
from bot.access import CodeError, find_destination, identify, redeem
from bot.chat import Button, Incoming, Kind, Reply
from bot.commands import COMMANDS, find_command
from bot.commands.invitations import welcome
from bot.commands.registry import Command, CommandError, Request
from bot.forms import command_line, mark_lines
from bot.presses import NOT_YOURS, may_press
from bot.words import one_line
from models import Account, Dialogue
from tracker.mail.draft import DraftError, clean_line, parse_draft
from tracker.mail.pasted import read_pasted
from tracker.services import Services

log = logging.getLogger(__name__)

LONGEST_TEXT = 300_000
_BOT_NAME = re.compile(r"@\w+$")  # "/list@mailbell_bot", as Telegram's groups have it; an address has a dot
ACTION_BYTES = 64  # Telegram's callback data
STRANGER = (
    "Hello! I ring when somebody's email is opened, and I do not know you yet. "
    "Ask the owner of this mailbell for an invitation, then send me: claim CODE"
)
TROUBLE = "Something went wrong on my side. Nothing was lost; please try again in a minute."
HINT = (
    "I did not find an address or a link in that. To track a mail, write me for example: "
    "ana@acme.com Q3 proposal https://acme.com/deck"
)


class Conversation:
    """Answers people. One for each process; it holds no state of its own."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def handle(self, incoming: Incoming) -> Reply | None:
        """The answer to what a person typed or pressed; None where nothing was meant for the bot.

        Errors of use come as a Reply of kind ERROR. Never raises, but for a cancelled task.
        """
        if not (incoming.place.private or incoming.is_command or incoming.is_button):
            return None
        try:
            return await self._answer(_on_one_line(incoming))
        except Exception as error:
            _log(error, incoming)
            return Reply(title=TROUBLE, kind=Kind.ERROR, private=False)

    async def _answer(self, incoming: Incoming) -> Reply | None:
        account = await identify(self._services, incoming)
        if account is None:
            return await self._receive_stranger(incoming)
        if not await may_press(account, incoming):
            return NOT_YOURS
        reply = await self._converse(account, incoming)
        return reply and await self._place(account, incoming, reply)

    async def _receive_stranger(self, incoming: Incoming) -> Reply:
        """One line, the same whatever they said, but for a code that lets them in."""
        command, code = parse(incoming)
        if command is not None and command.verb in ("claim", "start") and code and not incoming.is_button:
            try:
                return welcome(await redeem(self._services, incoming, code), incoming)
            except CodeError:
                pass  # why it failed is nothing that a stranger learns
        return Reply(title=STRANGER, private=False)

    async def _converse(self, account: Account, incoming: Incoming) -> Reply | None:
        """What a known person gets: the next question of a dialogue, or what their command answers."""
        if not (incoming.place.private and incoming.place.platform in steps.STEP_BY_STEP):
            return await self._run(account, incoming)
        dialogue = await steps.find(incoming)
        if dialogue is None:
            return await self._run(account, incoming)
        if steps.timed_out(dialogue, self._services.now()):
            await steps.end(incoming)
            return await self._run(account, incoming, hint=_too_late(dialogue))
        command, _ = parse(incoming)
        verb = command.verb if command and (incoming.is_command or incoming.is_button) else ""
        if verb == "cancel" or (not verb and incoming.text.lower() == "cancel"):
            await steps.end(incoming)
            return Reply(title="All right, I stopped asking. Nothing was tracked.")
        if verb == "skip" or not (incoming.is_command or incoming.is_button):
            return await self._step(account, incoming, dialogue, "-" if verb == "skip" else incoming.lines)
        if incoming.is_button and not (command and command.form):
            return await self._run(account, incoming)  # a press beside it does not end a dialogue
        await steps.end(incoming)
        reply = await self._run(account, incoming)
        note = f"(I stopped asking about {dialogue.verb}; type {dialogue.verb} to begin again.)"
        return reply and replace(reply, lines=(*reply.lines, note))

    async def _step(
        self, account: Account, incoming: Incoming, dialogue: Dialogue, answer: str
    ) -> Reply | None:
        """Takes one answer. After the last one the command runs, and only then the answers are forgotten."""
        result = await steps.answer(dialogue, answer, self._services.now())
        if result is None or isinstance(result, Reply):
            return result
        line = command_line(dialogue.verb, result)
        try:
            reply = await self._run(account, replace(incoming, text=line, is_command=True))
        except Exception:
            await steps.reopen(dialogue)
            raise
        await steps.end(incoming)
        return reply

    async def _run(self, account: Account, incoming: Incoming, hint: str = HINT) -> Reply:
        command, arguments = parse(incoming)
        if command is None:
            return _not_understood(incoming, hint)
        request = Request(self._services, account, incoming, arguments)
        if command.form and not arguments:
            other = await command.instead(request) if command.instead else None
            return await self._ask(incoming, (other and find_command(other)) or command)
        try:
            return _doubted(incoming, await command.handler(request))
        except (CommandError, DraftError) as error:
            text = str(error)
            return Reply(title=text[:1].upper() + text[1:], kind=Kind.ERROR)

    async def _ask(self, incoming: Incoming, command: Command) -> Reply:
        """A verb with questions that came with nothing: a form, questions one by one, or what to type."""
        if incoming.place.platform in steps.STEP_BY_STEP and incoming.place.private:
            return await steps.begin(incoming, command.verb, self._services.now())
        return Reply(
            title=f"Type: {command.verb} {command.usage}",
            lines=tuple(f"Such as: {example}" for example in command.examples[:2]),
            form=command.verb,
            private=False,
        )

    async def _place(self, account: Account, incoming: Incoming, reply: Reply) -> Reply:
        """In a group that its owner made a destination, answers may be shown, but for personal ones."""
        if incoming.place.private or not reply.private:
            return reply
        command, _ = parse(incoming)
        if command is None or command.personal:
            return reply
        here = await find_destination(account, incoming.place)
        shown = here is not None and here.off_at is None
        return replace(reply, private=False) if shown else reply


def _on_one_line(incoming: Incoming) -> Incoming:
    """What was said as one line; a mail pasted with its headers is what `track` needs of it.

    What a mail shall say keeps its line ends, marked as `write` has them.
    """
    text = incoming.text[:LONGEST_TEXT]
    word = text.lstrip("/ \n").partition("\n")[0].partition(" ")[0]
    command = find_command(_BOT_NAME.sub("", word))
    if not incoming.is_button and (command is None or command.verb == "track"):
        pasted = read_pasted(text)
        if pasted is not None:
            return replace(incoming, text=f"track {clean_line(pasted)}", is_command=True)
    lines = "\n".join(map(clean_line, text.splitlines()))
    if command is not None and any(question.keeps_lines for question in command.form):
        given, bar, told = text.partition("|")
        text = given + bar + mark_lines(told)
    return replace(incoming, text=clean_line(text), lines=lines)


def parse(incoming: Incoming) -> tuple[Command | None, str]:
    """The command that is meant, and what stands after its verb. Pure.

    A text that begins with no verb but holds an address or a URL is `track` (PRODUCT.md §4).
    """
    text = incoming.text.lstrip("/").strip()
    word, _, rest = text.partition(" ")
    command = find_command(_BOT_NAME.sub("", word))
    if command is not None:
        return command, rest.strip()
    if _holds_a_mail(text):
        return find_command("track"), text
    return None, text


def _holds_a_mail(text: str) -> bool:
    try:
        draft = parse_draft(text)
    except DraftError:
        return "://" in text  # `track` tells what is wrong with it
    return bool(draft.recipients or draft.urls or draft.untracked)


def _nearest(incoming: Incoming, likeness: float) -> tuple[str, str, str] | None:
    """The first word, the verb that it may have been meant for, and the whole with that verb."""
    word, _, rest = incoming.text.lstrip("/").strip().partition(" ")
    verbs = [command.verb for command in COMMANDS if not command.hidden]
    near = difflib.get_close_matches(word.lower(), verbs, 1, likeness)
    return (word, near[0], f"{near[0]} {rest}".strip()) if near else None


def _doubted(incoming: Incoming, reply: Reply) -> Reply:
    """What was tracked since no verb stood in front, and maybe should have: "mtue ana@acme.com"."""
    near = _nearest(incoming, 0.75)
    code = reply.data.get("message")
    if near is None or code is None or find_command(near[0].partition("@")[0]) is not None:
        return reply
    word, verb, whole = near
    said = f"“{one_line(word, 30)}” is part of the subject. Did you mean {verb}? Then type: "
    undo = Button("Forget this mail", f"forget {code}")
    return replace(
        reply,
        lines=(*reply.lines, f"{said}{one_line(whole, 200)}"),
        buttons=(*reply.buttons, (undo,)),
    )


def _not_understood(incoming: Incoming, hint: str) -> Reply:
    """The nearest verb, with a button that does it; in plain talk a hint at what can be said."""
    word = incoming.text.lstrip("/").strip().partition(" ")[0]
    near = _nearest(incoming, 0.6 if incoming.is_command else 0.75)
    if near:
        _, verb, whole = near
        action = whole if len(whole.encode()) <= ACTION_BYTES else verb
        return Reply(
            title=f"I do not know “{one_line(word, 30)}”. Did you mean {verb}?",
            lines=(f"Type: {one_line(whole, 200)}",),
            buttons=(tuple(Button(one_line(one, 40), one) for one in dict.fromkeys((action, "help"))),),
            kind=Kind.ERROR,
            private=False,
        )
    help_row = ((Button("Help", "help"),),)
    if not incoming.is_command or not word:
        return Reply(title=hint, lines=("Type help to see all I can do.",), buttons=help_row)
    return Reply(
        title=f"I do not know “{one_line(word, 30)}”. Type help to see all I can do.",
        buttons=help_row,
        kind=Kind.ERROR,
        private=False,
    )


def _too_late(dialogue: Dialogue) -> str:
    return f"I stopped asking after an hour. Type {dialogue.verb} to begin again."


def _log(error: Exception, incoming: Incoming) -> None:
    """Where it failed, without the exception's text: that may hold addresses."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    command = find_command(incoming.text[:40].strip().partition(" ")[0])
    log.error(
        "a command failed: %s of %s in %s at %s",
        command.verb if command else "text",
        incoming.place.platform,
        type(error).__name__,
        " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames)),
    )
