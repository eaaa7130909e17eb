"""How messages read in a terminal: within its width, the news in front, and nothing that drives it."""

from __future__ import annotations

import re

import pytest

from bot.chat import Button, Kind, Reply
from bot.console_text import Look, drawn

TERMINAL = Look(styled=True, width=40)
CARD = Reply(
    title='"Q3 proposal" (k7m2qx)',
    lines=("ana@acme.com: sent · opened ×1",),
    buttons=((Button("Details", "show k7m2qx"), Button("Mute", "mute k7m2qx")),),
    kind=Kind.CARD,
)


def plain(text: str) -> list[str]:
    """The lines without their styles."""
    return re.sub(r"\x1b\[\d*m", "", text).splitlines()


def test_lines_break_between_words_and_addresses_never_break():
    url = "https://bell.example/m/" + "x" * 60
    reply = Reply(title="word " * 20, lines=("  indented " + "word " * 10,), links=(("Copy page", url),))
    rows = plain(drawn(Kind.REPLY, reply, None, TERMINAL))
    assert f"Copy page: {url}" in rows
    assert all(len(row) <= 40 for row in rows if url not in row)
    assert "".join(rows).count("word") == 30
    assert all(row.startswith("  ") for row in rows if row.count("word") and rows.index(row) >= 3)


def test_a_button_stays_in_one_piece():
    reply = Reply(
        title="x", buttons=((Button("Details", "show k7m2qx"), Button("Mute for an hour", "mute 1h")),)
    )
    assert plain(drawn(Kind.REPLY, reply, None, TERMINAL))[1:3] == [
        "[Details] show k7m2qx",
        "[Mute for an hour] mute 1h",
    ]


def test_a_pipe_gets_the_lines_as_they_are():
    reply = Reply(title="word " * 40, lines=("", "b"), kind=Kind.ALERT)
    assert drawn(Kind.ALERT, reply, "stats.png", Look()) == "word " * 40 + "\nb\nSaved: stats.png\n\n"


def test_a_changed_card_stands_back_behind_the_ring():
    assert plain(drawn(Kind.CARD, CARD, None, TERMINAL)) == [
        '"Q3 proposal" (k7m2qx)',
        "ana@acme.com: sent · opened ×1",
        "[Details] show k7m2qx",
        "[Mute] mute k7m2qx",
        "",
    ]
    edited = drawn("card_edit", CARD, None, TERMINAL)
    assert plain(edited) == ['  "Q3 proposal" (k7m2qx)', "  ana@acme.com: sent · opened ×1", ""]
    assert "\x1b[1m" not in edited


@pytest.mark.parametrize("kind", [Kind.ALERT, Kind.DIGEST])
def test_rings_sound_the_bell_in_a_terminal_only(kind: Kind):
    reply = Reply(title="x", lines=("one", "two"), kind=kind)
    assert drawn(kind, reply, None, TERMINAL).startswith("\a")
    assert "\a" not in drawn(kind, reply, None, Look())
    assert "\a" not in drawn(Kind.REPLY, reply, None, TERMINAL)


def test_the_lines_of_a_digest_are_marked():
    reply = Reply(title="2 more rings:", lines=("one", "two"), kind=Kind.DIGEST)
    assert plain(drawn(Kind.DIGEST, reply, None, Look())) == ["2 more rings:", "• one", "• two", ""]


@pytest.mark.parametrize("kind", [*Kind, "card_edit"])
def test_outside_text_cannot_drive_the_terminal(kind: str):
    evil = "a\x1b[2Jb\u202ec\x9bd\re"
    reply = Reply(
        title=evil, lines=(evil,), copyable=((evil, evil),), links=((evil, evil),),
        buttons=((Button(evil, evil),),),
    )  # fmt: skip
    text = drawn(kind, reply, evil, Look())
    assert not set(text) & set("\x1b\u202e\x9b\r")
