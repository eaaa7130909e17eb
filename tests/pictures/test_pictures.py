"""The pictures show all that mailbell sent; and whoever draws them refuses what they do not know."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from PIL import Image

from bot.chat import Place
from bot.commands import COMMANDS
from bot.slack.modal import modal
from tests.fakes.telegram_rules import parse_html
from tests.pictures import slack_look, telegram_look
from tests.pictures.charts import best_chart, stats_chart
from tests.pictures.play import on_slack, on_telegram, play
from tests.pictures.tape import Tape
from tests.pictures.unknown import UnknownPartError


def told_in_slack(tape: Tape) -> Iterator[str]:
    """Every text in the blocks, and what alice typed."""

    def texts(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from ([part["text"]] if isinstance(part.get("text"), str) else [])
            part = list(part.values())
        for one in part if isinstance(part, list) else []:
            yield from texts(one)

    for entry in tape.entries:
        yield from [entry.said] if entry.said else texts(entry.payload["blocks"])


def told_in_telegram(tape: Tape) -> Iterator[str]:
    """Every text and every key, and what alice typed."""
    for entry in tape.entries:
        yield entry.said or parse_html(entry.payload["text"]).text
        for row in entry.payload.get("reply_markup", {}).get("inline_keyboard", []):
            yield from (key["text"] for key in row)


@pytest.mark.parametrize(
    ("stage", "look", "told"),
    [(on_slack, slack_look, told_in_slack), (on_telegram, telegram_look, told_in_telegram)],
    ids=["slack", "telegram"],
)
async def test_a_picture_shows_every_word_that_was_sent_and_typed(stage, look, told):
    tape = (await play(stage)).tape
    drawn = unescape(re.sub(r"<[^>]*>", "", look.conversation(tape.entries, tape)))
    for text in told(tape):
        assert text in drawn
    for words in ("by ana@acme.com (3rd time)", "ana@acme.com clicked acme.com/deck", "10 more rings"):
        assert words in drawn
    assert "opened ×3 · clicked" in look.conversation(tape.parts["ring"], tape)
    assert "By domain, in the last 30 days" in look.conversation(tape.parts["cards"], tape)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.form], ids=lambda one: one.verb)
def test_every_form_can_be_drawn(command):
    drawn = slack_look.modal(modal(command.verb, command.form, Place("slack", "U0ALICE")))
    assert all(question.label in drawn for question in command.form)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "divider"},
        {"type": "header", "text": {"type": "mrkdwn", "text": "*x*"}},
        {"type": "section", "text": {"type": "plain_text", "text": "x", "emoji": False}, "accessory": {}},
        {"type": "actions", "elements": [{"type": "overflow"}]},
        {"type": "rich_text", "elements": [{"type": "rich_text_quote", "elements": []}]},
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "emoji", "name": "x"}]}],
        },
    ],
    ids=lambda part: part["type"],
)
def test_an_unknown_part_of_a_slack_message_is_refused(part):
    with pytest.raises(UnknownPartError):
        slack_look.block(part)


@pytest.mark.parametrize("html", ["<i>x</i>", "<blockquote>x</blockquote>", '<b href="x">x</b>', "a < b"])
def test_an_unknown_tag_in_telegram_is_refused(html):
    with pytest.raises(UnknownPartError):
        telegram_look.words(html)


def test_an_unknown_key_in_telegram_is_refused():
    with pytest.raises(UnknownPartError):
        telegram_look.keyboard({"inline_keyboard": [[{"text": "x", "url": "https://acme.com"}]]})


def test_the_charts_tell_what_is_planted_and_fit_a_phone():
    words, heat_map = best_chart()
    assert words == "Tuesdays and Thursdays around 9:00"
    for picture in (heat_map, stats_chart()):
        assert Image.open(io.BytesIO(picture)).width == 1080
        assert len(picture) < 40_000
