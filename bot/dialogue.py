"""A command's questions asked one after the other, where the chat has no form to show (Telegram).

bot/conversation.py begins a dialogue, hands it the answers and ends it. The state is one row for each
chat and person, so it survives a restart; after an hour without an answer it is over. No command runs here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import suppress

from tortoise.exceptions import IntegrityError

from bot.chat import Button, Incoming, Kind, Reply
from bot.commands.registry import Question
from bot.forms import SKIPPED, check_answer, form_of
from models import Dialogue
from models.columns import clean_text

STEP_BY_STEP = frozenset({"telegram"})  # the others show a form, or take one line
LASTS = dt.timedelta(hours=1)
LONGEST_ANSWER = 2000
_DONE = "done"  # the step of a dialogue whose command runs now


async def begin(incoming: Incoming, verb: str, now: dt.datetime) -> Reply:
    """Asks the verb's first question; what was being asked before is forgotten."""
    await end(incoming)
    first = form_of(verb)[0]
    with suppress(IntegrityError):  # the same command twice at once: both ask the same question
        await Dialogue.create(
            platform=incoming.place.platform,
            chat_id=incoming.place.chat_id,
            user_id=incoming.user_id,
            verb=verb,
            step=first.name,
            answers={},
            updated_at=now,
        )
    return _ask(verb, first)


async def find(incoming: Incoming) -> Dialogue | None:
    """The dialogue that is open in this chat with this person, also one that timed out."""
    return await Dialogue.get_or_none(
        platform=incoming.place.platform, chat_id=incoming.place.chat_id, user_id=incoming.user_id
    )


def timed_out(dialogue: Dialogue, now: dt.datetime) -> bool:
    """Whether the last question was asked more than an hour ago, or the form has changed since."""
    steps = {question.name for question in form_of(dialogue.verb)} | {_DONE}
    return now - dialogue.updated_at >= LASTS or dialogue.step not in steps


async def end(incoming: Incoming) -> bool:
    """Forgets the dialogue; whether there was one."""
    gone = await Dialogue.filter(
        platform=incoming.place.platform, chat_id=incoming.place.chat_id, user_id=incoming.user_id
    ).delete()
    return bool(gone)


async def answer(dialogue: Dialogue, text: str, now: dt.datetime) -> Reply | Mapping[str, str] | None:
    """Takes an answer: the next question, or all answers when that was the last one.

    None when the same question was answered a moment ago, by another message that came at the same time.
    A skipped or wrong answer to a question that matters is asked for again.
    """
    form = form_of(dialogue.verb)
    names = [question.name for question in form]
    if dialogue.step not in names:
        return None
    position = names.index(dialogue.step)
    question = form[position]
    given = clean_text(text.strip() if question.keeps_lines else " ".join(text.split()), LONGEST_ANSWER)
    wrong = check_answer(question, given)
    if wrong:
        return _ask(dialogue.verb, question, wrong)
    answers = {**dialogue.answers, question.name: "" if given.lower() in SKIPPED else given}
    following = form[position + 1] if position + 1 < len(form) else None
    mine = await Dialogue.filter(id=dialogue.id, step=dialogue.step).update(
        step=following.name if following else _DONE, answers=answers, updated_at=now
    )
    if not mine:
        return None
    return _ask(dialogue.verb, following) if following else answers


async def reopen(dialogue: Dialogue) -> None:
    """Asks for the last answer again: the command failed through no fault of the person."""
    await Dialogue.filter(id=dialogue.id, step=_DONE).update(step=dialogue.step)


def _ask(verb: str, question: Question, wrong: str | None = None) -> Reply:
    hints = [question.hint] if question.hint else []
    leave = "/cancel ends this." if question.required else "Send - to skip it; /cancel ends this."
    buttons = [Button("Cancel", "cancel")]
    if not question.required:
        buttons.insert(0, Button("Skip", "skip"))
    return Reply(
        title=wrong or question.label,
        lines=(*hints, leave),
        buttons=(tuple(buttons),),
        kind=Kind.ERROR if wrong else Kind.REPLY,
        form=None,
        data={"asks": question.name, "of": verb},
    )
