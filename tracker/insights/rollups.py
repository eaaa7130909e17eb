"""Sums that answer for many mails: of the mails made in each hour, and of each person's reading.

A mail's share of its hour is kept beside the sum (mail_sum): when the mail changed, what it added before is
taken out, its rows are read again, and what it adds now is put in. So a sum is always what a recount gives,
whatever happened to the mail: judged, judged anew, swept by retention, forgotten. People are worked out anew
from their mails.

`keep` and `keep_people` are duties that fold in what was marked stale, `look_around` one that finds what
nobody marked. One process folds at a time: the transaction of whoever came second is undone by the turn (a
row of instance_state). Nothing here is on the way of a hit.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from models.columns import to_micros
from models.writer import Statement, WriterDownError
from tracker.hits.cases import among, listed
from tracker.insights.people import HOT, HOT_OPENS
from tracker.insights.reading import SENT, TRACKED
from tracker.services import Services

HOUR = 3_600_000_000  # microseconds
HITS = 3000  # read in one transaction: other hits wait for it
MAILS = 200  # of one transaction, where they have few hits
PEOPLE = 50
PEOPLE_SECONDS = 2.0  # of one run of the duty, while people are marked faster than they are summed
MARKS = 10_000  # read at once: many of them name the same people, or the same busy mail
RESTS = 20  # times as long as it worked the duty rests: a mail's hits are all read again
TRIES = 5
NEW = 20_000  # mails marked at once
SWEPT = 5000  # mails looked at by one run of the duty for what nobody marked
SWEPT_PEOPLE = 200

CLASSES = (
    "human", "proxied", "privacy", "prefetch", "scanner", "unfurler", "bot", "sender", "duplicate", "unknown",
)  # fmt: skip
SUMS = ("mails", "opened", "clicked", "linked", "replied", "opens", "clicks", *CLASSES)

_TURN = "sums.turn"
_SEEN = "sums.seen"  # up to which mail and person this looked
_NEW_STATE = "INSERT INTO instance_state (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING"
_STORE = "UPDATE instance_state SET value = ? WHERE key = ?"
# A NOT NULL column is set to null where somebody else had the turn meanwhile: that undoes the transaction.
_TAKE = "UPDATE instance_state SET value = CASE WHEN value = ? THEN ? END WHERE key = ?"

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
    while count := await _fold_people(services, account_id, 60):
        done += count
    return done


async def fold_mails(services: Services, account_id: int | None = None) -> int:
    """As `fold`, without the people."""
    done = 0
    while count := await _fold_mails(services, account_id):
        done += count
    return done


async def _marks(services: Services, column: str, account_id: int | None, most: int) -> dict[int, list[int]]:
    """Up to `most` of what is marked, with the ids of its marks: as many as stand in the oldest rows."""
    mine, arguments = ("", ()) if account_id is None else (" AND account_id = ?", (account_id,))
    rows = await services.writer.fetch(
        f"SELECT id, {column} FROM stale WHERE {column} IS NOT NULL{mine} "  # noqa: S608, names of ours
        "ORDER BY id LIMIT ?",
        (*arguments, 4 * most),
    )
    found: dict[int, list[int]] = {}
    for number, marked in rows:
        if marked in found or len(found) < most:
            found.setdefault(marked, []).append(number)
    return found


async def _fold_mails(services: Services, account_id: int | None) -> int:
    marks = await _marks(services, "message_id", account_id, MARKS)
    for part in await _parts(services, sorted(marks)):
        await _put_mails(services, part, {number: marks[number] for number in part})
    return len(marks)


async def _parts(services: Services, mails: Sequence[int]) -> list[list[int]]:
    """The mails in parts of about HITS hits: those of a part are folded in one transaction."""
    sql = f"SELECT id, total_opens + total_clicks FROM message WHERE {among('id')}"  # noqa: S608
    sizes = dict(await services.writer.fetch(sql, (listed(mails),)))
    parts: list[list[int]] = []
    room = 0
    for number in mails:
        hits = sizes.get(number, 0)
        if not parts or hits > room or len(parts[-1]) == MAILS:
            parts.append([])
            room = HITS
        parts[-1].append(number)
        room -= hits
    return parts


async def _put_mails(services: Services, mails: Sequence[int], marks: Mapping[int, list[int]]) -> None:
    ids = (listed(mails),)
    for attempt in range(TRIES):
        statements = [
            await _turn(services),
            Statement(_add("-"), [ids]),
            Statement(f"DELETE FROM mail_sum WHERE {among('id')}", [ids]),  # noqa: S608
            Statement(
                f"INSERT INTO mail_sum (id, account_id, hour, revision, {_LISTED}) {shares(among('m.id'))}",
                [ids * 2],
            ),
            Statement(_add(""), [ids]),
            Statement(
                "INSERT INTO stale (account_id, person_id) "  # noqa: S608
                "SELECT DISTINCT m.account_id, r.person_id FROM recipient r "
                "JOIN message m ON m.id = r.message_id "
                f"WHERE {among('r.message_id')} AND r.person_id IS NOT NULL "
                "AND NOT EXISTS (SELECT 1 FROM stale s WHERE s.person_id = r.person_id)",
                [ids],
            ),
            _unmark(marks),
        ]
        if await _applied(services, statements, attempt):
            return


def _unmark(marks: Mapping[int, list[int]]) -> Statement:
    """Only the marks that were read: a mail that changes meanwhile is marked again."""
    numbers = [number for ones in marks.values() for number in ones]
    return Statement(f"DELETE FROM stale WHERE {among('id')}", [(listed(numbers),)])  # noqa: S608


async def _turn(services: Services) -> Statement:
    """What has to stand first in a transaction, so that only one of those who read now gets through."""
    rows = await services.writer.fetch("SELECT value FROM instance_state WHERE key = ?", (_TURN,))
    if not rows:
        await services.writer.apply([Statement(_NEW_STATE, [(_TURN, "0")])])
        return await _turn(services)
    return Statement(_TAKE, [(rows[0][0], str(int(rows[0][0]) + 1), _TURN)])


async def _applied(services: Services, statements: Sequence[Statement], attempt: int) -> bool:
    """False where somebody else had the turn: it has to be read afresh."""
    try:
        await services.writer.apply(statements)
    except WriterDownError:
        raise
    except Exception:
        if attempt == TRIES - 1:
            raise
        await asyncio.sleep(random.uniform(0, 0.05) * (attempt + 1))  # noqa: S311, spreads retries
        return False
    return True


# People -------------------------------------------------------------------------------------------

_OF_PERSON = (
    "mails", "tracked", "opened", "answered", "opens", "clicks", "unseen", "sent_at", "first_at", "seen_at",
    "third_at",
)  # fmt: skip
_NEVER = 2**62


def readings() -> str:
    """A SELECT of people with account and the columns of _OF_PERSON, as people.summarise gives them.

    Its arguments are what `_asked` gives. Which of three moments is the newest is worked out by hand:
    the engines have no function for it in common.
    """
    third = (
        f"CASE WHEN r.opens >= {HOT_OPENS} AND r.last_open_at > CAST(? AS BIGINT) THEN "  # noqa: S608
        "(SELECT h.at FROM hit h WHERE h.message_id = r.message_id AND h.recipient_id = r.id "
        f"AND h.kind = 'open' AND h.ordinal = r.opens - {HOT_OPENS - 1}) END"
    )
    newest = ", ".join(
        f"MAX(COALESCE({column}, 0)) OVER (PARTITION BY r.person_id) AS {name}"
        for name, column in (("o", "r.last_open_at"), ("c", "r.last_click_at"), ("a", "r.replied_at"))
    )
    copies = (
        f"SELECT r.person_id, {SENT} AS sent, {TRACKED} AS tracked, r.opens, r.clicks, r.replied_at, "  # noqa: S608
        f"COALESCE(r.first_open_at, {_NEVER}) AS fo, COALESCE(r.first_click_at, {_NEVER}) AS fc, "
        f"COALESCE(r.replied_at, {_NEVER}) AS fa, {newest}, {third} AS third "
        f"FROM recipient r JOIN message m ON m.id = r.message_id WHERE {among('r.person_id')} "
        f"AND {SENT} <= CAST(? AS BIGINT)"
    )
    seen = "CASE WHEN o >= c AND o >= a THEN o WHEN c >= a THEN c ELSE a END"
    first = "CASE WHEN fo <= fc AND fo <= fa THEN fo WHEN fc <= fa THEN fc ELSE fa END"
    opened = "CASE WHEN opens > 0 OR clicks > 0 THEN 1 ELSE 0 END"
    return (
        f"SELECT p.id, p.account_id, COUNT(s.sent), COALESCE(SUM(tracked), 0), "  # noqa: S608
        f"COALESCE(SUM(tracked * {opened}), 0), COUNT(replied_at), COALESCE(SUM(opens), 0), "
        f"COALESCE(SUM(clicks), 0), COALESCE(SUM(CASE WHEN sent > {seen} THEN tracked ELSE 0 END), 0), "
        f"MAX(sent), NULLIF(MIN({first}), {_NEVER}), NULLIF(MAX({seen}), 0), MAX(third) "
        f"FROM person p LEFT JOIN ({copies}) s ON s.person_id = p.id WHERE {among('p.id')} "
        "GROUP BY p.id, p.account_id"
    )


def _asked(people: Sequence[int], now: int) -> tuple[Any, ...]:
    """The arguments of `readings`."""
    ids = listed(people)
    return (now - HOT, ids, now, ids)


async def _fold_people(services: Services, account_id: int | None, seconds: float) -> int:
    """For that long at most: who is left is left for the next time."""
    until = time.monotonic() + seconds
    marks = await _marks(services, "person_id", account_id, MARKS)
    people, done = sorted(marks), 0
    while done < len(people) and (done == 0 or time.monotonic() < until):
        part = people[done : done + PEOPLE]
        await _put_people(services, part, {number: marks[number] for number in part})
        done += len(part)
    return done


async def _put_people(services: Services, people: Sequence[int], marks: Mapping[int, list[int]]) -> None:
    values = ", ".join(f"{name} = excluded.{name}" for name in _OF_PERSON)
    put = (
        f"INSERT INTO person_sum (person_id, account_id, {', '.join(_OF_PERSON)}) "
        f"{readings()} ON CONFLICT (person_id) DO UPDATE SET {values}"
    )
    now = to_micros(services.now())
    for attempt in range(TRIES):
        turn = await _turn(services)
        if await _applied(services, [turn, Statement(put, [_asked(people, now)]), _unmark(marks)], attempt):
            return


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


async def keep_people(services: Services) -> int:
    """The duty of every half minute: folds in the people that are marked, who cost more than mails do.

    By then many marks name the same people. Whoever is left is left for the next time.
    """
    return await _fold_people(services, None, PEOPLE_SECONDS)


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
    people, person = await _differing_people(services, person)
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
        Statement(_NEW_STATE, [(_SEEN, "[0, 0, 0]")]),
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


async def _differing_people(services: Services, after: int) -> tuple[list[tuple[int, int]], int]:
    """(account, person) of those whose sums are not what their mails say; and how far this looked."""
    found = await services.writer.fetch(
        "SELECT id FROM person WHERE id > ? ORDER BY id LIMIT ?", (after, SWEPT_PEOPLE)
    )
    people = [row[0] for row in found]
    now = await services.writer.fetch(readings(), _asked(people, to_micros(services.now())))
    stored = await services.writer.fetch(
        f"SELECT person_id, account_id, {', '.join(_OF_PERSON)} FROM person_sum "  # noqa: S608
        f"WHERE {among('person_id')}",
        (listed(people),),
    )
    differing = set(map(tuple, now)) - set(map(tuple, stored))
    return [(row[1], row[0]) for row in differing], found[-1][0] if len(found) == SWEPT_PEOPLE else 0
