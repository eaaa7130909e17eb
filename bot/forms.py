"""The questions of a command that comes with nothing, and the command line that their answers make.

Slack asks them all at once in a modal, Telegram one after the other (bot/dialogue.py). Pure: asks and checks,
runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.commands.registry import Command, Question

SKIPPED = frozenset({"", "-", "–", "—", "skip", "/skip"})


def form_of(verb: str) -> tuple[Question, ...]:
    """The questions of this verb; empty where it needs none or is no command."""
    command = _command(verb)
    return command.form if command else ()


def _command(verb: str) -> Command | None:
    from bot.commands import find_command  # the commands' own files may ask for forms

    return find_command(verb)


def check_answer(question: Question, answer: str) -> str | None:
    """What is wrong with an answer, in words that say what to type; None when it will do."""
    if question.required and answer.strip().lower() in SKIPPED:
        return f"I need this one: {question.label[:1].lower()}{question.label[1:]}."
    if question.check is not None and answer.strip().lower() not in SKIPPED:
        return question.check(answer)
    return None


def check_answers(verb: str, answers: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with a whole form: the question's name and the words, for Slack's modal."""
    wrong = {one.name: check_answer(one, answers.get(one.name, "")) for one in form_of(verb)}
    return {name: text for name, text in wrong.items() if text is not None}


def command_line(verb: str, answers: Mapping[str, str]) -> str:
    """The command that somebody would have typed instead of filling the form: "track ana@acme.com Q3 …".

    Answers that were skipped fall out. What the verb says about an answer (`Question.typed`) keeps it from
    being taken for something else: a subject that holds an address stays a subject.
    """
    parts = [verb]
    for question in form_of(verb):
        given = answers.get(question.name, "")
        answer = " ".join((mark_lines(given) if question.keeps_lines else given).split())
        if answer.lower() not in SKIPPED:
            parts.append(question.typed(answer) if question.typed else answer)
    return " ".join(parts)


def mark_lines(text: str) -> str:
    """The text on one line, with a mark for each line end: a command is one line."""
    return " ¶ ".join(text.splitlines())
