"""Replaying the rules: nothing happens without news, everything follows with them, and a cut does no harm."""

import datetime as dt
import random

import pytest

from models import Alert, Card, Hit, InstanceState, Link, Message, Recipient
from models.columns import to_micros
from models.writer import WriterDownError
from tests import builders
from tests.tracker.judging import APPLE, CHROME, GMAIL, SAFARI, Court, check_sums
from tracker.hits import reading
from tracker.hits import reclassify as replaying
from tracker.hits.evidence import Judgement
from tracker.hits.reclassify import Report, Span, reclassify
from tracker.hits.verdicts import Verdict

CURL = "curl/8.5.0"
AGENTS = (GMAIL, APPLE, CHROME, SAFARI, CURL, None)


async def a_week(room: Court, mails: int = 6, hits: int = 120) -> list[Message]:
    """Mails of all sorts with bursts, repeats, scans and late hits."""
    chance = random.Random(7)
    made = []
    for number in range(mails):
        to = ("ana@acme.com",) if number % 2 else ("ana@acme.com", "bo@b.org")
        made.append(await room.mail(to=to, links=("https://a.com", "https://b.com", "https://c.com")))
    for _ in range(hits):
        room.clock.advance(seconds=chance.choice((0, 1, 5, 70, 4000)))
        links = await Link.filter(message_id=chance.choice(made).id).order_by("id")
        at = room.clock() - dt.timedelta(seconds=chance.choice((0, 0, 0, 3, 90)))
        await room.request(
            chance.choice(links), chance.choice(AGENTS), at=at, network=f"10.0.{chance.randrange(3)}.0/24"
        )
        if chance.random() < 0.3:
            await room.judge.judge_once(chance.choice((1, 3, 50)))
    await room.judge_all()
    return made


async def everything() -> list[list[dict]]:
    tables = (Hit, Message, Recipient, Link, Alert, Card, InstanceState)
    return [await table.all().order_by(table._meta.pk_attr).values() for table in tables]


def new_rule(monkeypatch, reason: str, verdict: Verdict, agent: str) -> None:
    """From now on this program is what `verdict` says."""
    from tracker.hits import classify

    real = classify.classify

    def changed(hit, mail, own):
        name = hit.agent.name or ""
        return Judgement(verdict, reason, name) if agent in name else real(hit, mail, own)

    monkeypatch.setattr(reading, "classify", changed)


async def test_the_same_rules_change_nothing_and_write_nothing(room: Court, monkeypatch):
    await a_week(room)
    before = await everything()
    written: list[str] = []
    real = room.services.writer.apply

    async def noting(statements):
        written.extend(one.sql for one in statements)
        return await real(statements)

    monkeypatch.setattr(room.services.writer, "apply", noting)
    report = await reclassify(room.services)
    assert (report.hits, report.rewritten, report.changed) == (await Hit.all().count(), 0, {})
    assert await everything() == before
    assert written == ["DELETE FROM instance_state WHERE key = ?"]


async def test_a_new_rule_changes_verdicts_counters_and_cards_and_is_reported(room: Court, monkeypatch):
    await a_week(room)
    gmail = await Hit.filter(reason="image-proxy").count()
    assert gmail
    await Card.all().update(dirty_at=None)
    room.clock.advance(hours=1)
    new_rule(monkeypatch, "gateway", Verdict.SCANNER, "Gmail")
    dry = await reclassify(room.services, dry_run=True)
    assert await Hit.filter(reason="image-proxy").count() == gmail
    report = await reclassify(room.services)
    assert report.changed == dry.changed
    assert report.changed["proxied (image-proxy)", "scanner (gateway)"] == gmail
    assert not await Hit.filter(reason="image-proxy").exists()
    assert await Card.filter(dirty_at=room.clock()).exists()
    await check_sums()
    before = await everything()
    assert not (await reclassify(room.services)).changed
    assert await everything() == before


async def test_hits_read_in_many_pages_come_out_as_those_read_at_once(room: Court, monkeypatch):
    await a_week(room, mails=3, hits=90)
    before = await everything()
    with monkeypatch.context() as patch:
        patch.setattr(reading, "PAGE", 7)
        assert not (await reclassify(room.services)).rewritten
        assert await everything() == before
    new_rule(monkeypatch, "gateway", Verdict.SCANNER, "Chrome")
    whole = await reclassify(room.services, dry_run=True)
    monkeypatch.setattr(reading, "PAGE", 7)
    paged = await reclassify(room.services)
    assert (paged.changed, paged.rewritten) == (whole.changed, whole.rewritten)
    assert whole.changed["human (browser)", "scanner (gateway)"]
    await check_sums()


async def test_only_what_rang_lately_is_corrected_and_only_that_rings_anew(room: Court, monkeypatch):
    mail = await room.mail()
    room.clock.advance(hours=1)
    old = await room.request(await room.pixel(mail), GMAIL)
    room.clock.advance(hours=1)
    new = await room.request(await room.pixel(mail), GMAIL)
    await room.judge_all()
    await Alert.all().update(state="sent", remote_id="7")
    room.clock.advance(minutes=5)
    with monkeypatch.context() as patch:
        new_rule(patch, "gateway", Verdict.SCANNER, "Gmail")
        await reclassify(room.services)
        assert (await Alert.get(event_key=old)).fix_text is None
        assert (await Alert.get(event_key=new)).fix_text is not None
        await check_sums()
    await reclassify(room.services)
    assert (await Alert.get(event_key=new)).fix_text is None
    assert await Alert.all().count() == 2
    await check_sums()


async def test_a_replay_that_was_cut_off_goes_on_where_it_stopped(room: Court, monkeypatch):
    await a_week(room, mails=8)
    new_rule(monkeypatch, "gateway", Verdict.SCANNER, "Gmail")
    whole = (await reclassify(room.services, dry_run=True)).changed
    for name, value in (("HITS", 10), ("SAVED_EVERY", 1), ("MAILS", 3)):
        monkeypatch.setattr(replaying, name, value)
    real, calls = replaying._write, 0

    async def dies(services, part, report) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise WriterDownError("away")
        await real(services, part, report)

    with monkeypatch.context() as patch:
        patch.setattr(replaying, "_write", dies)
        with pytest.raises(WriterDownError):
            await reclassify(room.services)
    assert await InstanceState.filter(key="reclassify").exists()
    report = await reclassify(room.services)
    assert report.resumed
    assert report.hits == await Hit.all().count()
    assert report.changed == whole
    assert not await InstanceState.filter(key="reclassify").exists()
    await check_sums()


async def test_another_span_or_a_wish_begins_at_the_beginning(lite: Court):
    await a_week(lite, mails=2, hits=20)
    mail = await Message.all().order_by("-id").first()
    assert mail is not None
    state = replaying._state(Span(), Report(hits=5, last=mail.id))
    await InstanceState.create(key="reclassify", value=state)
    hits = await Hit.all().count()
    assert (await reclassify(lite.services, Span(since=1))).hits == hits
    await InstanceState.create(key="reclassify", value=state)
    assert (await reclassify(lite.services, anew=True)).hits == hits
    await InstanceState.create(key="reclassify", value=state)
    assert (await reclassify(lite.services)).hits == 5


async def test_one_account_or_what_is_new_enough(lite: Court):
    await a_week(lite, mails=2, hits=20)
    bob = await builders.account("bob", lite.clock())
    mail = await builders.mail(bob, lite.clock())
    lite.clock.advance(days=3)
    await lite.request(await lite.pixel(mail), GMAIL)
    await lite.judge_all()
    assert (await reclassify(lite.services, Span(account_id=bob.id))).hits == 1
    since = to_micros(lite.clock() - dt.timedelta(days=1))
    assert (await reclassify(lite.services, Span(since=since))).mails == 1


async def test_a_judge_that_works_meanwhile_loses_nothing(room: Court, monkeypatch):
    mails = await a_week(room, mails=3)
    new_rule(monkeypatch, "gateway", Verdict.SCANNER, "Gmail")
    real = replaying._write

    async def meanwhile(services, part, report) -> None:
        for mail in mails:
            await room.request(await room.pixel(mail), CHROME, network="10.9.9.0/24")
        await room.judge_all()
        await real(services, part, report)

    monkeypatch.setattr(replaying, "_write", meanwhile)
    await reclassify(room.services)
    assert not await Hit.filter(reason="image-proxy").exists()
    await check_sums()


async def test_what_was_counted_before_hits_were_deleted_stays_counted(room: Court, monkeypatch):
    mail = await room.mail()
    pixel, link = await room.pixel(mail), await room.link(mail)
    for _ in range(3):
        room.clock.advance(minutes=5)
        await room.request(pixel, GMAIL)
        await room.request(link, CHROME)
    first = room.clock()
    room.clock.advance(days=200)
    await room.request(pixel, GMAIL)
    await room.request(pixel, CURL)
    await room.judge_all()
    await Hit.filter(at__lte=first).delete()
    before = await everything()
    assert (await Message.get(id=mail.id)).opens == 4
    assert not (await reclassify(room.services)).rewritten
    assert await everything() == before
    new_rule(monkeypatch, "browser", Verdict.HUMAN, "curl")
    await reclassify(room.services)
    message = await Message.get(id=mail.id)
    assert (message.opens, message.total_opens, message.clicks) == (5, 5, 3)
    assert [hit.ordinal for hit in await Hit.all().order_by("id")] == [4, 5]
    assert (await Link.get(id=pixel.id)).counted == 5
    new_rule(monkeypatch, "gateway", Verdict.SCANNER, "Gmail")
    await reclassify(room.services)
    person = await Recipient.get(message_id=mail.id)
    assert (person.opens, person.clicks, person.total_opens) == (3, 3, 5)
    assert person.first_open_at is not None
    assert person.last_open_at is not None
