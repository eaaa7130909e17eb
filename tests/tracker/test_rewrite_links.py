"""Which links of a mail are tracked, which never are, and what becomes of marks and old ones of ours."""

from __future__ import annotations

import time

import pytest

from tests.tracker.rewriting import (
    BASE,
    ENCODINGS,
    OLD_LINK,
    OLD_PIXEL,
    PIXEL,
    PLAN,
    TRACKED,
    html_mail,
    html_of,
    undo,
)
from tracker.mail.rewrite import Plan, Untracked, rewrite, rewrite_for, survey

LINKS_LEFT = [
    '<a href="https://acme.com/unsubscribe?u=1">here</a>',
    '<a href="https://acme.com/u/1">Unsubscribe</a>',
    '<a href="https://acme.com/u/1">Newsletter <b>ab</b>bestellen</a>',
    '<a href="https://acme.com/u/1">Se d&eacute;sabonner</a>',
    '<a href="https://list.acme.com/leave/7">leave</a>',
    '<a href="mailto:ana@acme.com">mail</a>',
    '<a href="tel:+491234">call</a>',
    '<a href="cid:part1">file</a>',
    '<a href="#top">top</a>',
    '<a href="/deck">relative</a>',
    '<a href="javascript:void(0)">x</a>',
    '<a href="https://acme.com/deck">https://acme.com/deck</a>',
    '<a href="https://acme.com/deck">acme.com</a>',
    '<a href="https://acme.com/deck"><b>www.</b>acme.com/deck</a>',
    '<a href="https://acme.com/deck">(bücher.de)</a>',
    f'<a href="{BASE}/m/signed.code">my copy page</a>',
    f'<a href="https://safe.example/?url=https%3A%2F%2Ft.example%2Fc%2F{"o" * 22}">wrapped</a>',
    '<a name="https://acme.com">x</a>',
    '<!-- <a href="https://acme.com/deck">deck</a> -->',
    '<!--[if mso]><a href="https://acme.com/deck">deck</a><![endif]-->',
    '<textarea><a href="https://acme.com/deck">deck</a></textarea>',
    '<p title=\'<a href="https://acme.com/deck">deck</a>\'>x</p>',
    '<a href="https://acme.com\\@evil.example/">x</a>',
]  # fmt: skip


@pytest.mark.parametrize("link", LINKS_LEFT)
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable"])
def test_some_links_are_never_rewritten(link: str, encoding: str):
    more = "List-Unsubscribe: <mailto:x@acme.com>,\r\n <https://list.acme.com/leave/7>\r\n"
    raw = html_mail(f"<body>{link}</body>", encoding, more=more)
    done = rewrite(raw, PLAN, BASE)
    assert TRACKED not in html_of(done.content)
    assert link in html_of(done.content)
    assert survey(raw, BASE).links == ()


LINKS_FOLLOWED = [
    ('<a href="https://acme.com/deck">deck.pdf</a>', "https://acme.com/deck"),
    ("<A HREF = 'https://acme.com/a&#38;b'>the deck</A>", "https://acme.com/a&b"),
    ("<a href=https://acme.com/a>deck</a>", "https://acme.com/a"),
    ('<a href=" https://acme.com/a&copy=2&amp;lt=3\n">deck</a>', "https://acme.com/a&copy=2&lt=3"),
    ('<a title="x > y" href="https://acme.com/a?q=é">deck</a>', "https://acme.com/a?q=é"),
    ('<a href="https://acme.com/a"><img src="x.png"></a>', "https://acme.com/a"),
    ('<map><area shape=rect href="https://acme.com/a"></map>', "https://acme.com/a"),
    ('<a href="https://acme.com/a" href="https://other.example">deck</a>', "https://acme.com/a"),
    ('<a href="https://acme.com/a">see Node.js, v1.2</a>', "https://acme.com/a"),
]


@pytest.mark.parametrize(("link", "url"), LINKS_FOLLOWED)
@pytest.mark.parametrize("encoding", ENCODINGS[1:])
def test_links_are_followed_with_their_exact_address(link: str, url: str, encoding: str):
    raw = html_mail(f"<body>{link}</body>", encoding)
    assert survey(raw, BASE).links == (url,)
    done = rewrite(raw, Plan(None, {url: TRACKED}.get), BASE)
    assert TRACKED in html_of(done.content)
    assert done.untracked is None
    assert len(done.edits) == 1


def test_a_mark_keeps_a_link_and_is_removed_from_address_and_text():
    link = '<a href="https://acme.com/x#notrack">https://acme.com/x#notrack</a>'
    done = rewrite(html_mail(f"<body>{link}</body>"), PLAN, BASE)
    assert '<a href="https://acme.com/x">https://acme.com/x</a>' in html_of(done.content)


@pytest.mark.parametrize("encoding", ENCODINGS[1:])
def test_the_mark_is_removed_from_the_plain_text_too(encoding: str):
    raw = html_mail('<body><a href="https://acme.com/x#notrack">x</a></body>', encoding)
    text = b"hello https://acme.com/deck#notrack, <http://a.b/#NoTrack>\r\n#notrack https://a.b/#notracking"
    raw = raw.replace(b"hello https://acme.com/deck", text)
    done = rewrite(raw, PLAN, BASE)
    wanted = b"hello https://acme.com/deck, <http://a.b/>\r\n#notrack https://a.b/#notracking"
    assert wanted in done.content
    assert undo(done, raw) == raw


def test_old_tokens_go_even_where_nothing_is_tracked():
    raw = html_mail(f'<body><img src="{OLD_PIXEL}"></body>')
    done = rewrite(raw, Plan(None, lambda url: None), BASE)
    assert done.untracked is Untracked.NOTHING
    assert "<body></body>" in html_of(done.content)


def test_our_old_pixel_goes_from_quoted_text_also_behind_a_proxy():
    proxied = f"https://ci3.googleusercontent.com/meips/ABC=s0-d-e1-ft#{OLD_PIXEL}"
    quoted = f'<blockquote><img width=1 src="{OLD_PIXEL}"><img src="{proxied}"><img src="https://acme.com/o/a.gif">'
    for encoding in ENCODINGS[1:]:
        html = html_of(rewrite(html_mail(f"<body>{quoted}</body>", encoding), PLAN, BASE).content)
        assert "o" * 22 not in html
        assert html.count("<img") == 2
        assert "https://acme.com/o/a.gif" in html


def test_an_old_link_of_ours_becomes_what_it_was_and_is_tracked_anew():
    raw = html_mail(f'<body><a href="{OLD_LINK}">deck</a> <a href="{OLD_LINK}">acme.com</a></body>')
    found = survey(raw, BASE)
    assert found.tokens == ("o" * 22,)
    plan = Plan(PIXEL, {"https://acme.com/d?a&b": TRACKED}.get, {"o" * 22: "https://acme.com/d?a&b"}.get)
    html = html_of(rewrite_for(found, plan).content)
    assert f'<a href="{TRACKED}">deck</a> <a href="https://acme.com/d?a&amp;b">acme.com</a>' in html
    assert OLD_LINK in html_of(rewrite(raw, PLAN, BASE).content)  # nobody knows it: left


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_bomb_of_links_takes_linear_time_and_offers_a_bounded_number(encoding: str):
    page = "".join(f'<a href="https://a.co/{number}">x</a>' + " " * (number % 2) for number in range(20_000))
    raw = html_mail(page, encoding)
    began = time.perf_counter()
    found = survey(raw, BASE)
    done = rewrite_for(found, PLAN)
    assert time.perf_counter() - began < 5
    assert len(found.links) == 500
    assert done.untracked is None
