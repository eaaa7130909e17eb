"""Plain SQL over the models' own connection: for reading what would take the models several queries.

Inside a transaction it sees what that one does, unlike the writer's `fetch` (models/writer.py), which reads
over a connection of its own. Nothing is written through it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tortoise import connections

from models.database import is_sqlite
from models.postgres_bulk import translate


async def select(sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of a SELECT with `?` placeholders. Raises what the models raise (database.DATABASE_FAULTS)."""
    query = sql if is_sqlite() else translate(sql)
    _, rows = await connections.get("default").execute_query(query, list(arguments))
    return [tuple(row) for row in rows]


def one_of(column: str, kind: Literal["bigint", "text"] = "bigint") -> str:
    """A condition: the column's value is in a list that is passed as one argument, made by `as_list`."""
    if is_sqlite():
        return f"{column} IN (SELECT value FROM json_each(?))"  # noqa: S608, names of ours
    return f"{column} = ANY(?::{kind}[])"


def as_list(values: Iterable[Any]) -> Any:
    """The argument of `one_of`."""
    found = list(values)
    return json.dumps(found) if is_sqlite() else found


def domain_of(column: str) -> str:
    """The part of an address after its @, in the words of the index on people (migration 0007)."""
    return f"SUBSTR({column}, INSTR({column}, '@') + 1)" if is_sqlite() else f"SPLIT_PART({column}, '@', 2)"


def from_json(value: Any) -> Any:
    """What a JSON column holds: it comes as text from SQLite, as text or decoded from PostgreSQL."""
    return json.loads(value) if isinstance(value, str) else value
