"""Sums that answer for many mails: what became of those made in each hour.

A mail's share of its hour is kept beside the sum (mail_sum): when the mail changed, what it added before is
taken out, its rows are read again, and what it adds now is put in. So a sum is always what a recount gives,
whatever happened to the mail: judged, judged anew, swept by retention, forgotten. Sums of people are in
person_sums.py, the turn that keeps two processes apart in folding.py.

`keep` is a duty that folds in the mails that were marked stale, `look_around` one that finds what nobody
marked. Nothing here is on the way of a hit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from models.database import is_sqlite
from models.writer import Statement
from tracker.hits.cases import among, listed
from tracker.insights.folding import (
    MARKS,
    NEW_STATE,
    in_turn,
    read_marks,
    unmark,
)
from tracker.insights.person_sums import find_differing_people, fold_people
from tracker.services import Services

HOUR = 3_600_000_000  # microseconds
# Hits that are read in one transaction, and mails of one where they have few hits. On SQLite other hits wait
# for it; PostgreSQL writes a fifth more hits a second with many.
HITS, MAILS = 3000, 200
MORE_HITS, MORE_MAILS = 20_000, 1000
RESTS = 20  # times as long as it worked the duty rests: a mail's hits are all read again
NEW = 20_000  # mails marked at once
SWEPT = 5000  # mails looked at by one run of the duty for what nobody marked

CLASSES = (
    "human", "proxied", "privacy", "prefetch", "scanner", "unfurler", "bot", "sender", "duplicate", "unknown",
)  # fmt: skip
SUMS = ("mails", "opened", "clicked", "linked", "replied", "opens", "clicks", *CLASSES)

_SEEN = "sums.seen"  # up to which mail and person this looked
_STORE = "UPDATE instance_state SET value = ? WHERE key = ?"

_tracked = "CASE WHEN m.mode = 'off' THEN 0 ELSE {} END"
_SHARE = {
    "mails": _tracked.format("1"),
    "opened": _tracked.format("CASE WHEN m.opens > 0 OR m.clicks > 0 THEN 1 ELSE 0 END"),
    "clicked": _tracked.format("CASE WHEN m.clicks > 0 THEN 1 ELSE 0 END"),
    "linked": _tracked.format(
        "CASE WHEN EXISTS (SELECT 1 FROM link l WHERE l.message_id = m.id AND l.kind = 'click') "
        "THEN 1 ELSE 0 END"
    ),
    "replied": _tracked.format("CASE WHEN m.replied_at IS NULL THEN 0 ELSE 1 END"),
    "opens": _tracked.format("m.opens"),
    "clicks": _tracked.format("m.clicks"),
    **{name: f"COALESCE(c.{name}, 0)" for name in CLASSES},
}
_BY_CLASS = ", ".join(f"SUM(CASE WHEN h.verdict = '{name}' THEN 1 ELSE 0 END) AS {name}" for name in CLASSES)
_LISTED = ", ".join(SUMS)


def shares(where: str) -> str:
    """A SELECT of what each mail adds, in the order of SUMS after id, account, hour and revision.

    `where` stands twice in it: it is a condition on `m.id`, first for the hits of those mails.
    """
    hits = where.replace("m.id", "h.message_id")
    return (
        f"SELECT m.id, m.account_id, m.created_at / {HOUR} AS hour, m.revision, "  # noqa: S608, names of ours
        f"{', '.join(f'{_SHARE[name]} AS {name}' for name in SUMS)} FROM message m LEFT JOIN "
        f"(SELECT h.message_id, {_BY_CLASS} FROM hit h WHERE {hits} GROUP BY h.message_id) c "
        f"ON c.message_id = m.id WHERE {where}"
    )


def _add(sign: str) -> str:
    """Adds to the hours, or takes away, what is kept of some mails."""
    summed = ", ".join(f"{sign}SUM({name})" for name in SUMS)
    added = ", ".join(f"{name} = hour_sum.{name} + excluded.{name}" for name in SUMS)
    return (
        f"INSERT INTO hour_sum (account_id, hour, {_LISTED}) "  # noqa: S608, names of ours
        f"SELECT account_id, hour, {summed} FROM mail_sum WHERE {among('id')} GROUP BY account_id, hour "
        f"ON CONFLICT (account_id, hour) DO UPDATE SET {added}"
    )


# Mails --------------------------------------------------------------------------------------------


async def fold(services: Services, account_id: int | None = None) -> int:
    """Works everything that is marked into the sums, of one account or of all; how many mails and people."""
    done = await fold_mails(services, account_id)
    while count := await fold_people(services, account_id, 60):
        done += count
    return done


async def fold_mails(services: Services, account_id: int | None = None) -> int:
    """As `fold`, without the people."""
    done = 0
    while count := await _fold_mails(services, account_id):
        done += count
    return done


async def _fold_mails(services: Services, account_id: int | None) -> int:
    marks = await read_marks(services, "message_id", account_id, MARKS)
    for part in await _parts(services, sorted(marks)):
        await _put_mails(services, part, {number: marks[number] for number in part})
    return len(marks)


async def _parts(services: Services, mails: Sequence[int]) -> list[list[int]]:
    """The mails in parts of so many hits: those of a part are folded in one transaction."""
    most_hits, most_mails = (HITS, MAILS) if is_sqlite() else (MORE_HITS, MORE_MAILS)
    sql = f"SELECT id, total_opens + total_clicks FROM message WHERE {among('id')}"  # noqa: S608
    sizes = dict(await services.writer.fetch(sql, (listed(mails),)))
    parts: list[list[int]] = []
    room = 0
    for number in mails:
        hits = sizes.get(number, 0)
        if not parts or hits > room or len(parts[-1]) == most_mails:
            parts.append([])
            room = most_hits
        parts[-1].append(number)
        room -= hits
    return parts


async def _put_mails(services: Services, mails: Sequence[int], marks: Mapping[int, list[int]]) -> None:
    ids = (listed(mails),)
    put = f"INSERT INTO mail_sum (id, account_id, hour, revision, {_LISTED}) {shares(among('m.id'))}"
    people = (
        "INSERT INTO stale (account_id, person_id) SELECT DISTINCT m.account_id, r.person_id "  # noqa: S608
        "FROM recipient r JOIN message m ON m.id = r.message_id "
        f"WHERE {among('r.message_id')} AND r.person_id IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM stale s WHERE s.person_id = r.person_id)"
    )
    await services.writer.apply(
        in_turn(
            Statement(_add("-"), [ids]),
            Statement(f"DELETE FROM mail_sum WHERE {among('id')}", [ids]),  # noqa: S608
            Statement(put, [ids * 2]),
            Statement(_add(""), [ids]),
            Statement(people, [ids]),
            unmark(marks),
        )
    )


# What nobody marked -------------------------------------------------------------------------------


async def keep(services: Services) -> int:
    """The duty of every other second: marks mails that are new, and folds in the mails that are marked."""
    newest, *rest = await _seen(services)
    fresh = await services.writer.fetch(
        "SELECT account_id, id FROM message WHERE id > ? ORDER BY id LIMIT ?", (newest, NEW)
    )
    if fresh:
        await _mark(services, [fresh[-1][1], *rest], fresh, ())
    return await _fold_mails(services, None)


class Keeper:
    """`keep` for a process that takes hits: it rests the longer the more there was to read again."""

    def __init__(self) -> None:
        self._rest_until = 0.0

    async def keep(self, services: Services) -> int:
        """As `keep`; 0 while it rests."""
        began = time.monotonic()
        if began < self._rest_until:
            return 0
        done = await keep(services)
        now = time.monotonic()
        self._rest_until = now + RESTS * (now - began)
        return done


async def look_around(services: Services) -> int:
    """The duty of every minute: marks, among some more rows each time, those that differ from their sums.

    It finds what nobody marked: mails that became visible late, or were changed by hand. How many.
    """
    newest, mail, person = await _seen(services)
    mails, mail = await _differing(services, mail)
    people, person = await find_differing_people(services, person)
    await _mark(services, [newest, mail, person], mails, people)
    return len(mails) + len(people)


async def _seen(services: Services) -> list[int]:
    rows = await services.writer.fetch("SELECT value FROM instance_state WHERE key = ?", (_SEEN,))
    return list(json.loads(rows[0][0])) if rows else [0, 0, 0]


async def _mark(
    services: Services, seen: Sequence[int], mails: Sequence[Sequence[Any]], people: Sequence[Sequence[Any]]
) -> None:
    """`mails` and `people` are (account, id)."""
    statements = [
        Statement(NEW_STATE, [(_SEEN, "[0, 0, 0]")]),
        Statement(_STORE, [(json.dumps(seen), _SEEN)]),
    ]
    for column, rows in (("message_id", mails), ("person_id", people)):
        if rows:
            sql = f"INSERT INTO stale (account_id, {column}) VALUES (?, ?)"  # noqa: S608
            statements.append(Statement(sql, rows, bulk=True))
    await services.writer.apply(statements)


async def _differing(services: Services, after: int) -> tuple[list[tuple[Any, ...]], int]:
    """(account, mail) of those that changed, came or went since they were summed; and how far this looked."""
    last = await services.writer.fetch(
        "SELECT MAX(id) FROM (SELECT id FROM message WHERE id > ? ORDER BY id LIMIT ?) s", (after, SWEPT)
    )
    until = last[0][0] if last[0][0] is not None else 2**62
    span = (after, until)
    shares_now = " OR ".join(
        f"s.{name} <> {_SHARE[name]}" for name in ("mails", "replied", "opens", "clicks")
    )
    changed = await services.writer.fetch(
        "SELECT m.account_id, m.id FROM message m LEFT JOIN mail_sum s ON s.id = m.id "  # noqa: S608
        f"WHERE m.id > ? AND m.id <= ? AND (s.id IS NULL OR s.revision <> m.revision OR {shares_now})",
        span,
    )
    gone = await services.writer.fetch(
        "SELECT s.account_id, s.id FROM mail_sum s LEFT JOIN message m ON m.id = s.id "
        "WHERE s.id > ? AND s.id <= ? AND m.id IS NULL",
        span,
    )
    return [*changed, *gone], 0 if until == 2**62 else until
