"""Every hit as rows for people's own tools: what the database holds, then what waits in the journal.

Called by `python -m bot export` and by the chat's `export`. Reads in batches, so that memory stays flat, and
beside running services. Columns and their order are the contract of DESIGN.md: change them for nobody.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TextIO

from models import Account
from models.columns import from_micros, to_micros
from models.writer import RawHit
from tracker.hits.journal import read_journal
from tracker.hits.reasons import sentence
from tracker.services import Services

COLUMNS = (
    "id", "at", "kind", "token", "message", "recipient", "class", "reason", "sentence", "confirmed_by",
    "client", "network", "rules",
)  # fmt: skip
BATCH = 2000
_TOLD_EVERY = 20_000

Row = dict[str, str | None]


class _Reason(NamedTuple):
    """What `sentence` reads of a hit."""

    reason: str | None
    client: str | None
    details: Any


class ExportError(ValueError):
    """What was asked for cannot be understood; the text says what to write."""


def parse_since(text: str, now: dt.datetime) -> dt.datetime:
    """Such as "7d", "12h", "90m", "2w", or a date (and time) in ISO 8601, in UTC where it names no zone."""
    text = text.strip()
    found = re.fullmatch(r"(\d{1,5})\s*([mhdw])", text, re.IGNORECASE)
    if found:
        units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
        return now - dt.timedelta(**{units[found[2].lower()]: int(found[1])})
    try:
        moment = dt.datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise ExportError(f"{text!r} is no moment; write such as 7d, 12h or 2026-03-02T09:00:00Z") from None


async def export_rows(
    services: Services, account: Account | None = None, since: dt.datetime | None = None
) -> AsyncIterator[Row]:
    """One row for each hit, with the keys of COLUMNS; of one account, or of all of them without it.

    A hit that moves from the journal to the database meanwhile comes once.
    """
    # Read first: what is replayed from now on is found in the database, at the end of it.
    waiting = {hit.uid: hit for hit in _journal(services)}
    await services.writer.settle()
    last = 0
    while True:
        batch = await _stored(services, last, account, since)
        if not batch:
            break
        last = batch[-1][0]
        for record in batch:
            waiting.pop(record[1], None)
            yield _row(record[1:])
    hits = list(waiting.values())
    for start in range(0, len(hits), BATCH):
        for row in await _journalled(services, hits[start : start + BATCH], account, since):
            yield row


def _journal(services: Services) -> Iterable[RawHit]:
    directory = services.settings.data_dir / "journal"
    return read_journal(directory) if directory.is_dir() else ()


async def _stored(
    services: Services, after: int, account: Account | None, since: dt.datetime | None
) -> Sequence[tuple[Any, ...]]:
    sql = """SELECT h.id, h.uid, h.at, h.kind, l.token, m.code, r.address, h.verdict, h.reason, h.details,
        h.confirmed_by, h.client, h.network, h.rules
        FROM hit h JOIN link l ON l.id = h.link_id JOIN message m ON m.id = h.message_id
        LEFT JOIN recipient r ON r.id = h.recipient_id WHERE h.id > ?"""
    arguments: list[Any] = [after]
    if account is not None:
        sql += " AND m.account_id = ?"
        arguments.append(account.id)
    if since is not None:
        sql += " AND h.at >= ?"
        arguments.append(to_micros(since))
    return await services.writer.fetch(f"{sql} ORDER BY h.id LIMIT {BATCH}", arguments)


def _row(record: Sequence[Any]) -> Row:
    uid, at, kind, token, code, address, verdict, reason, details, confirmed_by, client, network, rules = (
        record
    )
    return {
        "id": uid,
        "at": _moment(at),
        "kind": kind,
        "token": token,
        "message": code,
        "recipient": address,
        "class": verdict,
        "reason": reason,
        "sentence": sentence(_Reason(reason, client, _details(details))),
        "confirmed_by": confirmed_by,
        "client": client,
        "network": network,
        "rules": rules,
    }


def _moment(micros: int) -> str:
    return from_micros(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _details(stored: Any) -> Any:
    """The JSON column as the writer reads it: text, where the models give an object."""
    return json.loads(stored) if isinstance(stored, str) else stored


async def _journalled(
    services: Services, hits: Sequence[RawHit], account: Account | None, since: dt.datetime | None
) -> list[Row]:
    """Rows of hits that no database has yet; those of tokens that are unknown or do not record fall out."""
    tokens = sorted({hit.token for hit in hits})
    sql = f"""SELECT l.token, l.kind, m.code, r.address, m.account_id
        FROM link l JOIN message m ON m.id = l.message_id LEFT JOIN recipient r ON r.id = l.recipient_id
        WHERE l.recording AND l.token IN ({", ".join("?" * len(tokens))})"""  # noqa: S608, only marks
    links = {found[0]: found for found in await services.writer.fetch(sql, tokens)}
    rows = []
    for hit in hits:
        if hit.token not in links or (since is not None and hit.at < to_micros(since)):
            continue
        token, kind, code, address, owner = links[hit.token]
        if hit.kind in (None, kind) and (account is None or owner == account.id):
            raw = (
                hit.uid,
                hit.at,
                kind,
                token,
                code,
                address,
                None,
                None,
                None,
                None,
                None,
                hit.network,
                None,
            )
            rows.append(_row(raw))
    return rows


def _tell(count: int) -> None:
    sys.stderr.write(f"{count} hits\n")


async def write_export(
    services: Services,
    out: TextIO,
    *,
    account: Account | None = None,
    since: dt.datetime | None = None,
    as_csv: bool = False,
    progress: Callable[[int], None] = _tell,
) -> int:
    """Writes the rows to `out`, one JSON object a line or CSV with a head line; how many there were."""
    table = csv.writer(out, lineterminator="\r\n") if as_csv else None
    if table is not None:
        table.writerow(COLUMNS)
    count = 0
    async for row in export_rows(services, account, since):
        if table is not None:
            table.writerow([_harmless(row[column]) for column in COLUMNS])
        else:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
        if count % _TOLD_EVERY == 0:
            progress(count)
    return count


def _harmless(cell: str | None) -> str:
    """A cell that no spreadsheet takes for a formula."""
    if cell is None:
        return ""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
