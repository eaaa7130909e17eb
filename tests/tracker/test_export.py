import asyncio
import csv
import datetime as dt
import io
import itertools
import json

import pytest

from models import Account, Hit, Link, Message
from models.columns import to_micros
from models.database import DatabaseURL
from models.writer import RawHit
from tests import builders
from tests.tracker.page_services import writing_services
from tests.tracker.running import recorded
from tracker import export
from tracker.export import COLUMNS, ExportError, export_rows, parse_since, write_export
from tracker.services import Services

_uids = (f"{number:032x}" for number in itertools.count(1))


@pytest.fixture
async def running(database: DatabaseURL, clock, tmp_path):
    async with writing_services(database, clock, tmp_path) as found:
        yield found


async def hit(message: Message, at: dt.datetime, kind: str = "open", **more: object) -> Hit:
    link = await Link.get(message=message, kind=kind)
    return await Hit.create(
        uid=next(_uids), at=at, kind=kind, link=link, message=message, recipient_id=link.recipient_id, **more
    )


def raw(token: str, at: dt.datetime, **more: str | None) -> RawHit:
    given = dict.fromkeys(RawHit._fields) | {
        "uid": next(_uids),
        "at": to_micros(at),
        "token": token,
        "method": "GET",
    }
    return RawHit(**{**given, **more})  # type: ignore[arg-type]


async def rows(running: Services, account: Account | None = None, since: dt.datetime | None = None):
    return [row async for row in export_rows(running, account, since)]


async def test_a_row_holds_exactly_what_is_promised(running, clock):
    alice = await builders.account("alice", clock())
    mail = await builders.mail(alice, clock())
    seen = await hit(
        mail, clock(), verdict="proxied", reason="image-proxy", client="Gmail", network="203.0.113.0/24",
        rules="1", confirmed_by="f" * 32, details={"x": 1},
    )  # fmt: skip
    (row,) = await rows(running)
    sentence = row.pop("sentence")
    assert sentence.startswith("Gmail fetched it")
    assert row == {
        "id": seen.uid, "at": "2026-03-02T09:00:00.000000Z", "kind": "open",
        "token": (await Link.get(message=mail, kind="open")).token, "message": mail.code,
        "recipient": "ana@acme.com", "class": "proxied", "reason": "image-proxy", "confirmed_by": "f" * 32,
        "client": "Gmail", "network": "203.0.113.0/24", "rules": "1",
    }  # fmt: skip
    out = io.StringIO()
    assert await write_export(running, out) == 1
    assert list(json.loads(out.getvalue())) == list(COLUMNS)


async def test_an_unjudged_hit_of_a_shared_pixel_has_no_class_and_no_recipient(running, clock):
    alice = await builders.account("alice", clock())
    await hit(await builders.mail(alice, clock(), to=("a@a.com", "b@a.com")), clock())
    (row,) = await rows(running)
    assert (row["class"], row["recipient"], row["sentence"]) == (None, None, "Not judged yet.")


async def test_it_goes_through_all_batches_in_order_and_keeps_to_account_and_time(
    running, clock, monkeypatch
):
    monkeypatch.setattr(export, "BATCH", 3)
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    mails = [await builders.mail(alice, clock()), await builders.mail(bob, clock())]
    made = [await hit(mails[n % 2], clock.advance(hours=1)) for n in range(20)]
    assert [row["id"] for row in await rows(running)] == [one.uid for one in made]
    assert [row["id"] for row in await rows(running, alice)] == [one.uid for one in made[::2]]
    assert [row["id"] for row in await rows(running, bob, made[10].at)] == [one.uid for one in made[11::2]]


async def test_a_crowd_of_this_moment_is_in_it(running, clock, monkeypatch):
    """Hits that are stored, and are no rows yet."""
    monkeypatch.setattr("models.sqlite_writer.LULL", 60)
    mail = await builders.mail(await builders.account("alice", clock()), clock())
    pixel = await Link.get(message=mail, kind="open")
    hits = [raw(pixel.token, clock()) for _ in range(40)]
    assert set(await asyncio.gather(*(recorded(running.writer, one) for one in hits))) == {None}
    assert [row["id"] for row in await rows(running)] == [one.uid for one in hits]


async def test_what_still_waits_in_the_journal_comes_last_and_once(running, clock, monkeypatch):
    monkeypatch.setattr(export, "BATCH", 3)
    alice, bob = await builders.account("alice", clock()), await builders.account("bob", clock())
    mail, theirs = await builders.mail(alice, clock()), await builders.mail(bob, clock())
    pixel, link = await Link.filter(message=mail).order_by("position")
    other = await Link.get(message=theirs, kind="open")
    mute = await Link.get(message=theirs, kind="click")
    await Link.filter(id=mute.id).update(recording=False)
    stored = await hit(mail, clock())
    waiting = [
        raw(pixel.token, clock())._replace(uid=stored.uid),
        raw(pixel.token, clock(), network="203.0.113.0/24", kind="open"),
        raw(link.token, clock.advance(days=1)),
        raw(other.token, clock()),
        raw("unknown" * 3, clock()),
        raw(mute.token, clock()),
        raw(link.token, clock(), kind="open"),
    ]
    (running.settings.data_dir / "journal").mkdir()
    monkeypatch.setattr(export, "read_journal", lambda directory: iter(waiting))
    found = await rows(running)
    assert [row["id"] for row in found] == [stored.uid, *(one.uid for one in waiting[1:4])]
    assert (found[1]["network"], found[1]["class"], found[1]["recipient"]) == (
        "203.0.113.0/24",
        None,
        "ana@acme.com",
    )
    assert found[2]["kind"] == "click"
    assert [row["id"] for row in await rows(running, alice)] == [stored.uid, waiting[1].uid, waiting[2].uid]
    assert [row["id"] for row in await rows(running, since=clock())] == [waiting[2].uid, waiting[3].uid]


async def test_a_hit_replayed_while_the_export_runs_comes_once(running, clock, monkeypatch):
    monkeypatch.setattr(export, "BATCH", 1)
    mail = await builders.mail(await builders.account("alice", clock()), clock())
    token = (await Link.get(message=mail, kind="open")).token
    await hit(mail, clock())
    moving, staying = raw(token, clock()), raw(token, clock())
    (running.settings.data_dir / "journal").mkdir()
    monkeypatch.setattr(export, "read_journal", lambda directory: iter([moving, staying]))
    found = []
    async for row in export_rows(running):
        if not found:
            await running.writer.record_many([moving])
        found.append(row["id"])
    assert found[1:] == [moving.uid, staying.uid]


async def test_cells_of_a_csv_are_never_formulas(running, clock):
    alice = await builders.account("alice", clock())
    mail = await builders.mail(alice, clock(), to=("=cmd()@acme.com",))
    await hit(mail, clock(), client='-1+1, "x"\n', reason="@x")
    out = io.StringIO(newline="")
    await write_export(running, out, as_csv=True)
    head, cells = csv.reader(io.StringIO(out.getvalue(), newline=""))
    row = dict(zip(head, cells, strict=True))
    assert tuple(head) == COLUMNS
    assert (row["recipient"], row["client"], row["reason"]) == ("'=cmd()@acme.com", '\'-1+1, "x"\n', "'@x")
    assert row["confirmed_by"] == ""


def test_since_is_a_length_of_time_or_a_moment(clock):
    now = clock()
    assert parse_since("7d", now) == now - dt.timedelta(days=7)
    assert parse_since(" 90 M", now) == now - dt.timedelta(minutes=90)
    assert parse_since("2026-03-01", now) == dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    assert parse_since("2026-03-01T10:00:00+02:00", now) == dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)
    assert parse_since("2026-03-01T10:00:00Z", now).hour == 10
    for wrong in ("", "soon", "7", "100000w", "0001-01-01T00:00+23:00", "7dd", "²d"):
        with pytest.raises(ExportError, match="7d"):
            parse_since(wrong, now)


async def test_a_long_export_tells_how_far_it_is(running, clock, monkeypatch):
    monkeypatch.setattr(export, "_TOLD_EVERY", 2)
    mail = await builders.mail(await builders.account("alice", clock()), clock())
    for _ in range(5):
        await hit(mail, clock())
    told: list[int] = []
    await write_export(running, io.StringIO(), progress=told.append)
    assert told == [2, 4]
