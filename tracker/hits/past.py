"""Stored hits that can still matter to new ones: few rows, by index, in one query of each kind for a batch.

Called by the judge before it feeds a mail's Timeline. What a new open can repeat is found by the view itself
(token, agent, network), so that a mail that is opened thousands of times a minute costs no more than another.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from models.database import is_sqlite
from tracker.hits.cases import Case, Mail, among, listed
from tracker.hits.evidence import DAY
from tracker.hits.history import CLICKS_REACH, VIEWS_REACH, Entry, is_evidence, may_recheck
from tracker.hits.verdicts import Verdict
from tracker.services import Services


@dataclass(slots=True, eq=False)
class Past:
    """A hit that is judged already."""

    id: int
    message_id: int
    entry: Entry


_COLUMNS = (
    "h.id, h.message_id, h.uid, h.at, h.kind, h.link_id, h.recipient_id, h.agent_id, h.network, "
    "h.network_label, h.verdict, h.reason, h.folded_into"
)
# What counts has an index by the view, because a mail may be opened thousands of times a minute; what was
# told is looked for among all hits of its mail, and only where the account told anything of it.
_SAME = "h.link_id = w.link_id AND h.agent_id = w.agent_id AND h.network = w.network"
_NEAR = "h.at BETWEEN w.since AND w.until"
_VIEWS = f"{_SAME} AND {_NEAR} AND h.ordinal IS NOT NULL"
_TOLD_VIEWS = (
    f"h.message_id = w.message_id AND {_SAME} AND {_NEAR} AND h.reason IN ('told-me', 'told-machine')"
)
_CLICKS = (
    "h.message_id = w.message_id AND h.at BETWEEN w.since AND w.until AND h.kind = 'click' "
    "AND h.judged_at IS NOT NULL AND h.verdict <> 'duplicate'"
)


_NEWEST = (
    f"SELECT {_COLUMNS} FROM hit h WHERE h.message_id = ? AND h.at BETWEEN ? AND ? AND h.kind = 'click' "  # noqa: S608
    "AND h.judged_at IS NOT NULL AND h.verdict <> 'duplicate' ORDER BY h.at DESC LIMIT ?"
)
# A mail whose links somebody hammers: its newest clicks tell a burst as well as all of them would.
MANY_CLICKS = 2000
NEWEST_CLICKS = 300


async def recall(services: Services, cases: Sequence[Case]) -> dict[int, list[Past]]:
    """By mail: the judged hits that a Timeline must know before it is fed with `cases`."""
    found: dict[str, Past] = {}
    views, windows = _views(cases), _clicks(cases)
    told = _views((case for case in cases if case.mail.taught), told=True)
    clicks = [(mail.id, *span) for mail, *span in windows if mail.tally.clicks.total <= MANY_CLICKS]
    wanted = []
    for condition, ones in ((_VIEWS, views), (_TOLD_VIEWS, told)):
        names = {"message_id": "bigint", "link_id": "bigint", "agent_id": "bigint", "network": "text"}
        if ones:
            wanted.append((condition, names, ones))
    if clicks:
        wanted.append((_CLICKS, {"message_id": "bigint"}, clicks))
    for condition, names, rows in wanted:
        table, arguments = _table({**names, "since": "bigint", "until": "bigint"}, rows)
        sql = f"SELECT {_COLUMNS} FROM {table} JOIN hit h ON {condition}"  # noqa: S608
        for row in await services.writer.fetch(sql, arguments):
            found[row[2]] = _past(row)
    for mail, since, until in windows:
        if mail.tally.clicks.total > MANY_CLICKS:
            for row in await services.writer.fetch(_NEWEST, (mail.id, since, until, NEWEST_CLICKS)):
                found[row[2]] = _past(row)
    by_mail: defaultdict[int, list[Past]] = defaultdict(list)
    for one in found.values():
        by_mail[one.message_id].append(one)
    return by_mail


def _past(row: tuple[Any, ...]) -> Past:
    number, message_id, *facts, verdict, reason, folded_into = row
    uid, at, kind, link_id, recipient_id, agent_id, network, label = facts
    entry = Entry(
        uid, at, kind, link_id, recipient_id, agent_id, network, label, Verdict(verdict), reason, folded_into
    )
    return Past(number, message_id, entry)


def _views(cases: Iterable[Case], *, told: bool = False) -> list[tuple[Any, ...]]:
    """The views of new hits that may repeat a stored one: (mail, link, agent, network, since, until).

    One that counts, or with `told` one of which the account said what it was.
    """
    spans: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for case in cases:
        entry = case.entry
        last = case.group.of(entry.kind).last
        if not entry.verdict.counts or entry.network is None:
            continue
        counted = last is not None and case.token.counted > 0 and entry.at <= last + VIEWS_REACH
        if counted or told:  # what was told counts no more, and is still repeated
            spans[case.mail.id, entry.link_id, entry.agent_id, entry.network].append(entry.at)
    return [(*view, min(ats) - VIEWS_REACH, max(ats) + VIEWS_REACH) for view, ats in spans.items()]


def _clicks(cases: Iterable[Case]) -> list[tuple[Mail, int, int]]:
    """Around which moments the clicks of which mails matter: (mail, since, until).

    They do not where all clicks of a mail, stored and new, are on one link and none is from a data centre.
    """
    spans: dict[int, list[Case]] = defaultdict(list)
    for case in cases:
        if case.mail.tally.clicks.total and is_evidence(case.entry):
            spans[case.mail.id].append(case)
    windows = []
    for ones in spans.values():
        mail, first = ones[0].mail, ones[0].token
        alone = mail.tally.clicks.total == first.hits and all(one.token is first for one in ones)
        if not alone or any(may_recheck(one.entry) for one in ones):
            ats = [one.entry.at for one in ones]
            windows.append((mail, min(ats) - CLICKS_REACH, max(ats) + CLICKS_REACH))
    return windows


def _table(columns: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> tuple[str, tuple[Any, ...]]:
    """`rows` as a table `w` in SQL, passed as arguments."""
    if is_sqlite():
        fields = ", ".join(f"json_extract(value, '$[{at}]') AS {name}" for at, name in enumerate(columns))
        return f"(SELECT {fields} FROM json_each(?)) w", (json.dumps(rows),)  # noqa: S608
    arrays = ", ".join(f"?::{kind}[]" for kind in columns.values())
    return f"unnest({arrays}) AS w({', '.join(columns)})", tuple(list(one) for one in zip(*rows, strict=True))


@dataclass(frozen=True, slots=True)
class Counted:
    """A stored hit that counts, as numbering needs it."""

    id: int
    uid: str
    at: int
    kind: str
    link_id: int
    message_id: int
    recipient_id: int | None
    ordinal: int


async def counted_hits(services: Services, mails: Iterable[Mail]) -> dict[int, list[Counted]]:
    """By mail: every stored hit that counts."""
    by_mail: dict[int, list[Counted]] = {mail.id: [] for mail in mails}
    if by_mail:
        sql = (
            "SELECT id, uid, at, kind, link_id, message_id, recipient_id, ordinal FROM hit "  # noqa: S608
            f"WHERE {among('message_id')} AND ordinal IS NOT NULL"
        )
        for row in await services.writer.fetch(sql, (listed(sorted(by_mail)),)):
            by_mail[row[5]].append(Counted(*row))
    return by_mail


async def recent_opens(services: Services, cases: Sequence[Case]) -> dict[int, list[tuple[int | None, int]]]:
    """By mail: (recipient, arrival) of the counted opens of the two days before these hits."""
    spans: dict[int, int] = {}
    for case in cases:
        spans[case.mail.id] = min(case.entry.at - 2 * DAY, spans.get(case.mail.id, case.entry.at))
    table, arguments = _table({"message_id": "bigint", "since": "bigint"}, list(spans.items()))
    sql = (
        f"SELECT h.message_id, h.recipient_id, h.at FROM {table} JOIN hit h ON "  # noqa: S608
        "h.message_id = w.message_id AND h.at >= w.since AND h.kind = 'open' AND h.ordinal IS NOT NULL"
    )
    by_mail: defaultdict[int, list[tuple[int | None, int]]] = defaultdict(list)
    for message_id, recipient_id, at in await services.writer.fetch(sql, arguments):
        by_mail[message_id].append((recipient_id, at))
    return by_mail


async def who_shares(services: Services, mails: Iterable[int]) -> dict[int, str]:
    """By mail: whom a hit of a shared token is from: "someone of 3", or the only recipient there is."""
    wanted = sorted(set(mails))
    sql = (
        "SELECT message_id, COUNT(*), MIN(address) FROM recipient "  # noqa: S608
        f"WHERE {among('message_id')} GROUP BY message_id"
    )
    who = dict.fromkeys(wanted, "someone")
    if wanted:
        for message_id, number, address in await services.writer.fetch(sql, (listed(wanted),)):
            who[message_id] = address if number == 1 else f"someone of {number}"
    return who


async def destinations(
    services: Services, accounts: Iterable[int]
) -> dict[int, list[tuple[int, str | None]]]:
    """By account: the destinations that are on, each with its purpose."""
    wanted = sorted(set(accounts))
    found: dict[int, list[tuple[int, str | None]]] = {account: [] for account in wanted}
    if wanted:
        sql = (
            f"SELECT account_id, id, purpose FROM destination WHERE off_at IS NULL AND {among('account_id')}"  # noqa: S608
        )
        for account, destination, purpose in await services.writer.fetch(sql, (listed(wanted),)):
            found[account].append((destination, purpose))
    return found
