"""The copy page in a real browser: what its buttons leave on the clipboard, and what a mail makes of it."""

import pytest
from aiohttp.test_utils import unused_port

from tests import builders
from tests.tracker.site import open_site
from tracker.mail.compose import parse_draft, track

EDITOR = '<div id="mail" contenteditable style="min-height:5em">Hello Ana,<br></div>'
READ_CLIPBOARD = """async () => {
  const [item] = await navigator.clipboard.read();
  const texts = {};
  for (const type of item.types) texts[type] = await (await item.getType(type)).text();
  return texts;
}"""

pytestmark = pytest.mark.chromium


@pytest.fixture
async def mail(sqlite_database, clock, tmp_path):
    """A site at http://track.example:PORT, which a browser does not trust with its clipboard, and a mail."""
    port = unused_port()
    async with open_site(
        sqlite_database, clock, tmp_path, port=port, base_url=f"http://track.example:{port}"
    ) as site:
        alice = await builders.account("alice", clock())
        line = "Ana <ana@acme.com> Q3 <b>&amp; proposal https://acme.com/q3-deck.pdf https://acme.com/terms#notrack"
        yield await track(site.services, alice, parse_draft(line))


async def open_page(browser, address: str):
    """The page, with all requests that it makes and every error that it reports."""
    page = await (await browser.new_context(viewport={"width": 390, "height": 844})).new_page()
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda line: page.errors.append(line.text) if line.type == "error" else None)
    await page.goto(address)
    return page


async def told(page, words: str) -> None:
    """Waits until the page says so. (It forbids evaluating strings, so playwright cannot poll in it.)"""
    await page.locator("#status", has_text=words).wait_for()


async def paste_into_a_mail(page):
    """What a mail client's editor holds after Ctrl+V, in another tab of the same browser."""
    editor = await page.context.new_page()
    await editor.set_content(EDITOR)
    await editor.click("#mail")
    await editor.keyboard.press("Control+End")
    await editor.keyboard.press("Control+V")
    await editor.wait_for_function("document.querySelector('#mail img, #mail a') !== null")
    return editor


async def check_pasted(editor, mail, words: str) -> None:
    picture = editor.locator("#mail img")
    assert await picture.get_attribute("src") == mail.pixel_url
    assert (await picture.get_attribute("width"), await picture.get_attribute("height")) == ("1", "1")
    assert await picture.get_attribute("alt") == ""
    links = await editor.locator("#mail a").evaluate_all(
        "all => all.map(a => [a.getAttribute('href'), a.text])"
    )
    assert links == [[mail.links[0][1], words], ["https://acme.com/terms", "Terms"]]
    assert (await editor.inner_text("#mail")).startswith("Hello Ana,")


async def test_the_button_leaves_rich_text_with_pixel_and_links_on_the_clipboard(browser, mail):
    local = mail.copy_url.replace("track.example", "127.0.0.1")
    page = await open_page(browser, local)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert page.requests == [local], "the page loads nothing but itself"
    assert "Q3 <b>&amp; proposal" in await page.inner_text("h1")
    assert await page.evaluate("window.isSecureContext") is True
    await page.fill("[data-url] input >> nth=0", 'The "deck" <i>')
    assert await page.inner_text("#preview .link >> nth=0") == 'The "deck" <i>'
    await page.click("#copy")
    await told(page, "Copied")
    found = await page.evaluate(READ_CLIPBOARD)
    assert mail.pixel_url in found["text/html"]
    assert mail.links[0][1] in found["text/html"]
    assert found["text/plain"] == f'The "deck" <i>: {mail.links[0][1]}\nTerms: https://acme.com/terms'
    await check_pasted(await paste_into_a_mail(page), mail, 'The "deck" <i>')
    assert page.errors == []


async def test_it_also_works_where_the_browser_has_no_clipboard_object(browser, mail):
    page = await open_page(browser, mail.copy_url)
    assert await page.evaluate("[window.isSecureContext, typeof navigator.clipboard]") == [False, "undefined"]
    await page.click("#copy")
    await told(page, "Copied")
    assert page.requests == [mail.copy_url], "copying does not load the picture"
    await check_pasted(await paste_into_a_mail(page), mail, "Q3 deck")
    assert page.errors == []


async def test_the_raw_html_and_single_links_are_copied_as_text(browser, mail):
    page = await open_page(browser, mail.copy_url.replace("track.example", "127.0.0.1"))
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.click("#copy-html")
    await told(page, "HTML")
    assert await page.evaluate(READ_CLIPBOARD) == {"text/plain": await page.input_value("#html")}
    assert f'<img src="{mail.pixel_url}" width="1" height="1" alt=""' in await page.input_value("#html")
    await page.click("[data-url] button >> nth=0")
    await told(page, "link")
    assert await page.evaluate(READ_CLIPBOARD) == {"text/plain": mail.links[0][1]}


async def test_the_page_built_by_the_script_is_the_one_the_server_built(browser, mail):
    """Without scripts the HTML can still be copied by hand, and it is the same."""
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(mail.copy_url)
    without = await page.input_value("#html")
    assert await (await open_page(browser, mail.copy_url)).input_value("#html") == without


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_sticks_out_on_a_phone(browser, mail, scheme):
    for address in (mail.copy_url, mail.copy_url.split("/m/")[0] + "/?t=" + "x" * 22):
        page = await open_page(browser, address)
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.errors == []
