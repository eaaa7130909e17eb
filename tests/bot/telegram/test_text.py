"""How a Reply looks in Telegram, held against the Bot API's rules for HTML, lengths and buttons."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.chat import Button, Kind, Reply
from bot.telegram.keyboard import keyboard
from bot.telegram.text import TEXT_LIMIT, Key, keys, one_line, render
from bot.words import units
from tests.fakes.telegram_rules import check, parse_html, utf16

PIXEL = "http://localhost:8080/o/AAAAAAAAAAAAAAAAAAAAAA.gif"


def seen(reply: Reply, **more) -> list[str]:
    """The pieces as people read them."""
    return [parse_html(piece).text for piece in render(reply, **more).pieces]


def test_title_lines_and_copyable_values_read_as_the_plain_text_does():
    reply = Reply(title="Tracked: Q3", lines=("to ana@acme.com",), copyable=(("Pixel", PIXEL),))
    assert seen(reply) == [reply.text]


def test_the_lines_of_a_digest_are_marked():
    reply = Reply(title="2 more rings:", lines=("one", "two"), kind=Kind.DIGEST)
    assert seen(reply) == ["2 more rings:\n• one\n• two"]


def test_what_people_copy_is_code_and_never_a_link():
    parsed = parse_html(render(Reply(title="x", copyable=(("Pixel", PIXEL),))).pieces[0])
    assert ("code", PIXEL, "") in parsed.entities
    assert not [one for one in parsed.entities if one[0] == "a"]


def test_a_long_value_stands_in_a_block_and_stays_whole():
    html = '<img src="https://bell.example/o/x.gif" width="1" height="1" alt="">\n' * 4
    parsed = parse_html(render(Reply(title="x", copyable=(("HTML", html),))).pieces[0])
    assert ("pre", html, "") in parsed.entities


@pytest.mark.parametrize(
    "hostile",
    [
        "<!channel> *x* </a>",
        "</b><a href='http://evil.example'>x</a>",
        "&lt;b&gt;",
        "a & b < c > d",
        "<b",
        "&#0;",
    ],
)
def test_hostile_text_is_shown_as_it_is(hostile):
    reply = Reply(
        title=hostile, lines=(hostile,), copyable=((hostile, hostile),), links=((hostile, hostile),)
    )
    (html,) = render(reply).pieces
    parsed = parse_html(html)
    assert parsed.text.count(hostile) == 6
    assert {tag for tag, _, _ in parsed.entities} <= {"b", "code"}


def test_control_and_direction_characters_are_removed():
    (text,) = seen(Reply(title="a\u202egpj.exe\x00\x07b\u2066", lines=("one\ttwo",)))
    assert text == "a gpj.exe  b \none two"


def test_lone_surrogates_become_sendable():
    (text,) = seen(Reply(title="a\ud800b"))
    text.encode()


def test_an_at_name_in_a_subject_calls_nobody_while_addresses_stay_whole():
    (text,) = seen(Reply(title="hi @charlie", lines=("from ana@acme.com",), copyable=(("x", "@charlie"),)))
    assert "hi @\u2060charlie" in text
    assert "ana@acme.com" in text
    assert "x: @charlie" in text


def test_our_pages_are_links_where_telegram_takes_them_and_text_where_it_would_drop_them():
    public = parse_html(render(Reply(links=(("Copy page", "https://bell.example/m/x?a=1&b=2"),))).pieces[0])
    assert public.entities == [("a", "Copy page", "https://bell.example/m/x?a=1&b=2")]
    local = parse_html(render(Reply(links=(("Copy page", "http://localhost:8080/m/x"),))).pieces[0])
    assert local.entities == [("code", "http://localhost:8080/m/x", "")]


def test_an_address_that_is_none_of_the_web_is_no_link():
    (html,) = render(Reply(links=(("x", "javascript://a.b/%0aalert(1)"), ("y", "http://[")))).pieces
    assert not [one for one in parse_html(html).entities if one[0] == "a"]


def test_a_long_answer_comes_in_pieces_that_lose_nothing():
    lines = tuple(f"{number}. {'😀' * 40} <subject & {number}>" for number in range(120))
    pieces = seen(Reply(title="Your mails", lines=lines))
    assert len(pieces) > 1
    assert all(utf16(piece) <= TEXT_LIMIT for piece in pieces)
    assert "\n".join(pieces) == "\n".join(("Your mails", *lines))


def test_one_endless_line_is_cut_between_characters():
    pieces = seen(Reply(lines=("😀" * 5000,)))
    assert "".join(pieces) == "😀" * 5000
    assert all(utf16(piece) <= TEXT_LIMIT for piece in pieces)


def test_a_card_is_one_message_however_long():
    card = Reply(
        title="Q3", lines=tuple(f"person{n}@acme.com · opened ×3 <b>" for n in range(500)), kind=Kind.CARD
    )
    (text,) = seen(card, whole=True)
    assert utf16(text) <= TEXT_LIMIT
    assert text.endswith("…")
    assert text.startswith("Q3\nperson0@acme.com")


def test_nothing_to_say_is_still_a_message():
    assert seen(Reply(lines=("", " "))) == ["…"]


def test_buttons_keep_their_rows_and_rows_keep_telegrams_width():
    row = tuple(Button(f"b{n}", f"show k{n}") for n in range(11))
    rows = keys(Reply(buttons=(row, (Button("Mute", "mute k7m2qx"),))))
    assert [len(one) for one in rows] == [8, 3, 1]
    check("sendMessage", {"chat_id": "1", "text": "x", "reply_markup": keyboard(rows).to_json()})


def test_there_are_never_more_than_a_hundred_buttons():
    rows = keys(Reply(buttons=tuple((Button(f"b{n}", f"show {n}"),) for n in range(130))))
    assert sum(map(len, rows)) == 100


def test_an_action_too_long_to_come_back_copies_its_command_instead():
    action = f"mute {'é' * 20}-{'x' * 30}@acme.com"
    ((key,),) = keys(Reply(buttons=((Button("Mute ana", action),),)))
    assert key == Key("Mute ana (copy command)", copy=f"/{action}")


def test_an_action_of_exactly_64_bytes_is_a_button():
    action = "mute " + "é" * 29 + "x"
    assert keys(Reply(buttons=((Button("Mute", action),),))) == ((Key("Mute", action=action),),)


def test_an_action_beyond_all_limits_and_an_empty_one_are_left_out():
    assert keys(Reply(buttons=((Button("a", "x" * 400), Button("b", "")),))) == ()


def test_short_values_get_a_copy_button_and_long_ones_do_not():
    rows = keys(Reply(copyable=(("Pixel", PIXEL), ("HTML", "x" * 257))))
    assert rows == ((Key("Copy pixel", copy=PIXEL),),)


def test_a_label_is_cut_and_never_empty():
    ((first, second),) = keys(Reply(buttons=((Button("x" * 200, "a"), Button("\n", "b")),)))
    assert units(first.text) == 64
    assert second.text == "…"


def test_a_pop_up_stays_within_two_hundred():
    assert units(one_line(Reply(title="😀" * 300))) <= 200


texts = st.text(max_size=3000)


@settings(max_examples=60, deadline=None)
@given(texts, st.lists(texts, max_size=8), st.lists(st.tuples(texts, texts), max_size=4), st.booleans())
def test_whatever_comes_in_telegram_takes_what_comes_out(title, lines, pairs, whole):
    reply = Reply(
        title=title, lines=tuple(lines), copyable=tuple(pairs), links=tuple(pairs),
        buttons=(tuple(Button(label, action[:80]) for label, action in pairs),),
    )  # fmt: skip
    rendered = render(reply, whole=whole)
    assert len(rendered.pieces) == 1 or not whole
    for piece in rendered.pieces:
        assert 1 <= utf16(parse_html(piece).text.strip()) <= TEXT_LIMIT
    markup = keyboard(rendered.keys)
    if markup is not None:
        check("sendMessage", {"chat_id": "1", "text": "x", "reply_markup": markup.to_json()})
