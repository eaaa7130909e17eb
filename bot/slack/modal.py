"""A command's questions as one of Slack's modals, and the answers that come back from it.

Pure. bot/slack/answers.py opens the modal, bot/slack/listeners.py reads what was filled in. The questions and
their checks are bot/forms.py's; where the modal was asked for travels in its private metadata.
Limits: https://docs.slack.dev/reference/views/modal-views and the input block's page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.chat import Place
from bot.commands.registry import Question
from bot.slack.text import shortened, tidy_lines

PREFIX = "form:"
TITLE = 24
LABEL = 2000
HINT = 2000
LONGEST_ANSWER = 2000
ANSWER = "answer"


def modal(verb: str, questions: Sequence[Question], place: Place) -> dict[str, Any]:
    """The view that asks the questions of `verb`, for a reply at `place`."""
    return {
        "type": "modal",
        "callback_id": PREFIX + verb,
        "title": _plain(shortened(f"mailbell: {verb}", TITLE)),
        "submit": _plain("Go"),
        "close": _plain("Cancel"),
        "private_metadata": json.dumps(
            {"chat_id": place.chat_id, "private": place.private, "title": place.title[:80]}
        ),
        "blocks": [_input(one) for one in questions],
    }


def _input(question: Question) -> dict[str, Any]:
    block: dict[str, Any] = {
        "type": "input",
        "block_id": question.name,
        "optional": not question.required,
        "label": _plain(tidy_lines(question.label, LABEL)),
        "element": {
            "type": "plain_text_input",
            "action_id": ANSWER,
            "multiline": question.multiline,
            "max_length": LONGEST_ANSWER,
        },
    }
    if question.hint:
        block["hint"] = _plain(tidy_lines(question.hint, HINT))
    return block


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def verb_of(view: Mapping[str, Any]) -> str:
    """The verb whose questions this view asked; empty for a view that is not ours."""
    name = str(view.get("callback_id") or "")
    return name.removeprefix(PREFIX) if name.startswith(PREFIX) else ""


def answers_of(view: Mapping[str, Any]) -> dict[str, str]:
    """What was filled in, by the question's name."""
    values = (view.get("state") or {}).get("values") or {}
    return {
        str(name): str((inputs.get(ANSWER) or {}).get("value") or "")
        for name, inputs in values.items()
        if isinstance(inputs, Mapping)
    }


def place_of(view: Mapping[str, Any], team: str, user: str) -> Place:
    """Where the modal was asked for; the user's private chat where the view does not say."""
    try:
        kept = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        kept = {}
    if not isinstance(kept, dict) or kept.get("private", True) or not kept.get("chat_id"):
        return Place("slack", user, team)
    return Place("slack", str(kept["chat_id"]), team, private=False, title=str(kept.get("title") or ""))
