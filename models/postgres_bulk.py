"""Many rows in one statement: how PostgreSQL changes what the writer is handed without a step for each row.

Each row of a statement is a message of its own to the server, planned and answered by itself: 150 updates one
by one take several times as long as one update of 150 rows that are handed over as arrays. Used by the
writer (models/postgres_writer.py) inside its transaction; what SQLite does instead: models/sqlite_bulk.py.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from models.writer import Statement

FEW = 4  # rows that are not worth another statement

_INSERT = re.compile(r"(INSERT .+?) VALUES \(([^()]*)\)(.*)", re.DOTALL)

# The types of a statement's arguments, as the server says: the same on every connection.
_types: dict[str, tuple[str, ...]] = {}


async def execute(connection: Any, statement: Statement) -> int:
    """Runs the statement for each of its rows; how many rows it changed in all."""
    sql, rows = translate(statement.sql), statement.rows
    if statement.bulk and len(rows) >= FEW:
        if sql not in _types:
            prepared = await connection.prepare(sql)
            _types[sql] = tuple(one.name for one in prepared.get_parameters())
        columns = [list(column) for column in zip(*rows, strict=True)]
        status = await connection.execute(joined(sql, _types[sql]), *columns)
        return int(status.rpartition(" ")[2])
    if " returning " not in sql.lower():
        sql += " RETURNING 1"  # sent together, statements do not report their counts otherwise
    return len(await connection.fetchmany(sql, rows))


@lru_cache(maxsize=256)
def joined(sql: str, types: tuple[str, ...]) -> str:
    """One statement that does for arrays of arguments what `sql` does for one row of them.

    The arguments become columns of a list: an INSERT selects from it, an UPDATE is joined with it.
    """
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
    names = ", ".join(f"c{number}" for number in range(1, len(types) + 1))
    source = f"unnest({arrays}) AS v({names})"
    insert = _INSERT.fullmatch(sql)
    if insert is not None:
        head, values, tail = insert.groups()
        return f"{head} SELECT {_named(values)} FROM {source}{tail}"  # noqa: S608, statements of ours
    change, where, condition = sql.rpartition(" WHERE ")
    return f"{_named(change)} FROM {source}{where}{_named(condition)}"


def _named(sql: str) -> str:
    return re.sub(r"\$(\d+)", r"v.c\1", sql)


@lru_cache(maxsize=512)
def translate(sql: str) -> str:
    """`?` placeholders → `$1`, `$2`…; question marks inside quotes stay."""
    pieces: list[str] = []
    number = 0
    for index, part in enumerate(sql.split("'")):
        if index % 2:
            pieces.append(part)
            continue
        heads = part.split("?")
        text = heads[0]
        for tail in heads[1:]:
            number += 1
            text += f"${number}{tail}"
        pieces.append(text)
    return "'".join(pieces)
