"""Figures by link, subject and domain, and as a file."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json

from models import Link, Message, Recipient
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import Court, court
from tracker.insights.breakdown import Part, as_csv, as_json, breakdown
from tracker.insights.stats import Day, days, stats


async def mails(room: Court, clock: Clock) -> None:
    """Three mails of alice's to two domains, one of bob's, and one that is not tracked."""
    first = await room.mail(subject="Offer", to=("ana@acme.com",), opens=2, clicks=1)
    await Recipient.filter(message=first).update(opens=2, clicks=1)
    await Link.filter(message=first, kind="click").update(counted=1)
    await room.mail(subject="Re: offer", to=("ben@acme.com",), replied_at=clock())
    await room.mail(subject="=cmd()", to=("eva@other.org",), links=())
    await room.mail(subject="Offer", to=("eva@other.org",), mode="off")
    bob = await builders.account("bob", clock())
    await builders.mail(bob, clock(), to=("ana@acme.com",))


async def test_figures_by_domain_subject_and_link(database: DatabaseURL, clock: Clock):
    async with court(database, clock) as room:
        await mails(room, clock)
        assert await breakdown(room.services, room.alice, "domains", None) == [
            Part("acme.com", 2, 1, 1, 0, 2, 1),
            Part("other.org", 1, 0, 0, 0, 0, 0),
        ]
        assert await breakdown(room.services, room.alice, "subjects", None) == [
            Part("Offer", 2, 1, 1, 1, 2, 1),
            Part("=cmd()", 1, 0, 0, 0, 0, 0),
        ]
        assert await breakdown(room.services, room.alice, "links", None) == [
            Part("acme.com/deck", 2, None, 1, 1, None, 1)
        ]
        clock.advance(days=2)
        since = clock() - dt.timedelta(days=1)
        assert await breakdown(room.services, room.alice, "domains", since) == []


async def test_as_a_file_every_part_is_a_row_and_no_spreadsheet_runs_any(
    sqlite_database: DatabaseURL, clock: Clock
):
    async with court(sqlite_database, clock) as room:
        await mails(room, clock)
        total = await stats(room.alice)
        every = await days(room.services, room.alice, clock() - dt.timedelta(days=1), dt.UTC, clock())
        parts = {by: await breakdown(room.services, room.alice, by, None) for by in ("subjects", "domains")}
        rows = list(csv.DictReader(io.StringIO(as_csv(total, every, parts))))
        assert [(row["section"], row["name"]) for row in rows] == [
            ("total", ""), ("day", "2026-03-01"), ("day", "2026-03-02"), ("subject", "Offer"),
            ("subject", "'=cmd()"), ("domain", "acme.com"), ("domain", "other.org"),
        ]  # fmt: skip
        assert (rows[0]["mails"], rows[0]["opened"], rows[2]["mails"]) == ("3", "1", "3")
        told = json.loads(as_json(total, every, parts))
        assert told["total"]["mails"] == 3
        assert told["days"][1] == {"day": "2026-03-02", "mails": 3, "opened": 1, "clicked": 1, "replied": 1}
        assert told["domains"][0]["name"] == "acme.com"
        assert isinstance(every[0], Day)
        assert await Message.all().count() == 5
