"""The judge: takes unjudged hits in order, and writes class, counters, cards and outbox in one transaction.

Run for ever by the worker role, woken by HITS with a poll as safety net. Judging twice changes nothing: a hit
that has a verdict is never read again, and whoever judged the same mail in between undoes the transaction
(tracker/hits/writing.py), which is then worked out afresh. Several judges share the mails
(tracker/hits/shares.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time

from models.columns import to_micros
from models.wake import HITS, OUTBOX
from models.writer import WriterDownError
from tracker.hits import outbox, past, writing
from tracker.hits.cases import Case, Docket, Mail
from tracker.hits.reading import Reader
from tracker.hits.ringing import correction
from tracker.hits.shares import Shares
from tracker.hits.sitting import Sitting, apply_history, count_new, number_anew
from tracker.hits.verdicts import Verdict
from tracker.services import Services

log = logging.getLogger(__name__)

# Hits of one sitting: few enough that nobody waits long for the writer or the loop, enough to be fast.
LIMIT = 150
BACKLOG = 600  # …where more are left and no hit waits for its answer: a third cheaper
# A sitting costs as much for one hit as for a dozen: where so many came, the next one waits for more.
GATHER_FROM = 8
GATHER_SECONDS = 0.03
QUEUED = 100  # hits that wait for their commit: more, and judging stands back…
MOST_YIELD = 0.25  # …for so many seconds each time, in steps of
YIELD_SECONDS = 0.005
POLL_SECONDS = 2.0
TRIES = 4
MOST_BACK_OFF = 30.0
ASIDE_SECONDS = 60.0
MOST_ASIDE = 20


class Judge:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._reader = Reader(services)
        self._shares = Shares(services)
        self._set_aside: dict[int, tuple[float, float]] = {}  # mail that failed → until when, seconds

    async def run(self) -> None:
        """Judges whatever comes, for ever. Ends only by cancellation; no fault stops it."""
        pause = 0.0
        try:
            while True:
                try:
                    await self._judge_all()
                    pause = 0.0
                except WriterDownError as error:
                    pause = min(MOST_BACK_OFF, max(0.25, 2 * pause))
                    log.warning("the database is down, hits wait: %s", error)
                except Exception:
                    pause = min(MOST_BACK_OFF, max(0.25, 2 * pause))
                    log.exception("judging failed, trying again")
                if pause:
                    await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311, spreads retries
                else:
                    await self._services.wake.wait(HITS, min(POLL_SECONDS, self._shares.beat))
        finally:
            await self._shares.leave()

    async def _judge_all(self) -> None:
        limit = LIMIT
        await self._shares.keep()
        while judged := await self.judge_once(limit):
            await self._shares.keep()
            await self._rest(judged)
            is_quiet = self._services.writer.queued <= QUEUED
            limit = BACKLOG if judged >= limit and is_quiet else LIMIT

    async def _rest(self, judged: int) -> None:
        """Lets hits gather where many come, and those go first that wait for their answer."""
        if GATHER_FROM <= judged < LIMIT:
            await asyncio.sleep(GATHER_SECONDS)
        until = time.monotonic() + MOST_YIELD
        writer = self._services.writer
        while writer.queued > QUEUED and time.monotonic() < until:  # noqa: ASYNC110, each hit is an event
            await asyncio.sleep(YIELD_SECONDS)

    async def judge_once(self, limit: int = LIMIT) -> int:
        """Judges up to `limit` hits, oldest first; how many. 0: nothing is left for this judge."""
        for attempt in range(TRIES):
            docket = await self._read(limit)
            if not docket.cases:
                return 0
            try:
                await self._judge(docket)
                return len(docket.cases)
            except WriterDownError:
                raise
            except Exception as error:
                # Mostly another judge was faster, or a mail was deleted meanwhile: read afresh.
                log.debug("judging %d hits again: %s", len(docket.cases), error)
                if attempt:
                    await asyncio.sleep(random.uniform(0, 0.05) * attempt)  # noqa: S311
        return await self._judge_singly(await self._read(limit))

    async def _read(self, limit: int) -> Docket:
        await self._services.writer.settle()
        mine, arguments = self._shares.condition()
        aside = self._aside()
        if aside:
            mine += f" AND message_id NOT IN ({', '.join('?' * len(aside))})"
        return await self._reader.unjudged(limit, mine, (*arguments, *aside))

    def _aside(self) -> list[int]:
        """Mails that wait. Others are remembered a while: failing again, they wait longer."""
        now = time.monotonic()
        forget = now - 2 * ASIDE_SECONDS
        self._set_aside = {mail: one for mail, one in self._set_aside.items() if one[0] > forget}
        return sorted(mail for mail, (until, _) in self._set_aside.items() if until > now)

    async def _judge_singly(self, docket: Docket) -> int:
        """Mail by mail, so that one that cannot be judged does not hold up the others."""
        for mail in docket.mails.values():
            part = Docket([case for case in docket.cases if case.mail is mail], {mail.id: mail})
            part.persons = {one.id: one for one in docket.persons.values() if one.mail is mail}
            part.tokens = {case.token.id: case.token for case in part.cases}
            try:
                await self._judge(part)
            except WriterDownError:
                raise
            except Exception as error:
                _, waited = self._set_aside.get(mail.id, (0.0, 0.5))
                pause = min(ASIDE_SECONDS, 2 * waited)  # short at first: it may be another judge's turn
                self._set_aside[mail.id] = (time.monotonic() + pause, pause)
                if len(self._set_aside) > MOST_ASIDE:  # not the mails are at fault
                    self._set_aside.clear()
                    raise
                log.error("a mail's hits could not be judged and wait %.0f s", pause, exc_info=error)
        return len(docket.cases)

    async def _judge(self, docket: Docket) -> None:
        services = self._services
        sitting = apply_history(docket, await past.recall(services, docket.cases))
        count_new(sitting)
        if sitting.unsettled:
            await self._settle(sitting)
        now = to_micros(services.now())
        counted = sitting.counted
        rings = await outbox.fill(services, sitting, counted, now)
        statements = [
            *writing.write_mails(docket.mails.values()),
            *writing.write_verdicts(docket.cases, now),
            *writing.overturn(sitting.overturned),
            *writing.write_counters(sitting),
            *writing.renumber_alerts([(ordinal, uid) for ordinal, _, uid in sitting.renumbered], now),
            *writing.confirm(sitting),
            *writing.add_cards(rings.cards, now),
            *writing.touch_cards(_mails_that_look_different(sitting), now),
            *writing.add_alerts(rings.alerts),
            *writing.take_back(await corrections(services, sitting)),
        ]
        await services.writer.apply(statements)
        if counted or sitting.overturned:
            services.wake.ring(OUTBOX)

    async def _settle(self, sitting: Sitting) -> None:
        mails = [sitting.docket.mails[number] for number in sitting.unsettled]
        stored = await past.counted_hits(self._services, mails)
        for mail in mails:
            number_anew(sitting, mail, stored[mail.id])


_SHOWN = frozenset({Verdict.HUMAN, Verdict.PROXIED, Verdict.PRIVACY, Verdict.UNKNOWN})


def _mails_that_look_different(sitting: Sitting) -> set[int]:
    seen = {case.mail.id for case in sitting.docket.cases if case.entry.verdict in _SHOWN}
    return seen | {one.message_id for one in sitting.overturned}


async def corrections(services: Services, sitting: Sitting) -> list[tuple[str, str]]:
    """(uid, text) for each hit that counted and does not count any more."""
    if not sitting.were_counted:
        return []
    docket = sitting.docket
    who = await past.who_shares(services, {one.message_id for one in sitting.were_counted})
    fixes = []
    for one in sitting.were_counted:
        mail: Mail = docket.mails[one.message_id]
        person = None if one.entry.copy is None else docket.persons.get(one.entry.copy)
        name = who[mail.id] if person is None else person.address
        fixes.append((one.entry.uid, correction(mail.subject, name, one.entry.verdict)))
    return fixes


__all__ = ["LIMIT", "Case", "Judge", "corrections"]
