"""A courtroom for tests: a real database with its real writer, mails of alice, and requests put into it."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from models import Account, Alert, Destination, Hit, Link, Message, Recipient
from models.columns import to_micros
from models.database import DatabaseURL
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import RawHit, Writer
from tests import builders
from tests.conftest import Clock
from tracker.hits.judge import Judge
from tracker.services import Services
from tracker.settings import Settings

GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
APPLE = "Mozilla/5.0"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"  # noqa: E501
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"  # noqa: E501

_uids = itertools.count(1)


def make_writer(url: DatabaseURL) -> Writer:
    if url.is_sqlite:
        assert url.path is not None
        return SqliteWriter(url.path)
    return PostgresWriter(url.credentials, Wake())


class Court:
    """Alice's account with one private chat, and whatever mails the test makes."""

    def __init__(self, services: Services, clock: Clock) -> None:
        self.services = services
        self.clock = clock
        self.judge = Judge(services)
        self.alice: Account
        self.chat: Destination

    async def open(self) -> None:
        self.alice = await builders.account("alice", self.clock(), owner=True)
        self.chat = await builders.destination(self.alice, "telegram", "1")

    async def mail(self, **more: Any) -> Message:
        return await builders.mail(self.alice, self.clock(), **more)

    async def request(
        self,
        link: Link,
        agent: str | None = CHROME,
        *,
        at: dt.datetime | None = None,
        network: str | None = "203.0.113.0/24",
        method: str = "GET",
        purpose: str | None = None,
        label: str | None = None,
        device: str | None = None,
    ) -> str:
        """A request as arrival records it; its uid."""
        uid = f"{next(_uids):032x}"
        hit = RawHit(
            uid,
            to_micros(at or self.clock()),
            link.token,
            method,
            purpose,
            agent,
            network,
            label,
            device,
            None,
        )
        await self.services.writer.record_many([hit])
        return uid

    async def pixel(self, message: Message) -> Link:
        return await Link.get(message_id=message.id, kind="open")

    async def link(self, message: Message, position: int = 1) -> Link:
        return await Link.get(message_id=message.id, kind="click", position=position)

    async def judge_all(self) -> None:
        while await self.judge.judge_once():
            pass

    async def verdicts(self, message: Message) -> list[str]:
        hits = await Hit.filter(message_id=message.id).order_by("at", "id")
        return [str(hit.verdict) for hit in hits]

    async def rung(self) -> list[tuple[str, int | None]]:
        """(event, ordinal) of what waits to ring."""
        alerts = await Alert.filter(state="waiting").order_by("at", "id")
        return [(alert.event, alert.ordinal) for alert in alerts]


@asynccontextmanager
async def court(url: DatabaseURL, clock: Clock, **settings: Any) -> AsyncIterator[Court]:
    given = {"secret_key": "0123456789abcdef", "base_url": "https://t.example", "data_dir": Path("unused")}
    writer = make_writer(url)
    await writer.start()
    services = Services(Settings.model_validate({**given, **settings}), writer, Wake(), clock)
    room = Court(services, clock)
    await room.open()
    try:
        yield room
    finally:
        await writer.stop()


async def check_sums(message_ids: Sequence[int] | None = None) -> None:
    """Every counter equals what the hits say: of recipients, links and mails, with first and last times."""
    mails = await Message.all() if message_ids is None else await Message.filter(id__in=message_ids)
    for mail in mails:
        hits = await Hit.filter(message_id=mail.id).exclude(judged_at=None).order_by("at", "uid")
        _check_tally(mail, hits)
        assert mail.last_event_at == max((hit.at for hit in hits if _counts(hit)), default=None)
        for person in await Recipient.filter(message_id=mail.id):
            own = [hit for hit in hits if hit.recipient_id == person.id]
            _check_tally(person, own)
            loads = [hit.at for hit in own if hit.verdict == "privacy"]
            assert person.loaded_at == min(loads, default=None)
            for kind in ("open", "click"):
                ordinals = [hit.ordinal for hit in own if _counts(hit) and hit.kind == kind]
                assert ordinals == list(range(1, len(ordinals) + 1))
        for link in await Link.filter(message_id=mail.id):
            own = [hit for hit in hits if hit.link_id == link.id]
            assert link.hits == len(own)
            assert link.counted == sum(map(_counts, own))


def _counts(hit: Hit) -> bool:
    return hit.verdict in ("human", "proxied")


def _check_tally(row: Message | Recipient, hits: Sequence[Hit]) -> None:
    for kind in ("open", "click"):
        every = [hit for hit in hits if hit.kind == kind]
        counted = [hit.at for hit in every if _counts(hit)]
        assert getattr(row, f"{kind}s") == len(counted)
        assert getattr(row, f"total_{kind}s") == len(every)
        assert getattr(row, f"first_{kind}_at") == min(counted, default=None)
        assert getattr(row, f"last_{kind}_at") == max(counted, default=None)
