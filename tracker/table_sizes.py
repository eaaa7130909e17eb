"""How large each table is, and how old its oldest row: what retention has to work on.

Called by the short command `retention`. It counts, so it may take seconds on millions of rows; nothing waits
for it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from models.columns import from_micros
from models.database import is_sqlite
from models.writer import WriterDownError
from tracker.retention import KEPT
from tracker.services import Services

TABLES = (
    "hit", "alert", "card", "message", "recipient", "link", "person", "captured", "reminder", "outgoing",
    "agent", "own_device", "taught", "inbound_event", "audit",
)  # fmt: skip
_MOMENTS = {kept.table: kept.moment for kept in KEPT}


@dataclass(frozen=True)
class TableSize:
    """`days`: after how many its rows go; None: they stay. `size` in bytes, None where nobody knows."""

    name: str
    rows: int
    size: int | None
    oldest: dt.datetime | None
    days: int | None


async def table_sizes(services: Services) -> list[TableSize]:
    """Every table that grows, the ones that age first. Raises WriterDownError."""
    days = {kept.table: kept.for_days or services.settings.retention_days for kept in KEPT}
    found = []
    for name in sorted(TABLES, key=lambda one: one not in days):
        moment = f"MIN({_MOMENTS[name]})" if name in days else "NULL"
        ((rows, oldest),) = await services.writer.fetch(f"SELECT COUNT(*), {moment} FROM {name}", ())  # noqa: S608, names of this file
        since = None if oldest is None else from_micros(int(oldest))
        found.append(TableSize(name, int(rows), await _size(services, name), since, days.get(name)))
    return found


async def _size(services: Services, name: str) -> int | None:
    """Bytes on the disk, indexes among them."""
    sql = (
        "SELECT SUM(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = ?)"
        if is_sqlite()
        else "SELECT pg_total_relation_size(CAST(CAST(? AS TEXT) AS regclass))"
    )
    try:
        ((size,),) = await services.writer.fetch(sql, (name,))
    except WriterDownError:  # a SQLite that was built without dbstat
        return None
    return None if size is None else int(size)
