"""The links to the connect page: for whom they work, for how long, and what they never say."""

from __future__ import annotations

import datetime as dt

import pytest

from models import AccessCode, Account, Mailbox
from tests import builders
from tests.conftest import Clock
from tests.servers.mailhost import MailHost
from tests.tracker.connect.person import Person, connect, login
from tests.tracker.site import Site
from tracker.sending.tickets import claim_ticket, find_ticket, make_ticket, settle_ticket


async def test_a_page_of_the_ticket_is_closed_to_everybody_else(site: Site, alice: Account) -> None:
    answer = await Person(site).get(await make_ticket(site.services, alice))
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert "alice &lt;b&gt;" in await answer.text()


async def test_looking_spends_nothing_and_connecting_does(site: Site, host: MailHost, alice: Account) -> None:
    person, url = Person(site), await make_ticket(site.services, alice)
    for _ in range(3):  # an unfurler, a mail gateway, the person
        assert (await person.get(url)).status == 200
    assert (await person.post(url, **login(host))).status == 200
    assert "Connected" in person.text
    for answer in (await person.get(url), await person.post(url, **login(host))):
        assert answer.status == 410
    assert "done its work" in person.text
    assert await Mailbox.filter(account_id=alice.id).count() == 1
    assert host.tried == ["alice@acme.com"]


def other_than(letter: str) -> str:
    return "b" if letter == "a" else "a"


@pytest.mark.parametrize("change", ["end", "letter", "purpose", "empty", "long", "dots", "nul"])
async def test_a_forged_link_says_nothing(site: Site, alice: Account, change: str) -> None:
    url = await make_ticket(site.services, alice)
    name, _, signature = url.rpartition("/")[2].rpartition(".")
    forged = {
        "end": f"{name}.{signature[:-1]}{other_than(signature[-1])}",
        "letter": f"{other_than(name[0])}{name[1:]}.{signature}",
        "purpose": f"{name.replace('-n', '-r1')}.{signature}",
        "empty": ".",
        "long": "x" * 2000,
        "dots": "..%2f..%2fetc",
        "nul": "%00",
    }[change]
    assert forged != f"{name}.{signature}"
    for method in ("GET", "POST"):
        answer = await site.client.request(
            method, f"/connect/{forged}", data={"step": "login"} if method == "POST" else None
        )
        assert answer.status in (404, 403)
        assert "alice" not in await answer.text()
    assert await AccessCode.filter(used_at__isnull=True).count() == 1


async def test_a_link_ends_after_half_an_hour(
    site: Site, host: MailHost, alice: Account, clock: Clock
) -> None:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    clock.advance(minutes=30)
    assert (await person.get(url)).status == 404
    assert (await person.post(url, **login(host))).status == 404
    assert "connect new" in person.text
    assert host.tried == []


async def test_a_link_works_for_its_own_account_alone(
    site: Site, host: MailHost, alice: Account, clock: Clock
) -> None:
    bob = await builders.account("bob", clock())
    _, _ = await connect(site, host, alice)
    mailbox = await Mailbox.get(account_id=alice.id)
    url = await make_ticket(site.services, bob, "renew", mailbox)  # of somebody else's mailbox
    assert (await Person(site).get(url)).status == 404
    before = mailbox.submission_digest
    person = Person(site)
    await person.get(await make_ticket(site.services, bob))
    await person.post(url, step="renew")
    await mailbox.refresh_from_db()
    assert mailbox.submission_digest == before


async def test_a_form_from_elsewhere_is_refused(site: Site, host: MailHost, alice: Account) -> None:
    url = await make_ticket(site.services, alice)
    person, other = Person(site), Person(site)
    await person.get(url)
    await other.get(url)
    stranger = Person(site)
    answers = [await stranger.post(url, **login(host))]  # no cookie, no mark
    stranger.mark = person.mark  # a mark without its cookie
    answers.append(await stranger.post(url, **login(host)))
    stranger.cookie = other.cookie  # another one's cookie
    answers.append(await stranger.post(url, **login(host)))
    stranger.cookie, stranger.mark = "mailbell_connect=" + "x" * 22, ""
    answers.append(await stranger.post(url, **login(host)))
    assert [one.status for one in answers] == [403] * 4
    assert host.tried == []
    assert (await person.post(url, **login(host))).status == 200


async def test_two_presses_at_once_connect_once(site: Site, host: MailHost, alice: Account) -> None:
    import asyncio

    url = await make_ticket(site.services, alice)
    people = [Person(site) for _ in range(3)]
    for one in people:
        await one.get(url)
    answers = await asyncio.gather(*(one.post(url, **login(host)) for one in people))
    assert sorted(one.status for one in answers)[0] == 200
    assert sum("Connected" in one.text for one in people) == 1
    assert len(host.tried) == 1


async def test_a_crash_between_the_check_and_its_note_leaves_the_link_unusable(
    site: Site, alice: Account, clock: Clock
) -> None:
    url = await make_ticket(site.services, alice)
    ticket = await find_ticket(site.services, url.rpartition("/")[2])
    assert ticket is not None
    assert await claim_ticket(site.services, ticket)
    assert not await claim_ticket(site.services, ticket)
    assert (await Person(site).get(url)).status == 200
    await settle_ticket(ticket, None)
    assert await claim_ticket(site.services, ticket)


async def test_old_tickets_are_cleared_away(site: Site, alice: Account, clock: Clock) -> None:
    await make_ticket(site.services, alice)
    clock.advance(days=2)
    await make_ticket(site.services, alice)
    assert await AccessCode.filter(kind="connect").count() == 1


async def test_somebody_who_was_shown_out_has_no_link_any_more(
    site: Site, alice: Account, clock: Clock
) -> None:
    from bot.access import remove_account_access

    url = await make_ticket(site.services, alice)
    await remove_account_access(alice, clock() + dt.timedelta(seconds=1))
    assert (await Person(site).get(url)).status == 404
