"""Judging a mail's hits anew from what is stored, after something was learned: when it was sent, by whom.

The hits are fed to a fresh timeline in the order in which they were judged, so that a mail judged anew
without any news comes out exactly as it was, and then nothing is written. What differs is rewritten; counters
are set, not added to; what waits to ring is withdrawn and what rang is corrected in place. A hit that newly
counts rings only while it is news: within ten minutes of its arrival.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from models.columns import to_micros
from models.wake import OUTBOX
from models.writer import Statement, WriterDownError
from tracker.hits import outbox, past, writing
from tracker.hits.cases import Case, Docket, Mail
from tracker.hits.classify import RULES_VERSION
from tracker.hits.counting import Tally
from tracker.hits.evidence import DAY
from tracker.hits.reading import Reader
from tracker.hits.ringing import NEWS, correction
from tracker.hits.sitting import Sitting, apply_history, number_anew
from tracker.hits.swept import Swept
from tracker.hits.verdicts import Verdict
from tracker.services import Services

TRIES = 8


@dataclass(frozen=True)
class Change:
    """A hit whose verdict, or the reason for it, is another one now."""

    uid: str
    before: str | None
    after: Verdict
    reason: str
    reason_before: str | None = field(default=None, compare=False)


async def rescore(services: Services, message_id: int, *, correct_old: bool = True) -> list[Change]:
    """Judges all judged hits of the mail anew; what changed. Raises WriterDownError.

    `correct_old`: as in `judge_anew`. Must not be called inside a database transaction.
    """
    reader = Reader(services)
    for attempt in range(TRIES):
        docket = await reader.of_mail(message_id)
        if not docket.cases:
            return []
        try:
            return await _judge_anew(services, docket, correct_old)
        except WriterDownError:
            raise
        except Exception:  # a judge wrote meanwhile: read afresh
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(random.uniform(0, 0.02) * (attempt + 1))  # noqa: S311, spreads retries
    return []


async def _judge_anew(services: Services, docket: Docket, correct_old: bool) -> list[Change]:
    anew = await judge_anew(services, docket, correct_old=correct_old)
    if anew is None:
        return []
    await services.writer.apply(anew.statements)
    services.wake.ring(OUTBOX)
    return anew.changes


@dataclass(frozen=True)
class Anew:
    """What one mail's hits come out as now, where that is not what is stored.

    `stages` are statements that must follow each other within one mail: those of several mails in one
    transaction may be joined stage by stage. `changes` are the hits whose verdict or reason is another one.
    """

    stages: tuple[list[Statement], ...]
    changes: list[Change]
    rewritten: int  # hits that are stored again

    @property
    def statements(self) -> list[Statement]:
        return [statement for stage in self.stages for statement in stage]


async def judge_anew(services: Services, docket: Docket, *, correct_old: bool = True) -> Anew | None:
    """Judges all hits of the docket's one mail anew; None where nothing differs from what is stored.

    Without `correct_old` rings of hits that arrived longer ago than NEWS stay as they rang: only the card and
    the counters follow. What waits to ring is withdrawn in any case.
    """
    mail = docket.cases[0].mail
    before = _sums(docket, mail)
    oldest = to_micros(services.now()) - services.settings.retention_days * DAY
    swept = Swept.of(docket, mail) if mail.facts.created_at < oldest else None
    sitting = apply_history(docket, {})
    _count_anew(sitting, mail)
    if swept is not None:
        swept.add_again(docket, mail)
    different = [case for case in docket.cases if _differs(case)]
    moved = before != _sums(docket, mail)
    if not different and not moved:
        return None
    now = to_micros(services.now())
    lost = [case for case in different if _counted_before(case) and not case.counts]
    won = [case for case in different if case.counts and not _counted_before(case)]
    news = [case for case in won if now - case.entry.at <= NEWS]
    rings = await outbox.fill(services, sitting, news, now)
    persons = {case.person.id for case in different if case.person is not None}
    changes = [_change(case) for case in different if _is_change(case)]
    old = {case.entry.uid for case in lost if now - case.entry.at > NEWS and not correct_old}
    corrections = await _corrections(services, mail, lost)
    return Anew(
        (
            writing.write_mails([mail]),
            writing.rewrite_verdicts(different),
            writing.write_counters(sitting),
            writing.confirm_anew(docket, persons if changes else ()),
            writing.add_cards(rings.cards, now),
            writing.touch_cards([mail.id] if changes or moved else [], now),
            writing.uphold(case.entry.uid for case in won),
            writing.renumber_alerts(_numbers(different), now),
            writing.add_alerts(rings.alerts),
            writing.take_back(corrections, silent=old),
        ),
        changes,
        len(different),
    )


def _sums(docket: Docket, mail: Mail) -> list[Any]:
    """Every counter of the mail, to see whether any of them changes."""
    persons = [(one.tally.row, one.loaded_at) for one in docket.persons.values()]
    tokens = [(one.more_hits, one.more_counted) for one in docket.tokens.values()]
    return [mail.tally.row, persons, tokens]


def _count_anew(sitting: Sitting, mail: Mail) -> None:
    docket = sitting.docket
    tallies: list[Tally] = [mail.tally, *(person.tally for person in docket.persons.values())]
    for tally in tallies:
        tally.opens.total = tally.clicks.total = 0
    for person in docket.persons.values():
        person.loaded_at = None
    for token in docket.tokens.values():
        token.more_hits, token.more_counted = -token.hits, -token.counted
    for case in docket.cases:
        case.token.more_hits += 1
        case.token.more_counted += int(case.counts)
        mail.tally.of(case.entry.kind).total += 1
        if case.person is not None:
            case.person.tally.of(case.entry.kind).total += 1
            if case.entry.verdict is Verdict.PRIVACY:
                loaded = case.person.loaded_at
                case.person.loaded_at = case.entry.at if loaded is None else min(loaded, case.entry.at)
    number_anew(sitting, mail, ())
    last: dict[int | None, int] = {}
    for case in sitting.counted:
        sitting.before[case.entry.uid] = last.get(case.entry.copy)
        last[case.entry.copy] = case.entry.at


def _differs(case: Case) -> bool:
    stored, entry, judgement = case.stored, case.entry, case.judgement
    assert stored is not None
    is_first = entry.reason == judgement.reason
    details = dict(judgement.details) if is_first and judgement.details else None
    new = (
        str(entry.verdict), entry.reason, RULES_VERSION, judgement.client, case.ordinal, entry.folded_into,
        details,
    )  # fmt: skip
    return new != (
        stored.verdict, stored.reason, stored.rules, stored.client, stored.ordinal, stored.folded_into,
        _decoded(stored.details),
    )  # fmt: skip


def _numbers(cases: Iterable[Case]) -> list[tuple[int, str]]:
    """(ordinal, uid) of the opens that count."""
    return [(one.ordinal, one.entry.uid) for one in cases if one.ordinal and one.entry.kind == "open"]


def _decoded(details: Any) -> Any:
    """JSON columns come as text from SQLite, as text or decoded from PostgreSQL."""
    return json.loads(details) if isinstance(details, str) else details


def _verdict_before(case: Case) -> str | None:
    return None if case.stored is None else case.stored.verdict


def _counted_before(case: Case) -> bool:
    return _verdict_before(case) in (Verdict.HUMAN, Verdict.PROXIED)


def _is_change(case: Case) -> bool:
    return _verdict_before(case) != case.entry.verdict or _reason_before(case) != case.entry.reason


def _reason_before(case: Case) -> str | None:
    return None if case.stored is None else case.stored.reason


def _change(case: Case) -> Change:
    entry = case.entry
    return Change(entry.uid, _verdict_before(case), entry.verdict, entry.reason, _reason_before(case))


async def _corrections(services: Services, mail: Mail, lost: Iterable[Case]) -> list[tuple[str, str]]:
    cases = list(lost)
    if not cases:
        return []
    shared = await past.who_shares(services, [mail.id])
    return [
        (
            case.entry.uid,
            correction(
                mail.subject,
                shared[mail.id] if case.person is None else case.person.address,
                case.entry.verdict,
                case.entry.reason,
            ),
        )
        for case in cases
    ]
