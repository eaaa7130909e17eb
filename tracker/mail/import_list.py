"""A CSV of mails to track (columns to, subject, urls), one tracked mail for each row.

Called by `python -m bot import-list`. Rows are stored in batches, each in one transaction, and come back once
they are stored; what cannot be used comes back with its line number and the reason, and is skipped.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from models import Account
from tracker.mail.compose import Tracked, track_many, tracked_fields
from tracker.mail.draft import (
    MAX_LINKS,
    MAX_RECIPIENTS,
    MAX_SUBJECT,
    Addressee,
    Draft,
    DraftError,
    clean_line,
    is_untracked,
    parse_draft,
    read_url,
    shorten,
    without_mark,
)
from tracker.services import Services

BATCH = 250
_COLUMNS = ("to", "subject", "urls")
_LONGEST_CELL = 300_000


@dataclass(frozen=True)
class ImportedRow:
    """A row of the list: the tracked mail, or in words for its owner why there is none."""

    line: int  # where the row begins in the file, counted from 1
    tracked: Tracked | None = None
    error: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The same fields as the reply to `track`; empty for a row that was skipped."""
        return tracked_fields(self.tracked) if self.tracked else {}


async def import_list(
    services: Services, account: Account, file: Path, *, batch: int = BATCH
) -> AsyncIterator[ImportedRow]:
    """Tracks each usable row of `file` for `account`, in order; a file without a head line is one bad row."""
    try:
        opened = file.open(encoding="utf-8-sig", errors="strict", newline="")
    except OSError as error:
        yield ImportedRow(0, error=f"{file.name} cannot be read ({error.strerror})")
        return
    with opened:
        waiting: list[tuple[int, Draft | str]] = []
        for row in read_rows(opened):
            waiting.append(row)
            if len(waiting) >= batch:
                async for done in _store(services, account, waiting):
                    yield done
                waiting = []
        async for done in _store(services, account, waiting):
            yield done


async def _store(
    services: Services, account: Account, rows: list[tuple[int, Draft | str]]
) -> AsyncIterator[ImportedRow]:
    drafts = [draft for _, draft in rows if isinstance(draft, Draft)]
    tracked = iter(await track_many(services, account, drafts, origin="list"))
    for line, draft in rows:
        if isinstance(draft, Draft):
            yield ImportedRow(line, tracked=next(tracked))
        else:
            yield ImportedRow(line, error=draft)


def read_rows(file: TextIO) -> Iterator[tuple[int, Draft | str]]:
    """Line number and draft of each row, or why it cannot be used. Empty lines are passed over."""
    previous_limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield from _read_rows(file)
    except UnicodeDecodeError:
        yield 0, "the file is not in UTF-8 from here on; save it as “CSV UTF-8”"
    finally:
        csv.field_size_limit(previous_limit)


def _read_rows(file: TextIO) -> Iterator[tuple[int, Draft | str]]:
    head = file.readline(10_000)
    delimiter = max(",;\t", key=head.count)
    names = [clean_line(name).lower() for name in next(csv.reader([head], delimiter=delimiter), [])]
    if "to" not in names or names.count("to") > 1:
        yield (
            1,
            f"the head line must name the columns {', '.join(_COLUMNS)}; it is: {shorten(head.strip(), 80)}",
        )
        return
    reader = csv.reader(file, delimiter=delimiter)
    while True:
        line = reader.line_num + 2  # the head is line 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield line, f"this is no CSV ({error})"
            continue
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, _read_row(dict(zip(names, cells, strict=False)))


def _read_row(cells: dict[str, str]) -> Draft | str:
    """The draft of one row. The subject is taken as it is, whatever it holds."""
    try:
        recipients = _read_recipients(cells.get("to", ""))
        urls = [read_url(url) for url in dict.fromkeys(cells.get("urls", "").split())]
    except DraftError as error:
        return str(error)
    if len(recipients) > MAX_RECIPIENTS or len(urls) > MAX_LINKS:
        return f"one mail takes {MAX_RECIPIENTS} recipients and {MAX_LINKS} links; split this row"
    return Draft(
        subject=clean_line(cells.get("subject", ""), MAX_SUBJECT),
        recipients=recipients,
        urls=tuple(url for url in urls if not is_untracked(url)),
        untracked=tuple(without_mark(url) for url in urls if is_untracked(url)),
    )


def _read_recipients(cell: str) -> tuple[Addressee, ...]:
    """The addresses of a `to` cell, which may hold nothing else but names in front of <addresses>."""
    if not cell.strip():
        raise DraftError("the column to is empty; write an address such as ana@acme.com")
    draft = parse_draft(cell)
    if draft.subject or draft.urls or draft.untracked or not draft.recipients:
        odd = shorten(clean_line(draft.subject or cell), 60)
        raise DraftError(f"{odd} is no address; write one such as ana@acme.com in the column to")
    return draft.recipients
