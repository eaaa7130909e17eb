"""Chromium as the judge of the scanner: it finds the same links, and nothing else changed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.corpora.messages import UnreachableError, fetch, pages
from tests.tracker.rewriting import BASE, PIXEL, PLAN, TRACKED
from tracker.mail.markup import MarkupError, read_attribute, read_markup
from tracker.mail.rewrite import rewrite

CHROMIUM = "/usr/bin/chromium"
pytestmark = [pytest.mark.long, pytest.mark.chromium]

# Scripting is off in mail, and so it is here. An address is compared as its attribute reads.
_LOOK = """([html, pixel, tracked]) => {
  const page = new DOMParser().parseFromString(html, "text/html");
  const links = [...page.querySelectorAll("a[href], area[href]")].map(link => link.getAttribute("href"));
  const pixels = [...page.querySelectorAll("img")].filter(image => image.getAttribute("src") === pixel);
  const inBody = pixels.every(image => page.body.contains(image));
  pixels.forEach(image => image.remove());
  page.querySelectorAll("a[href], area[href]").forEach(link => link.setAttribute("href", ""));
  page.documentElement.normalize();
  return [links, pixels.length, inBody, page.documentElement.outerHTML];
}"""


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def compare(page: Page, html: bytes, name: str) -> bool:
    """True if the page was changed, and Chromium agrees with all of it."""
    text = html.decode("utf-8", "replace")
    raw = b"Content-Type: text/html; charset=utf-8\r\n\r\n" + text.encode()
    done = rewrite(raw, PLAN, BASE)
    if done.untracked is not None:
        assert done.content == raw, name
        return False
    changed = done.content.partition(b"\r\n\r\n")[2].decode()
    links, none, _, before = page.evaluate(_LOOK, [text, PIXEL, TRACKED])
    tracked, pixels, in_body, after = page.evaluate(_LOOK, [changed, PIXEL, TRACKED])
    markup = read_markup(text.encode())
    found = [read_attribute(text.encode()[one.start : one.end].decode()) for one in markup.anchors]
    assert list(dict.fromkeys(found)) == list(dict.fromkeys(links)), name
    assert (none, pixels, in_body) == (0, 1, True), name
    # Where its line is full, the pixel stands on a line of its own.
    assert re.sub(r"\s+(?=</body>)", "", before) == re.sub(r"\s+(?=</body>)", "", after), name
    kept = [new for new in tracked if new != TRACKED]
    assert all(new in links for new in kept), name
    assert len(tracked) == len(links), name
    return True


def test_chromium_sees_every_page_unchanged_but_for_pixel_and_links(browser_page: Page):
    try:
        fetch()
    except UnreachableError as error:
        pytest.skip(f"no corpora: {error}")
    compared = sum(compare(browser_page, html, name) for name, html in pages())
    assert compared > 60


PIECES = [
    "<a href='https://a.b/1'>one</a>",
    "<p title='>'>",
    "<!-- <a href=n> -->",
    "text ",
    "<br/>",
    "<![if !mso]>",
    "<![endif]>",
    "<style>p > a {}</style>",
    "<div\nalign=left>",
    "</div>",
    "<A HREF=https://z.z/?a&copy=1>z</A>",
    "é",
    "<p =x>",
    "< ",
    '<a title="</body>" href="https://q.q/">',
    "</a>",
    "<!-->",
    "<!--x--!>",
    "<!--->",
    "</>",
    "</ x>",
    "<?x?>",
    "&lt;a>",
    "<title>a<a href=x></title>",
    "<textarea></body></textarea>",
    "<a/href='https://s.s'/>",
    "<b a=\"1\"b='2'c=3/>",
    "<a href='https://d.d' href='https://e.e'>d</a>",
    "<script>'<a href=\"x\">'</script>",
    "<xmp><a href=y></xmp>",
    "<a\x0chref=https://f.f>",
    "<a-b href=x>",
    "<abbr href=x>",
    "</bodyx>",
    "<p a = 'b' c=d\"e>",
    "<!DOCTYPE html>",
]


def test_chromium_finds_the_same_links_in_any_soup(browser_page: Page):
    chance = random.Random(7)
    compared = 0
    for number in range(1500):
        html = "".join(chance.choices(PIECES, k=chance.randrange(1, 14)))
        links, *_ = browser_page.evaluate(_LOOK, [html, PIXEL, TRACKED])
        try:
            markup = read_markup(html.encode())
        except MarkupError:
            continue
        found = [read_attribute(html.encode()[one.start : one.end].decode()) for one in markup.anchors]
        # A link that is not closed shows up again in the tree: only the order of the first ones counts.
        assert list(dict.fromkeys(found)) == list(dict.fromkeys(links)), (number, html)
        compared += 1
    assert compared > 1000
