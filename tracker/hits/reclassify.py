"""Replays the present rules over the hits that were judged before, mail by mail, beside running services.

Called by `python -m bot reclassify`. What comes out as it is stored is not written. It goes on where it was
cut off, and memory stays flat: a few thousand hits are in hand at a time. A mail that a judge works on
meanwhile is read afresh (its revision guards the transaction). Rings older than ten minutes stay as they
rang; counters and cards follow.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from models.wake import OUTBOX
from models.writer import Statement, WriterDownError
from tracker.hits.classify import RULES_VERSION
from tracker.hits.reading import Reader
from tracker.hits.rescore import Anew, Change, judge_anew, rescore
from tracker.services import Services

HITS = 3000  # read at a time
WRITES = 1000  # rows of one transaction: hits wait for it
MAILS = 1000  # looked up at a time
SAVED_EVERY = 50_000  # hits after which it is noted how far it came

_KEY = "reclassify"
_NOTE = (
    "INSERT INTO instance_state (key, value) VALUES (?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)

Progress = Callable[[int, int], None]  # hits done, hits in all


@dataclass
class Report:
    """What a replay found. `changed`: how many hits went from one verdict and reason to another."""

    hits: int = 0
    mails: int = 0
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    rewritten: int = 0  # hits stored again, also those of which only the rules' version is new
    last: int = 0  # the last mail that is done
    resumed: bool = False


@dataclass(frozen=True)
class Span:
    """Which hits to replay: of one account, of mails with a hit since some moment (microseconds)."""

    account_id: int | None = None
    since: int | None = None
    typed: str | None = None  # `since` as a person typed it: "7d" is another moment in a later run

    def sql(self) -> tuple[str, list[Any]]:
        """A condition on `message m`, with its arguments."""
        parts, arguments = ["m.total_opens + m.total_clicks > 0"], []
        if self.account_id is not None:
            parts.append("m.account_id = ?")
            arguments.append(self.account_id)
        if self.since is not None:
            parts.append("EXISTS (SELECT 1 FROM hit h WHERE h.message_id = m.id AND h.at >= ?)")
            arguments.append(self.since)
        return " AND ".join(parts), arguments


async def reclassify(
    services: Services,
    span: Span = Span(),
    *,
    dry_run: bool = False,
    anew: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Judges every judged hit of the span's mails anew; what changed (or with `dry_run`, would).

    Goes on after a replay of the same span by the same rules that did not end, but with `anew`. Raises
    WriterDownError when the database is away: what is done stays done.
    """
    report = Report() if dry_run or anew else await _resume(services, span)
    total = report.hits + await _count(services, span, report.last)
    reader, saved = Reader(services), report.hits
    progress(report.hits, total)
    async for batch, last in _batches(services, span, report.last):
        found = {}
        for docket in await reader.of_mails(batch):
            report.mails += 1
            report.hits += len(docket.cases)
            anew_one = await judge_anew(services, docket, correct_old=False)
            if anew_one is not None:
                found[docket.cases[0].mail.id] = anew_one
        for part in _parts(found):
            if dry_run:
                for one in part.values():
                    _add(report, one.changes, one.rewritten)
            else:
                await _write(services, part, report)
        report.last = last
        progress(min(report.hits, total), total)
        if not dry_run and report.hits - saved >= SAVED_EVERY:
            saved = report.hits
            await services.writer.apply([Statement(_NOTE, [(_KEY, _state(span, report))])])
    if not dry_run:
        await services.writer.apply([Statement("DELETE FROM instance_state WHERE key = ?", [(_KEY,)])])
    progress(total, total)
    return report


async def _count(services: Services, span: Span, after: int) -> int:
    """About how many hits there are, from the counters."""
    condition, arguments = span.sql()
    rows = await services.writer.fetch(
        f"SELECT SUM(m.total_opens + m.total_clicks) FROM message m WHERE {condition} AND m.id > ?",  # noqa: S608
        (*arguments, after),
    )
    return int(rows[0][0] or 0)


async def _batches(services: Services, span: Span, after: int) -> AsyncIterator[tuple[list[int], int]]:
    """Mails in the order of their ids, as many at a time as have about HITS hits; and the last of them."""
    condition, arguments = span.sql()
    sql = (
        f"SELECT m.id, m.total_opens + m.total_clicks FROM message m WHERE {condition} AND m.id > ? "  # noqa: S608
        "ORDER BY m.id LIMIT ?"
    )
    while rows := await services.writer.fetch(sql, (*arguments, after, MAILS)):
        batch: list[int] = []
        hits = 0
        for number, count in rows:
            if batch and hits + count > HITS:
                yield batch, batch[-1]
                batch, hits = [], 0
            batch.append(number)
            hits += count
        yield batch, batch[-1]
        after = rows[-1][0]


def _parts(found: Mapping[int, Anew]) -> Iterator[dict[int, Anew]]:
    """Mails of one transaction each: about WRITES rows."""
    part: dict[int, Anew] = {}
    rows = 0
    for number, one in found.items():
        if part and rows + one.rewritten > WRITES:
            yield part
            part, rows = {}, 0
        part[number] = one
        rows += one.rewritten
    if part:
        yield part


async def _write(services: Services, part: Mapping[int, Anew], report: Report) -> None:
    try:
        await services.writer.apply(_joined(part.values()))
    except WriterDownError:
        raise
    except Exception:  # a judge wrote to one of these mails meanwhile: one by one, read afresh
        for number in part:
            changes = await rescore(services, number, correct_old=False)
            _add(report, changes, len(changes))
    else:
        for one in part.values():
            _add(report, one.changes, one.rewritten)
    services.wake.ring(OUTBOX)


def _joined(mails: Collection[Anew]) -> list[Statement]:
    """The same statements of many mails as one, stage by stage."""
    joined = []
    for stage in zip(*(one.stages for one in mails), strict=True):
        rows: dict[tuple[str, bool], list[Sequence[Any]]] = {}
        for sql, more, bulk in chain.from_iterable(stage):
            rows.setdefault((sql, bulk), []).extend(more)
        joined += [Statement(sql, ones, bulk) for (sql, bulk), ones in rows.items()]
    return joined


def _add(report: Report, changes: Iterable[Change], rewritten: int) -> None:
    report.rewritten += rewritten
    for one in changes:
        before = f"{one.before} ({one.reason_before})"
        report.changed[before, f"{one.after} ({one.reason})"] += 1


def _state(span: Span, report: Report) -> str:
    changed = [[*pair, count] for pair, count in report.changed.items()]
    counts = [report.hits, report.mails, report.rewritten, report.last]
    return json.dumps({"of": _of(span), "counts": counts, "changed": changed})


def _of(span: Span) -> list[Any]:
    return [RULES_VERSION, span.account_id, span.typed or span.since]


async def _resume(services: Services, span: Span) -> Report:
    """Where the last replay of this span stopped; a new report where there is none."""
    rows = await services.writer.fetch("SELECT value FROM instance_state WHERE key = ?", (_KEY,))
    state = json.loads(rows[0][0]) if rows else {}
    if state.get("of") != _of(span):
        return Report()
    hits, mails, rewritten, last = state["counts"]
    changed = Counter({(before, after): count for before, after, count in state["changed"]})
    return Report(hits, mails, changed, rewritten, last, resumed=True)
