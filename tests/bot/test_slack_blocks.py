"""Replies as Block Kit: within Slack's limits, and harmless whatever stands in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.chat import Button, Kind, Reply
from bot.slack.blocks import message
from bot.slack.text import escaped, shortened, tidy_lines, understood
from bot.words import units
from tests.fakes.slack_rules import buttons_of, copyable_of, faults_of_post, length, shown_text

NO_PREVIEWS = {"unfurl_links": False, "unfurl_media": False}
HOSTILE = (
    "<!channel> *x* </a>",
    "<@U1> <https://evil.example|acme.com>",
    "`code` _under_ ~strike~ :tada:",
    "a\u202eb\x00c\rd",
    "&lt;!here&gt;",
)


def faults(reply: Reply) -> list[str]:
    return faults_of_post({**message(reply), **NO_PREVIEWS})


def test_every_part_of_a_reply_is_shown() -> None:
    reply = Reply(
        title="Tracked",
        lines=("one", "two"),
        copyable=(("Pixel", '<img src="https://t.example/o/x.gif">'),),
        links=(("Copy page", "https://t.example/m/x"),),
        buttons=(
            (Button("Details", "show k7m2qx"), Button("Mute", "mute k7m2qx")),
            (Button("Sent", "sent k7m2qx"),),
        ),
    )
    shown = message(reply)
    assert faults(reply) == []
    for words in ("Tracked", "one\ntwo", "Pixel", "Copy page"):
        assert words in shown_text(shown)
    assert copyable_of(shown) == ['<img src="https://t.example/o/x.gif">']
    assert {name: one["value"] for name, one in buttons_of(shown).items()} == {
        "Details": "show k7m2qx",
        "Mute": "mute k7m2qx",
        "Sent": "sent k7m2qx",
    }


def test_the_lines_of_a_digest_are_marked() -> None:
    shown = shown_text(message(Reply(title="2 more rings:", lines=("one", "two"), kind=Kind.DIGEST)))
    assert shown == "2 more rings:\n• one\n• two"


def test_a_tracked_address_stands_only_in_the_code_to_copy() -> None:
    """Not in the fallback text, which Slack parses, and not in a link, which Slack could preview."""
    shown = message(Reply(title="Tracked", copyable=(("deck", "https://t.example/c/secret"),)))
    assert copyable_of(shown) == ["https://t.example/c/secret"]
    assert "secret" not in shown["text"]
    assert str(shown["blocks"]).count("secret") == 1
    assert "'link'" not in str(shown["blocks"])


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", list(Kind))
def test_hostile_text_mentions_nobody_and_formats_nothing(text: str, kind: Kind) -> None:
    reply = Reply(
        title=text, lines=(text,), copyable=((text, text),), links=((text, "https://t.example/"),),
        buttons=((Button(text, "show k7m2qx"),),), kind=kind,
    )  # fmt: skip
    shown = message(reply)
    assert faults(reply) == []
    assert "mrkdwn" not in str(shown["blocks"])
    assert "<" not in shown["text"]
    assert ">" not in shown["text"]


def test_hostile_text_is_still_readable() -> None:
    assert "<!channel> *x* </a>" in shown_text(message(Reply(title="<!channel> *x* </a>")))
    assert message(Reply(title="a < b & c"))["text"] == "a &lt; b &amp; c"


def test_a_card_has_a_header_and_other_messages_do_not() -> None:
    assert message(Reply(title="Q3", kind=Kind.CARD))["blocks"][0]["type"] == "header"
    assert message(Reply(title="Q3", kind=Kind.ALERT))["blocks"][0]["type"] == "rich_text"


def test_what_is_too_long_is_cut_and_says_so() -> None:
    reply = Reply(title="t" * 5000, lines=tuple(f"{n} " + "x" * 200 for n in range(500)), kind=Kind.CARD)
    assert faults(reply) == []
    assert shown_text(message(reply)).endswith("…")


def test_a_value_to_copy_is_never_cut_in_two() -> None:
    shown = message(Reply(title="t", copyable=(("Snippet", "x" * 4000), ("Pixel", "y" * 100))))
    assert copyable_of(shown) == ["y" * 100]
    assert "Snippet: too long to show here" in shown_text(shown)


def test_an_empty_reply_still_says_something() -> None:
    assert faults(Reply()) == []
    assert faults(Reply(title=" ", lines=("", " \u200b"))) == []


texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=400) | st.sampled_from(HOSTILE)
long_texts = texts | texts.map(lambda text: text * 40)


@settings(max_examples=60, deadline=None)
@given(
    title=long_texts,
    lines=st.lists(long_texts, max_size=80),
    copyable=st.lists(st.tuples(texts, long_texts), max_size=20),
    links=st.lists(st.tuples(texts, st.just("https://t.example/m/x")), max_size=60),
    buttons=st.lists(st.lists(st.tuples(texts, texts.filter(bool)), max_size=40), max_size=30),
    kind=st.sampled_from(Kind),
)
def test_whatever_is_in_a_reply_slack_takes_it(
    title: str,
    lines: list[str],
    copyable: list[tuple[str, str]],
    links: list[tuple[str, str]],
    buttons: list[list[tuple[str, str]]],
    kind: Kind,
) -> None:
    rows = tuple(tuple(Button(text, action) for text, action in row) for row in buttons)
    reply = Reply(title, tuple(lines), tuple(copyable), tuple(links), rows, kind=kind)
    assert faults(reply) == []


@given(st.text(max_size=60), st.integers(2, 30))
def test_texts_are_cut_by_the_units_that_slack_counts(text: str, limit: int) -> None:
    cut = shortened(text, limit)
    assert units(cut) <= limit
    assert cut == text or cut.endswith("…")


def test_an_emoji_counts_as_two() -> None:
    assert units("a😀") == 3
    assert shortened("😀😀😀", 4) == "😀…"
    assert length(tidy_lines("😀" * 100, 75)) <= 75


@pytest.mark.parametrize(
    ("from_slack", "typed"),
    [
        ("track &lt;x&gt; &amp;amp; y", "track <x> &amp; y"),
        (
            "<mailto:ana@acme.com|ana@acme.com> Q3 <https://acme.com/deck>",
            "ana@acme.com Q3 https://acme.com/deck",
        ),
        ("see <https://acme.com/?a=1&amp;b=2|acme.com>", "see https://acme.com/?a=1&b=2"),
        ("<https://acme.com/deck#notrack>", "https://acme.com/deck#notrack"),
        ("ask <@U1|ana> in <#C1|sales>, <!here> <!subteam^S1|@team>", "ask @ana in #sales, @here @team"),
        ("1 < 2", "1 < 2"),
        ("  list  ", "list"),
    ],
)
def test_what_slack_hands_over_is_read_as_it_was_typed(from_slack: str, typed: str) -> None:
    assert understood(from_slack) == typed


def test_only_slacks_three_control_characters_are_escaped() -> None:
    assert escaped("""*_~`"'<&>""") == """*_~`"'&lt;&amp;&gt;"""
