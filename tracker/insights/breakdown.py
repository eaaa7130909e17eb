"""Figures by link, by subject and by domain, of the mails made since some moment; and all of it as a file.

Worked out by the database from the rows: some tens of milliseconds where an account sends a thousand mails a
day. Always scoped by the account; nothing is written here.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any, Literal

from models import Account
from models.columns import to_micros
from models.select import domain_of
from tracker.insights.stats import Day, Stats
from tracker.services import Services

By = Literal["links", "subjects", "domains"]
MOST = 500  # rows of one kind
_ANSWERS = re.compile(r"^\s*(?:(?:re|aw|sv|fwd?|wg|tr)\s*:\s*)+", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """Mails with something in common. Of links: `opened` is null, `clicks` are counted ones."""

    name: str
    mails: int
    opened: int | None
    clicked: int
    answered: int
    opens: int | None
    clicks: int


# The same conditions in each: made in time by the account, and tracked.
_MAILS = "m.account_id = ? AND m.created_at >= ? AND m.mode <> 'off'"
_LINKS = (
    "SELECT l.label, COUNT(*), NULL, SUM(CASE WHEN l.counted > 0 THEN 1 ELSE 0 END), "  # noqa: S608
    "SUM(CASE WHEN m.replied_at IS NULL THEN 0 ELSE 1 END), NULL, SUM(l.counted) "
    f"FROM message m JOIN link l ON l.message_id = m.id AND l.kind = 'click' WHERE {_MAILS} "
    "GROUP BY l.label ORDER BY 7 DESC, 2 DESC, 1 LIMIT ?"
)
_SUBJECTS = (
    "SELECT m.subject, COUNT(*), SUM(CASE WHEN m.opens > 0 OR m.clicks > 0 THEN 1 ELSE 0 END), "  # noqa: S608
    "SUM(CASE WHEN m.clicks > 0 THEN 1 ELSE 0 END), SUM(CASE WHEN m.replied_at IS NULL THEN 0 ELSE 1 END), "
    f"SUM(m.opens), SUM(m.clicks) FROM message m WHERE {_MAILS} "
    "GROUP BY m.subject ORDER BY 2 DESC, 6 DESC, 1 LIMIT ?"
)
_DOMAINS = (
    "SELECT {domain}, COUNT(*), SUM(CASE WHEN r.opens > 0 OR r.clicks > 0 THEN 1 ELSE 0 END), "  # noqa: S608
    "SUM(CASE WHEN r.clicks > 0 THEN 1 ELSE 0 END), SUM(CASE WHEN r.replied_at IS NULL THEN 0 ELSE 1 END), "
    f"SUM(r.opens), SUM(r.clicks) FROM message m JOIN recipient r ON r.message_id = m.id WHERE {_MAILS} "
    "GROUP BY 1 ORDER BY 2 DESC, 6 DESC, 1 LIMIT ?"
)


async def breakdown(services: Services, account: Account, by: By, since: dt.datetime | None) -> list[Part]:
    """The largest parts first (of links: the most clicked), at most MOST of them."""
    domains = _DOMAINS.format(domain=domain_of("r.address"))
    sql = {"links": _LINKS, "subjects": _SUBJECTS, "domains": domains}[by]
    begin = 0 if since is None else to_micros(since)
    rows = await services.writer.fetch(sql, (account.id, begin, MOST))
    parts = [
        Part(name, int(mails), _count(opened), int(clicked), int(answered), _count(opens), int(clicks))
        for name, mails, opened, clicked, answered, opens, clicks in rows
    ]
    return _joined(parts) if by == "subjects" else parts


def _count(sum_of: Any) -> int | None:
    """Sums come as decimals from PostgreSQL."""
    return None if sum_of is None else int(sum_of)


def _joined(parts: Iterable[Part]) -> list[Part]:
    """Answers and forwarded mails go with the mail that they belong to."""
    found: dict[str, Part] = {}
    for one in parts:
        name = _ANSWERS.sub("", one.name).strip()
        other = found.get(name.lower())
        counts = astuple(one)[1:]
        if other is None:
            found[name.lower()] = Part(name, *counts)
        else:
            found[name.lower()] = Part(
                other.name, *((a or 0) + (b or 0) for a, b in zip(astuple(other)[1:], counts, strict=True))
            )
    return sorted(found.values(), key=lambda one: (-one.mails, -(one.opens or 0), one.name))


# As a file ----------------------------------------------------------------------------------------

_COLUMNS = ("section", *(one.name for one in fields(Part)))


def as_csv(total: Stats, every: Sequence[Day], parts: Mapping[str, Sequence[Part]]) -> str:
    """One table: a row for the whole, each day, link, subject and domain."""
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(_COLUMNS)
    whole = (total.mails, total.opened, total.clicked, total.replied, total.opens, total.clicks)
    table.writerow(("total", "", *whole))
    for day in every:
        table.writerow(("day", f"{day.day}", day.mails, day.opened, day.clicked, day.replied, "", ""))
    for section, ones in parts.items():
        for one in ones:
            name, *counts = astuple(one)
            cells = ["" if count is None else count for count in counts]
            table.writerow((section.rstrip("s"), _harmless(name), *cells))
    return out.getvalue()


def as_json(total: Stats, every: Sequence[Day], parts: Mapping[str, Sequence[Part]]) -> str:
    """The same as one object."""
    whole: dict[str, Any] = {
        "since": None if total.since is None else total.since.isoformat(),
        "mails": total.mails,
        "opened": total.opened,
        "clicked": total.clicked,
        "with_links": total.with_links,
        "answered": total.replied,
        "opens": total.opens,
        "clicks": total.clicks,
        "classes": dict(total.classes),
    }
    days = [{**asdict(day), "day": f"{day.day}"} for day in every]
    sections = {name: [asdict(one) for one in ones] for name, ones in parts.items()}
    return json.dumps({"total": whole, "days": days, **sections}, ensure_ascii=False, indent=1)


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
