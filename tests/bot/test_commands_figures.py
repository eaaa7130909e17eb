"""stats and export: what can be counted and carried away."""

import csv
import datetime as dt
import io

import pytest
from PIL import Image

from bot.chat import Kind
from bot.commands.exports import read_since
from bot.commands.figures import bars_of
from bot.render.pictures import Bar, heat_text, trend, trend_text
from models import Hit, Message
from tests import builders
from tests.bot.talk import Person, actions
from tests.bot.test_commands_mails import hit
from tests.conftest import Clock
from tracker.insights.stats import Day


async def test_stats_tell_shares_only_where_there_are_enough_mails(alice: Person, clock: Clock):
    mails = [await builders.mail(alice.account, clock()) for _ in range(9)]
    await Message.filter(id=mails[0].id).update(opens=3, clicks=1)
    few = await alice.types("stats")
    assert few.title == "9 mails in the last 30 days:"
    assert few.lines[0] == "opened: 1 – 3 opens"
    await builders.mail(alice.account, clock())
    many = await alice.types("stats 7d")
    assert many.lines[0] == "opened: 1 (10%) – 3 opens"
    assert many.lines[1] == "clicked: 1 (10%) of 10 with links – 1 click"
    assert many.lines[2] == "no open seen: 9"
    assert (many.data["mails"], many.data["opened"], many.data["opens"]) == (10, 1, 3)


async def test_stats_name_what_did_not_count(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    for verdict in ("scanner", "scanner", "sender", "human", None):
        await hit(mail, clock(), verdict=verdict)
    assert "Not counted: 2 security scan, 1 you, 1 being looked at" in (await alice.types("stats")).lines


async def test_stats_are_ones_own_and_of_the_time_asked_for(alice: Person, bob: Person, clock: Clock):
    await builders.mail(bob.account, clock())
    assert "No tracked mails" in (await alice.types("stats")).title
    await builders.mail(alice.account, clock())
    clock.advance(days=8)
    assert "No tracked mails in the last 7 days" in (await alice.types("stats 7d")).title
    assert (await alice.types("stats all")).title == "1 mail in all:"


@pytest.mark.parametrize(
    ("typed", "asked"), [("12h", "12h"), ("36h", "36h"), ("90m", "90m"), ("2w", "14d"), ("all", "all")]
)
async def test_the_buttons_of_stats_keep_the_time_asked_for(
    alice: Person, clock: Clock, typed: str, asked: str
):
    await builders.mail(alice.account, clock())
    wanted = actions(await alice.types(f"stats {typed}"))
    assert f"stats {asked} links" in wanted
    assert f"stats {asked} csv" in wanted


@pytest.mark.parametrize("text", ["stats soon", "export soon"])
async def test_a_wrong_length_of_time_says_what_to_type(alice: Person, text: str):
    reply = await alice.types(text)
    assert reply.kind is Kind.ERROR
    assert f"{text.split()[0]} 7d" in reply.title


async def test_export_sends_ones_own_events_as_a_file(alice: Person, bob: Person, clock: Clock):
    mine = await builders.mail(alice.account, clock())
    other = await builders.mail(bob.account, clock())
    await hit(mine, clock(), verdict="human", reason="browser", rules="1", client="=cmd()")
    await hit(other, clock(), verdict="human", reason="browser")
    reply = await alice.types("export all")
    assert reply.file is not None
    name, content = reply.file
    assert name == "mailbell-2026-03-02.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert [row["message"] for row in rows] == [mine.code]
    assert rows[0]["client"] == "'=cmd()", "no spreadsheet runs it"
    assert reply.data["rows"] == 1


async def test_export_of_nothing_says_so(alice: Person, clock: Clock):
    mail = await builders.mail(alice.account, clock())
    await hit(mail, clock(), verdict="human")
    clock.advance(days=31)
    reply = await alice.types("export")
    assert reply.file is None
    assert "export all" in reply.title
    assert await Hit.exists()


def test_the_period_of_an_export_is_read_forgivingly(clock: Clock):
    assert read_since("ALL", clock()) is None
    assert read_since("", clock()) == clock() - dt.timedelta(days=30)
    assert read_since("7 days", clock()) == clock() - dt.timedelta(days=7)


async def test_stats_come_with_a_trend_where_there_is_one(alice: Person, clock: Clock):
    await builders.mail(alice.account, clock())
    assert (await alice.types("stats")).file is None
    for _ in range(4):
        clock.advance(days=3)
        await builders.mail(alice.account, clock(), opens=1)
    reply = await alice.types("stats")
    assert reply.file is not None
    name, content = reply.file
    assert name == "stats-2026-03-14.png"
    assert Image.open(io.BytesIO(content)).width == 1080
    assert (await alice.types("stats all")).file is not None
    assert "stats 30d links" in actions(reply)


async def test_stats_by_domain_subject_and_link(alice: Person, clock: Clock):
    for subject in ("Offer", "AW: Offer", ""):
        await builders.mail(alice.account, clock(), subject=subject, opens=1, clicks=1)
    assert (await alice.types("stats domains")).lines == ("1. acme.com: 3 mails, opened 0",)
    subjects = await alice.types("stats by subject 7d")
    assert subjects.title == "By subject, in the last 7 days:"
    assert subjects.lines == (
        "1. Offer: 2 mails, opened 2, clicked 2",
        "2. (no subject): 1 mail, opened 1, clicked 1",
    )
    links = await alice.types("stats all links")
    assert links.lines == ("1. acme.com/deck: 0 clicks, clicked in 0 of 3 mails",)
    clock.advance(days=90)
    assert (await alice.types("stats links")).title == "No links in the last 30 days."


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_stats_as_a_file_hold_days_links_subjects_and_domains(alice: Person, clock: Clock, kind: str):
    await builders.mail(alice.account, clock(), subject="Предложение é")
    reply = await alice.types(f"stats 7d {kind}")
    assert reply.file is not None
    name, content = reply.file
    assert name == f"mailbell-stats-2026-03-02.{kind}"
    text = content.decode("utf-8-sig")
    assert all(part in text for part in ("Предложение é", "acme.com/deck", "2026-03-02"))


def test_many_days_are_drawn_as_weeks(clock: Clock):
    every = [Day(clock().date() + dt.timedelta(days=number), 1, 1) for number in range(90)]
    bars = bars_of(every)
    assert len(bars) == 12
    assert {bar.mails for bar in bars} == {7}
    assert bars[-1].day == every[-7].day


def test_pictures_have_a_fallback_in_text():
    rates = [1.0 + (slot == 33) for slot in range(168)]
    lines = heat_text(rates)
    assert lines[2] == "Tue " + "·" * 9 + "█" + "·" * 14
    assert len({len(line) for line in lines[1:]}) == 1
    assert trend_text([Bar(dt.date(2026, 3, 2), 4, 1, 0), Bar(dt.date(2026, 3, 3), 0, 0, 0)]) == [
        "mails:  █·", "opened: ▂·", "2 Mar to 3 Mar",
    ]  # fmt: skip


@pytest.mark.parametrize("bars", [[], [Bar(dt.date(2026, 3, 2), 0, 0, 0)]])
def test_a_trend_of_nothing_is_still_a_picture(bars: list[Bar]):
    assert Image.open(io.BytesIO(trend(bars))).format == "PNG"
