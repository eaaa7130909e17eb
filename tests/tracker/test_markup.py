"""Finding links, images and the end of the body in HTML by offset, as browsers read it."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.mail.links import followed, link_target, shows_address
from tracker.mail.markup import MarkupError, pixel_html, read_attribute, read_markup, read_text


def hrefs(html: str) -> list[str]:
    raw = html.encode()
    return [raw[anchor.start : anchor.end].decode() for anchor in read_markup(raw).anchors]


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<a href="x">', ["x"]),
        ("<A\nHREF\t=\n'x y'>", ["x y"]),
        ("<a href=x/y>", ["x/y"]),
        ("<a href=x/>", ["x/"]),
        ("<a/href='x'/>", ["x"]),
        ('<a data-href="n" title=">" href="x">', ["x"]),
        ('<a href="">', [""]),
        ("<a href>", []),
        ("<a href=>", []),
        ("<abbr href='x'><article href='x'><a-b href='x'>", []),
        ("<!-- <a href='x'> --><a href='y'>", ["y"]),
        ("<!--><a href='y'>", ["y"]),
        ("<!---><a href='y'>", ["y"]),
        ("<!-- <a href='x'> --!><a href='y'>", ["y"]),
        ("<![if !mso]><a href='y'><![endif]>", ["y"]),
        ("<!DOCTYPE html><?xml version='1.0'?><a href='y'>", ["y"]),
        ("<!--[if gte mso 9]><a href='x'></a><![endif]-->", []),
        ("<style><a href='x'></style ><a href='y'>", ["y"]),
        ("<script>'</scripty><a href=\"x\">'</script><a href='y'>", ["y"]),
        ("<title></a><a href='x'></title>", []),
        ("1 < 2 <a href='y'> < </> </ > <3", ["y"]),
        ("<p title='<a href=x>'>", []),
        ('<p a="b"c=\'d\'><a href="y">', ["y"]),
        ("<p =a><a href=y>", ["y"]),
    ],
)
def test_links_are_found_where_a_browser_finds_them(html: str, found: list[str]):
    assert hrefs(html) == found


@pytest.mark.parametrize(
    "html",
    ["<!-- x", "<style>", "<a href='x>", "<a ", "<p", "</p", "<plaintext>", "<!doctype"],
)
def test_what_is_not_closed_is_told(html: str):
    with pytest.raises(MarkupError):
        read_markup(b"<body>" + html.encode())


def test_a_links_text_ends_at_its_end_at_the_next_link_or_with_the_page():
    html = b"<a href=1>one <b>x</b></a> no <a href=2>two<a href=3>three"
    texts = [read_text(html[one.text_start : one.text_end], "utf-8") for one in read_markup(html).anchors]
    assert texts == ["one x", "two", "three"]


def test_the_end_of_the_body_is_the_last_one_that_is_meant():
    html = b"<p title='</body>'></body ><!--</body>--><style></body></style></html>"
    assert html[read_markup(html).body_end :].startswith(b"</body ><!--")


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("a&amp;b", "a&b"),
        ("a&amp=b", "a&amp=b"),
        ("a&ampb", "a&ampb"),
        ("a&amp/b&amp", "a&/b&"),
        ("?x=1&copy=2&reg=3&not;&notit;", "?x=1&copy=2&reg=3¬&notit;"),
        ("&#38;&#x26;&#38&#X26", "&&&&"),
        ("&unknown;&;&", "&unknown;&;&"),
        ("&AMP;&quot;&#39;", "&\"'"),
    ],
)
def test_references_in_attributes_mean_what_browsers_make_of_them(value: str, meaning: str):
    assert read_attribute(value) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "acme.com",
        "www.acme.com",
        "https://acme.com/x",
        "Go to www.acme.com now",
        "<acme.com/deck.pdf>",
        "acme.co.uk.",
        "bücher.de",
        "xn--bcher-kva.de",
        "ana@acme.com",
        "acme.com:8080/x",
        "Acme.COM",
        "→ acme.com",
    ],
)
def test_a_text_that_is_an_address_is_seen(text: str):
    assert shows_address(text)


@pytest.mark.parametrize(
    "text", ["", "the deck", "deck.pdf", "Report 3.2", "e.g. this", "v1.2", "a.b c.d", "...", "Q3.xlsx"]
)
def test_other_texts_are_none(text: str):
    assert not shows_address(text)


def test_only_web_addresses_are_followed():
    assert link_target(" https://acme.com/a\n b ") is None
    assert link_target("\thttps://acme.com/a\n?b ") == "https://acme.com/a?b"
    for url in (
        "mailto:a@b.c",
        "//acme.com",
        "ftp://acme.com",
        "http://",
        "https://acme.com:99999/",
        "data:x",
    ):
        assert link_target(url) is None


def test_unsubscribing_is_known_by_word_or_header():
    links = [
        ("https://acme.com/a", "Deck"),
        ("https://acme.com/%75nsubscribe", "here"),
        ("https://acme.com/b", "ABMELDEN"),
        ("https://acme.com/l", "x"),
    ]
    assert followed(links, frozenset({"https://acme.com/l"})) == [True, False, False, False]


def test_the_pixel_is_one_closed_tag_whatever_its_address():
    html = pixel_html("https://t.example/o/a\"b'<>&.gif")
    assert html.count(b"<") == html.count(b">") == 1


class Oracle(HTMLParser):
    """The links as the standard library finds them, in simple pages without its known differences."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = [value for name, value in attrs if name == "href"]
        if tag == "a" and values and values[0]:
            self.found.append(values[0])


PIECES = st.sampled_from(
    [
        "<a href='https://a.b/1'>",
        '<a class="x" href="y">',
        "</a>",
        "<p title='>'>",
        "<!-- <a href=n> -->",
        "text ",
        "<br/>",
        "<![if !mso]>",
        "<style>p > a {}</style>",
        "<td\nalign=left>",
        "<A HREF=z>",
        "</td>",
        "é",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_the_standard_library_finds_the_same_links(html: str):
    oracle = Oracle()
    oracle.feed(html)
    oracle.close()
    assert [value for value in hrefs(html) if value] == oracle.found


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="<>!-/'\"= \nabodyhtmlstyref[]?&", max_size=120))
def test_any_signs_are_read_or_refused(html: str):
    try:
        found = read_markup(html.encode())
    except MarkupError:
        return
    ends = [0, *(place for one in found.anchors for place in (one.start, one.end))]
    assert ends == sorted(ends)
    assert 0 <= found.body_end <= len(html)


@pytest.mark.parametrize(
    "piece",
    [
        "<a ",
        "<!--",
        '<a href="',
        "<p '",
        "<style>",
        "</",
        "<",
        "<![if",
        "<a href=x>",
        "a=",
        "<p a='\">",
        "<title><a",
        '<p ="',
        "&#",
        "<a href='https://a.b'>www.",
        "<!-- -",
        "<a\n=",
        "<img src=/o/ ",
    ],
)
def test_hostile_pages_take_linear_time(piece: str):
    html = (piece * (400_000 // len(piece))).encode()
    began = time.perf_counter()
    try:
        for one in read_markup(html).anchors:
            read_text(html[one.text_start : one.text_end], "utf-8")
    except MarkupError:
        pass
    assert time.perf_counter() - began < 3  # quadratic ways take minutes
