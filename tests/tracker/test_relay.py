"""The relay keeps what it took until the provider has it: it retries, tells, and doubles nothing unmarked."""

from __future__ import annotations

import asyncio

import pytest

from models import Mailbox, Outgoing, Recipient
from tests.tracker.posting import HOME, Post, post_office, wire, written
from tracker.sending import deliveries, outcomes, preparing, upstream
from tracker.sending.lane import Lane
from tracker.sending.mailboxes import RELAY_BELL
from tracker.sending.relay import Relay


async def test_an_hour_without_the_provider_loses_nothing_and_is_told_once(post: Post):
    post.provider.away = True
    begin = post.clock()
    await post.put(written())
    tries = []
    for attempt in range(1, 7):
        row = await post.tried(attempt)
        tries.append(round((row.next_at - begin).total_seconds() / 60))
        if attempt < 6:
            post.pass_time(seconds=(row.next_at - post.clock()).total_seconds())
    assert tries == [1, 6, 21, 51, 111, 171]
    text = await post.until_told("is late")
    assert "ana@acme.com" in text
    assert len(await post.told()) == 1
    post.provider.away = False
    post.pass_time(hours=1)
    (got,) = await post.provider.until(1)
    await post.settled("sent")
    await post.spool_empty()
    assert got.to == "ana@acme.com"
    assert not (await Outgoing.get()).maybe_sent


async def test_a_mail_is_late_after_a_quarter_of_an_hour_not_before(sqlite_post):
    post = sqlite_post
    post.provider.answer = "451 4.7.1 Greylisted, come back"
    await post.put(written())
    await post.tried(1)
    post.pass_time(minutes=1)
    await post.tried(2)
    post.pass_time(minutes=5)
    await post.tried(3)
    assert await post.told() == []
    post.pass_time(minutes=9)
    assert "Greylisted, come back" in await post.until_told("is late")


async def test_a_refused_copy_is_told_with_the_providers_words_and_the_others_go(post: Post):
    post.provider.refused = {"ana@acme.com": "550 5.1.1 No such user <b>here</b>"}
    await post.put(written("ana@acme.com", "bob@acme.com"), "ana@acme.com", "bob@acme.com")
    (got,) = await post.provider.until(1)
    await post.settled("failed", "sent")
    await post.spool_empty()
    assert got.to == "bob@acme.com"
    (text,) = await post.told()
    assert '"Q3 proposal" was not delivered to ana@acme.com' in text
    assert "550 5.1.1 No such user <b>here</b>" in text
    assert (await Recipient.get(address="ana@acme.com")).bounced_at == post.clock()
    assert (await Recipient.get(address="bob@acme.com")).bounced_at is None


async def test_after_five_days_a_mail_is_given_up_and_told(sqlite_post):
    post = sqlite_post
    post.provider.answer = "451 4.2.2 Mailbox full"
    await post.put(written())
    for attempt in range(1, 6):
        await post.tried(attempt)
        post.pass_time(hours=1)
    await post.tried(6)
    post.pass_time(days=5)
    await post.settled("failed")
    await post.spool_empty()
    assert "Mailbox full" in await post.until_told("I tried for 5 days")
    assert (await Recipient.get()).bounced_at is not None


async def test_a_clock_that_jumps_ahead_gives_nothing_up(sqlite_post):
    post = sqlite_post
    post.provider.answer = "451 4.2.2 Mailbox full"
    await post.put(written())
    await post.tried(1)
    post.pass_time(days=400)
    await post.tried(2)
    post.provider.answer = "250 OK"
    post.pass_time(days=-400)
    await post.settled("sent")


@pytest.mark.parametrize("gone", [False, True])
async def test_what_is_held_is_given_up_after_five_days_and_not_because_a_clock_jumps_ahead(
    sqlite_database, clock, tmp_path, gone
):
    async with post_office(sqlite_database, clock, tmp_path, users={HOME: "another password"}) as post:
        await post.put(written())
        await post.until_told("refuses the login")
        if gone:
            await Mailbox.all().delete()
        before = (await Outgoing.get()).attempts
        post.pass_time(days=400)
        await post.tried(before + 1)
        assert (await Outgoing.get()).state == "waiting"
        for attempt in range(before + 2, outcomes.LEAST_ATTEMPTS):
            post.pass_time(hours=1)
            await post.tried(attempt)
        post.pass_time(hours=1)
        await post.settled("failed")
        await post.spool_empty()
        assert await post.until_told("I tried for 5 days")


async def test_a_refused_login_stops_the_mailbox_until_it_is_connected_anew(database, clock, tmp_path):
    async with post_office(database, clock, tmp_path, users={HOME: "another password"}) as post:
        await post.put(written())
        text = await post.until_told("refuses the login")
        assert "connect" in text
        await post.put(written(number="2"))
        for _ in range(3):
            post.pass_time(hours=1)
        await post.settled("waiting", "waiting")
        assert len(post.provider.logins) == 1
        assert len(await post.told()) == 1
        mailbox = await Mailbox.get()
        assert mailbox.failed_at is not None
        assert "535" in (mailbox.failure or "")
        post.provider.users[HOME] = "the provider's password"
        await Mailbox.all().update(failed_at=None, failure=None, told_at=None)
        post.services.wake.ring(RELAY_BELL)
        await post.provider.until(2)
        await post.settled("sent", "sent")
        await post.spool_empty()


async def test_a_copy_whose_answer_got_lost_goes_again_and_is_marked(post: Post):
    post.provider.after_dot = "drop"
    await post.put(written())
    row = await post.tried(1)
    assert row.maybe_sent
    assert "may have arrived twice" in (await post.told())[0]
    mail = await post.mail()
    assert mail.armed_by == "provider"  # whoever has it may open it
    post.provider.after_dot = "answer"
    post.pass_time(minutes=1)
    first, second = await post.provider.until(2)
    assert first.content == second.content
    await post.settled("sent")
    assert len(await post.told()) == 1


async def test_a_silent_provider_is_given_up_for_now_and_delays_nobody_else(sqlite_post, monkeypatch):
    post = sqlite_post
    monkeypatch.setattr(upstream, "END_SECONDS", 1.0)
    post.provider.after_dot = "hang"
    await post.put(written())
    row = await post.tried(1)
    assert row.maybe_sent


async def test_a_stop_between_the_dot_and_the_answer_is_known_at_the_next_start(post: Post):
    post.provider.after_dot = "hang"
    await post.put(written())
    await post.provider.until(1)
    await post.stop_at_once()
    row = await Outgoing.get()
    assert (row.state, row.maybe_sent) == ("waiting", False)
    assert row.leased_by is not None
    post.provider.after_dot = "answer"
    await post.restart()
    await post.settled("sent")
    assert (await Outgoing.get()).maybe_sent
    assert len(post.provider.mails) == 2
    assert "may have arrived twice" in (await post.told())[0]


async def test_what_the_provider_took_is_noted_however_long_the_database_takes(sqlite_post, monkeypatch):
    post = sqlite_post
    monkeypatch.setattr(deliveries, "DATABASE_SECONDS", 0.01)
    real, failures = outcomes.note_sent, []

    async def down(*arguments: object) -> None:
        if len(failures) < 3:
            failures.append(True)
            raise OSError("away")
        await real(*arguments)

    monkeypatch.setattr(outcomes, "note_sent", down)
    await post.put(written())
    await post.settled("sent")
    assert len(post.provider.mails) == 1
    assert not (await Outgoing.get()).maybe_sent


async def test_mails_that_wait_at_a_start_are_found(sqlite_database, clock, tmp_path):
    async with post_office(sqlite_database, clock, tmp_path, running=False) as post:
        names = [await post.put(written(number=str(number))) for number in range(5)]
        assert post.spool.names() == names
        await post.restart()
        await post.provider.until(5)
        await post.spool_empty()


async def test_a_mail_is_done_whatever_was_done_before_a_crash(sqlite_database, clock, tmp_path):
    """All rows are there and final, and the file is left: it goes, and nothing is sent again."""
    async with post_office(sqlite_database, clock, tmp_path) as post:
        name = await post.put(written())
        await post.settled("sent")
        await post.spool_empty()
        await post.stop()
        (post.spool.directory / name).write_bytes(b"{}\n")
        await post.restart()
        await post.spool_empty()
        assert len(post.provider.mails) == 1


async def test_a_mail_of_a_mailbox_that_is_gone_waits_and_says_so(sqlite_post):
    post = sqlite_post
    post.provider.answer = "451 Later"
    await post.put(written())
    await post.tried(1)
    await Mailbox.all().delete()
    post.provider.answer = "250 OK"
    post.pass_time(minutes=1)
    told = await post.until_told("no mailbox with the address")
    assert "Type connect and connect alice@home.example itself, and it goes out" in told
    await post.open()
    post.pass_time(minutes=2)
    await post.settled("sent")


async def test_edits_that_fail_let_the_mail_go_as_it_came_and_say_so(sqlite_post, monkeypatch):
    post = sqlite_post
    real = post.relay._editor._exchange

    async def broken(process, question, raw):
        if question["do"] == "edit":
            raise ValueError("broken")
        return await real(process, question, raw)

    monkeypatch.setattr(post.relay._editor, "_exchange", broken)
    message = written(Bcc="bob@acme.com")
    await post.put(message, "ana@acme.com", "bob@acme.com")
    got = await post.provider.until(2)
    assert {one.content for one in got} == {wire(message).replace(b"Bcc: bob@acme.com\r\n", b"")}
    (text,) = await post.told()
    assert "not tracked: a fault of ours" in text


async def test_a_file_that_is_no_mail_stays_and_holds_up_nothing(sqlite_post):
    post = sqlite_post
    (post.spool.directory / "000-broken").write_bytes(b"nothing")
    await post.put(written())
    async with asyncio.timeout(20):
        while post.spool.names() != ["000-broken"] or not post.provider.mails:
            await asyncio.sleep(0.01)


async def test_one_slow_provider_never_delays_another(sqlite_post, clock):
    from tests.servers.provider import running_provider

    post = sqlite_post
    post.provider.after_dot = "hang"
    for number in range(10):
        await post.put(written(number=str(number)))
    async with running_provider() as quick:
        slow, post.provider = post.provider, quick
        other = await Mailbox.create(
            account=post.room.alice, address="work@home.example", provider="other", username=HOME,
            secret=(await Mailbox.get()).secret, smtp_host="127.0.0.1", smtp_port=quick.port,
            smtp_security="none", created_at=clock(),
        )  # fmt: skip
        post.mailbox = other
        await post.put(written(number="quick"))
        await quick.until(1)
        assert slow.connections <= 3
        await post.stop_at_once()


async def test_a_mail_that_cannot_be_understood_goes_as_it_is_and_spoils_no_other(
    sqlite_database, clock, tmp_path, monkeypatch
):
    real = preparing.make_copies

    async def broken(services, mails):
        if any(b"poison" in one.raw and one.examined.untracked is None for one in mails):
            raise ValueError("poison")
        await real(services, mails)

    monkeypatch.setattr(preparing, "make_copies", broken)
    async with post_office(sqlite_database, clock, tmp_path, running=False) as post:
        poison = written(subject="poison")
        await post.put(poison)
        await post.put(written(number="2"), "bob@acme.com")
        await post.restart()
        await post.provider.until(2)
        await post.spool_empty()
        (first,) = post.provider.of("ana@acme.com")
        assert first.content == wire(poison)
        assert b"https://t.example/o/" in post.provider.of("bob@acme.com")[0].content.replace(b"=\r\n", b"")
        (text,) = await post.told()
        assert "not tracked: a fault of ours" in text


async def test_a_mail_that_is_prepared_while_the_relay_stops_waits_for_the_next_one(sqlite_post, monkeypatch):
    post, real = sqlite_post, preparing.make_copies
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def held(services, mails):
        begun.set()
        await goes_on.wait()
        await real(services, mails)

    monkeypatch.setattr(preparing, "make_copies", held)
    await post.put(written())
    await begun.wait()
    stopping = asyncio.create_task(post.stop())
    await asyncio.sleep(0)
    goes_on.set()
    await stopping
    assert await Outgoing.filter(state="waiting").count() == 1
    assert not [lane for lane in post.relay._lanes.values() if lane.senders]
    assert post.provider.connections == 0
    await post.restart()
    await post.provider.until(1)


async def test_a_login_that_is_refused_after_the_dot_makes_no_copy_a_double_one(sqlite_post):
    post = sqlite_post
    post.provider.answer = "530 5.7.0 Log in first"
    await post.put(written())
    await post.until_told("refuses the login")
    post.provider.answer = "250 OK"
    await Mailbox.all().update(failed_at=None, failure=None, told_at=None)
    post.services.wake.ring(RELAY_BELL)
    (row,) = await post.settled("sent")
    assert not row.maybe_sent
    assert len(await post.told()) == 1


async def test_a_mail_in_hand_is_not_taken_up_again_where_its_mailbox_lets_us_in_just_then(sqlite_post):
    post = sqlite_post
    await post.stop()
    relay = Relay(post.services, post.spool)
    lane = relay._lanes[post.mailbox.id] = Lane(post.mailbox.id, held={"in hand", "at rest"})
    relay._busy.add("in hand")
    await relay._release_held()
    assert set(relay._due) == {"at rest"}
    assert not lane.held
