"""Every row from one database to another, table by table, whatever the tables are.

Used by models/backup.py alone, inside its transactions. The tables and their columns are read from the
schema, so that a new table needs nothing here. Memory stays flat: rows travel in batches.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from models.columns import clean_text

BATCH = 2000
Progress = Callable[[str, int, int], None]
Convert = Callable[[Any], Any]


class RowsError(Exception):
    """The two databases do not hold the same rows or columns; nothing was kept."""


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[str, ...]

    @property
    def listed(self) -> str:
        """The columns, quoted, for SQL."""
        return ", ".join(f'"{column}"' for column in self.columns)


def tables_of(connection: sqlite3.Connection, schema: str = "main") -> list[Table]:
    """Our tables, each after those that it refers to; without the list of migrations."""
    found = connection.execute(
        f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' "  # noqa: S608, names of ours
        "AND name NOT LIKE 'sqlite_%' AND name <> 'tortoise_migrations'"
    )
    order: TopologicalSorter[str] = TopologicalSorter()
    for (name,) in found.fetchall():
        parents = {row[2] for row in connection.execute(f'PRAGMA {schema}.foreign_key_list("{name}")')}
        order.add(name, *sorted(parents - {name}))
    tables = []
    for name in order.static_order():
        columns = connection.execute(f'PRAGMA {schema}.table_info("{name}")').fetchall()
        tables.append(Table(name, tuple(row[1] for row in columns)))
    return tables


def count_rows(
    connection: sqlite3.Connection, tables: Sequence[Table], schema: str = "main"
) -> dict[str, int]:
    """Rows by table."""
    return {
        table.name: connection.execute(f'SELECT count(*) FROM {schema}."{table.name}"').fetchone()[0]  # noqa: S608
        for table in tables
    }


async def postgres_counts(connection: Any, tables: Sequence[Table]) -> dict[str, int]:
    """Rows by table."""
    return {
        table.name: await connection.fetchval(f'SELECT count(*) FROM "{table.name}"')  # noqa: S608
        for table in tables
    }


def copy_to_sqlite(
    connection: sqlite3.Connection, tables: Sequence[Table], progress: Progress
) -> dict[str, int]:
    """Replaces all rows of `main` by those of the attached `archive`; rows by table."""
    for table in reversed(tables):
        connection.execute(f'DELETE FROM main."{table.name}"')  # noqa: S608
    totals = count_rows(connection, tables, "archive")
    for table in tables:
        connection.execute(
            f'INSERT INTO main."{table.name}" ({table.listed}) '  # noqa: S608
            f'SELECT {table.listed} FROM archive."{table.name}"'
        )
        progress(table.name, totals[table.name], totals[table.name])
    # Ids are not given again, also when the newest rows were deleted.
    connection.execute(
        "INSERT INTO main.sqlite_sequence SELECT name, seq FROM archive.sqlite_sequence "
        "WHERE name NOT IN (SELECT name FROM main.sqlite_sequence)"
    )
    connection.execute(
        "UPDATE main.sqlite_sequence AS mine SET seq = max(seq, coalesce("
        "(SELECT seq FROM archive.sqlite_sequence AS its WHERE its.name = mine.name), 0))"
    )
    _check_equal(totals, count_rows(connection, tables, "main"))
    if connection.execute("PRAGMA main.foreign_key_check").fetchone():
        raise RowsError("the backup holds rows that refer to nothing")
    return totals


async def copy_from_postgres(connection: Any, target: sqlite3.Connection, progress: Progress) -> None:
    """Fills the empty archive from the snapshot that `connection` is in."""
    tables = tables_of(target)
    totals = await postgres_counts(connection, tables)
    target.execute("BEGIN")
    for table in tables:
        await _check_columns(connection, table)
        marks = ", ".join("?" for _ in table.columns)
        insert = f'INSERT INTO "{table.name}" ({table.listed}) VALUES ({marks})'  # noqa: S608
        done = 0
        progress(table.name, done, totals[table.name])
        cursor = await connection.cursor(f'SELECT {table.listed} FROM "{table.name}"')  # noqa: S608
        while rows := await cursor.fetch(BATCH):
            target.executemany(insert, [tuple(row) for row in rows])
            done += len(rows)
            progress(table.name, done, totals[table.name])
        if sequence := await _sequence(connection, table):
            last = await connection.fetchval(f"SELECT last_value FROM {sequence} WHERE is_called")  # noqa: S608
            target.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
            target.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table.name, last or 0))
    target.execute("COMMIT")
    _check_equal(totals, count_rows(target, tables))


async def copy_to_postgres(
    connection: Any, archive: sqlite3.Connection, tables: Sequence[Table], progress: Progress
) -> dict[str, int]:
    """Replaces all rows by those of the archive, in the caller's transaction; rows by table."""
    names = ", ".join(f'"{table.name}"' for table in tables)
    await connection.execute(f"TRUNCATE {names}")
    totals = count_rows(archive, tables)
    for table in tables:
        converts = await _check_columns(connection, table)
        rows = archive.execute(f'SELECT {table.listed} FROM "{table.name}"')  # noqa: S608
        done = 0
        progress(table.name, done, totals[table.name])
        while batch := rows.fetchmany(BATCH):
            await connection.copy_records_to_table(
                table.name, records=_converted(batch, converts), columns=table.columns
            )
            done += len(batch)
            progress(table.name, done, totals[table.name])
        await _set_sequence(connection, archive, table)
    _check_equal(totals, await postgres_counts(connection, tables))
    return totals


async def _check_columns(connection: Any, table: Table) -> list[Convert]:
    """How to convert each column's values for PostgreSQL; RowsError when the columns differ."""
    found = await connection.fetch(
        "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = $1",
        table.name,
    )
    types = {row[0]: (row[1], row[2]) for row in found}
    if types.keys() != set(table.columns):
        raise RowsError(f"the columns of {table.name} differ: {sorted(types.keys() ^ set(table.columns))}")
    return [_convert(*types[column]) for column in table.columns]


def _converted(batch: Sequence[Sequence[Any]], converts: Sequence[Convert]) -> Iterator[tuple[Any, ...]]:
    for row in batch:
        yield tuple(
            None if value is None else convert(value) for value, convert in zip(row, converts, strict=True)
        )


def _convert(kind: str, length: int | None) -> Convert:
    if kind == "boolean":
        return bool
    if kind in ("json", "jsonb"):
        return clean_json
    if kind in ("text", "character varying"):
        # SQLite keeps what PostgreSQL refuses: NUL, and text longer than its column says.
        return lambda value: clean_text(str(value), length)
    return lambda value: value


def clean_json(text: str) -> str:
    """JSON text without the escapes that PostgreSQL refuses: NUL and halves of surrogate pairs."""
    if "\\u" not in text:
        return text
    return json.dumps(_cleaned(json.loads(text)), ensure_ascii=False)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(one) for key, one in value.items()}
    return value


async def _sequence(connection: Any, table: Table) -> str | None:
    if "id" not in table.columns:
        return None
    name = await connection.fetchval("SELECT pg_get_serial_sequence($1, 'id')", f'"{table.name}"')
    return None if name is None else str(name)


async def _set_sequence(connection: Any, archive: sqlite3.Connection, table: Table) -> None:
    """The next row gets an id that was never given, also when the newest rows were deleted."""
    sequence = await _sequence(connection, table)
    if sequence is None:
        return
    row = archive.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone()
    highest = await connection.fetchval(f'SELECT max(id) FROM "{table.name}"')  # noqa: S608
    last = max(row[0] if row else 0, highest or 0)
    await connection.execute("SELECT setval($1::regclass, $2, $3)", sequence, max(last, 1), last > 0)


def _check_equal(wanted: dict[str, int], found: dict[str, int]) -> None:
    if wanted != found:
        wrong = sorted(name for name in wanted if wanted[name] != found.get(name))
        raise RowsError(f"rows got lost on the way: {', '.join(wrong)}")
