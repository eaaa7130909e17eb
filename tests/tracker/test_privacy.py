import pytest

from models import Hit, Link, OptOut
from tests import builders
from tests.tracker.site import open_site
from tracker.mail.compose import parse_draft, track
from tracker.mail.opt_out import opted_out
from tracker.web.privacy import Throttle

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def site(sqlite_database, clock, tmp_path):
    async with open_site(sqlite_database, clock, tmp_path, arm_after_seconds=0, retention_days=90) as found:
        yield found


@pytest.fixture
async def mail(site, clock):
    alice = await builders.account("alice", clock())
    return await track(site.services, alice, parse_draft("ana@acme.com Q3 https://acme.com/deck"))


async def post(site, **fields: str) -> tuple[int, str]:
    async with site.client.post("/", data=fields) as response:
        return response.status, await response.text()


async def token_of(mail, kind: str) -> str:
    return (await Link.get(message=mail.message, kind=kind)).token


async def test_the_root_page_says_what_is_collected_by_whom_and_how_long(site):
    async with site.client.get("/") as response:
        page, headers = await response.text(), response.headers
        assert response.status == 200
    for words in ("What is collected", "By whom", "90 days", "Do not track me", "203.0.113.0/24"):
        assert words in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "script-src" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in headers


async def test_an_address_is_out_at_once_and_its_links_go_on_working(site, mail):
    pixel, link = site.path(mail.pixel_url), site.path(mail.links[0][1])
    await site.client.get(pixel)
    assert await Hit.all().count() == 1
    status, _ = await post(site, who=" Ana@ACME.com ")
    assert status == 200
    async with site.client.get(pixel) as response:
        assert (response.status, response.content_length) == (200, 43)
    async with site.client.get(link, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "https://acme.com/deck")
    assert await Hit.all().count() == 1
    assert await opted_out(site.services, ["ana@acme.com"])


async def test_the_answer_is_the_same_for_known_and_unknown(site, mail):
    answers = {
        await post(site, who="ana@acme.com"),
        await post(site, who="ana@acme.com"),
        await post(site, who="nobody@nowhere.example"),
        await post(site, t=await token_of(mail, "open")),
        await post(site, t="x" * 22),
        await post(site, who=mail.links[0][1]),
        await post(site, who=f"https://track.example/c/{'y' * 22}"),
    }
    assert len(answers) == 1


async def test_a_mails_own_link_shows_a_button_and_looking_changes_nothing(site, mail):
    token = await token_of(mail, "click")
    async with site.client.get("/", params={"t": token}) as response:
        page = await response.text()
    assert "Stop tracking this mail" in page
    assert f'name="t" value="{token}"' in page
    assert (await Link.get(token=token)).recording
    async with site.client.get("/", params={"t": "x" * 22}) as response:
        assert (await response.text()).replace("x" * 22, token) == page
    await post(site, t=token)
    assert await Link.filter(recording=True).count() == 0


@pytest.mark.parametrize("kind", ["open", "click"])
async def test_a_link_copied_from_the_mail_does_it_too(site, mail, kind):
    await post(site, who=mail.pixel_url if kind == "open" else f"{mail.links[0][1]}?utm=x")
    assert await Link.filter(recording=True).count() == 0
    assert await opted_out(site.services, ["ana@acme.com"])


@pytest.mark.parametrize(
    "who", ["", "ana", "ana@acme", "<script>", "https://acme.com/deck", "a@b.com x", "x" * 9000]
)
async def test_what_is_no_address_says_what_to_type_and_reflects_nothing(site, mail, who):
    status, page = await post(site, who=who)
    assert status == 400
    assert "you@example.com" in page
    assert len(who) < 4 or who not in page
    assert await OptOut.all().count() == 0


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\xff\xfe=%ff", FORM),
        (b"&" * 4000, FORM),
        (b"a=1&" * 100, FORM),
        (b"who=%00%ed%a0%80@a.com", FORM),
        (b"{}", {"Content-Type": "application/json"}),
        (b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"}),
        (b"who=ana@acme.com", {**FORM, "Content-Encoding": "gzip"}),
        (b"", {}),
    ],
)
async def test_garbage_is_refused_politely(site, body, headers):
    async with site.client.post("/", data=body, headers=headers) as response:
        assert response.status == 400


async def test_a_token_in_the_query_is_never_reflected_unless_it_is_one(site):
    for token in ('"><script>', "x" * 21, "x" * 23, "a b"):
        async with site.client.get("/", params={"t": token}) as response:
            page = await response.text()
        assert response.status == 200
        assert token not in page
        assert "Stop tracking this mail" not in page


async def test_one_network_cannot_go_through_a_list_of_addresses(site):
    statuses = [(await post(site, who=f"p{number}@acme.com"))[0] for number in range(25)]
    assert statuses == [200] * 20 + [429] * 5
    assert await OptOut.all().count() == 20
    async with site.client.get("/") as response:
        assert response.status == 200


def test_the_throttle_forgets_after_its_window_and_keeps_little():
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    assert [throttle.allows("a") for _ in range(21)] == [True] * 20 + [False]
    assert throttle.allows("b")
    now[0] = 601.0
    assert throttle.allows("a")
    for number in range(20_000):
        throttle.allows(str(number))
    assert len(throttle._tries) <= 10_000
