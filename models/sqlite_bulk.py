"""Many rows in one statement: how SQLite changes what the writer is handed without a step for each row.

Each step of a statement gives the interpreter lock away and has to win it back from the event loop: 150
updates one by one hold the write lock for as long as the loop computes, and every hit waits meanwhile. Used
by the writer's thread only (models/sqlite_writer.py), inside its transaction.
"""

from __future__ import annotations

import re
import sqlite3
from functools import lru_cache

from models.writer import Statement

CHUNKS = (64, 16, 4)

_INSERT = re.compile(r"(INSERT .+? VALUES )(\([^()]*\))(.*)", re.DOTALL)


def execute(connection: sqlite3.Connection, statement: Statement) -> int:
    """Runs the statement for each of its rows; how many rows it changed in all."""
    rows = statement.rows
    if not statement.bulk or len(rows) < CHUNKS[-1]:
        return connection.executemany(statement.sql, rows).rowcount
    changed = begin = 0
    for size in CHUNKS:
        while len(rows) - begin >= size:
            part = rows[begin : begin + size]
            arguments = [value for row in part for value in row]
            changed += connection.execute(joined(statement.sql, size, len(part[0])), arguments).rowcount
            begin += size
    if begin < len(rows):
        changed += connection.executemany(statement.sql, rows[begin:]).rowcount
    return changed


@lru_cache(maxsize=256)
def joined(sql: str, rows: int, width: int) -> str:
    """One statement that does for `rows` rows of `width` arguments what `sql` does for one.

    An INSERT gets more VALUES; in an UPDATE the arguments become columns of a list that it is joined with.
    """
    insert = _INSERT.fullmatch(sql)
    if insert is not None:
        head, one, tail = insert.groups()
        return head + ", ".join([one] * rows) + tail
    numbers = iter(range(1, width + 1))
    named = re.sub(r"\?", lambda _: f"v.column{next(numbers)}", sql)
    change, where, condition = named.rpartition(" WHERE ")
    one = f"({', '.join('?' * width)})"
    return f"{change} FROM (VALUES {', '.join([one] * rows)}) AS v{where}{condition}"
