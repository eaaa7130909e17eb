"""What is known of each person's reading, summed over all mails to them: as people.py beside it gives it.

Worked out anew from the mails of whoever is marked: `keep_people` is a duty. Read for the lists of `people`
where an account has many mails. Right whatever happened to a mail, because nothing is ever added to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from models.columns import to_micros
from models.writer import Statement
from tracker.hits.cases import among, listed
from tracker.insights.folding import MARKS, in_turn, read_marks, unmark
from tracker.insights.people import HOT, HOT_OPENS
from tracker.insights.reading import SENT, TRACKED
from tracker.services import Services

PEOPLE = 50
PEOPLE_SECONDS = 2.0  # of one run of the duty, while people are marked faster than they are summed
SWEPT_PEOPLE = 200

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


async def fold_people(services: Services, account_id: int | None, seconds: float) -> int:
    """For that long at most: who is left is left for the next time."""
    until = time.monotonic() + seconds
    marks = await read_marks(services, "person_id", account_id, MARKS)
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
    asked = _asked(people, to_micros(services.now()))
    await services.writer.apply(in_turn(Statement(put, [asked]), unmark(marks)))


async def keep_people(services: Services) -> int:
    """The duty of every half minute: folds in the people that are marked, who cost more than mails do.

    By then many marks name the same people. Whoever is left is left for the next time.
    """
    return await fold_people(services, None, PEOPLE_SECONDS)


async def find_differing_people(services: Services, after: int) -> tuple[list[tuple[int, int]], int]:
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
