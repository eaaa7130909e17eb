"""Rows in every table, made from the models alone: a new table or column is covered by itself."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
from tortoise import Tortoise, fields
from tortoise.fields.relational import ForeignKeyFieldInstance
from tortoise.models import Model

from models.columns import Instant
from models.database import DatabaseURL
from models.rows import tables_of

MOMENT = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
ROWS = 4
TEXTS = ("plain", "ünïcode ✓ 🔔 日本", "quote ' \" \\ % ; --", "line\nbreak\ttab")
JSONS: tuple[Any, ...] = (
    {"who": "ana@acme.com", "after": 1.5, "none": None},
    ["🔔", {"deep": [[], {}]}, True],
    {"big": 2**53 + 1, "text": 'it\'s "so" \\ \u2028'},
    {},
)


def all_models() -> list[type[Model]]:
    """Every model, each after those that it refers to."""
    waiting = {model for app in Tortoise.apps.values() for model in app.values()}
    done: list[type[Model]] = []
    while waiting:
        ready = [model for model in waiting if not (_parents(model) & waiting) - {model}]
        assert ready, "tables refer to each other in a circle"
        done += sorted(ready, key=lambda model: model.__name__)
        waiting -= set(ready)
    return done


def _parents(model: type[Model]) -> set[type[Model]]:
    return {
        field.related_model
        for field in model._meta.fields_map.values()
        if isinstance(field, ForeignKeyFieldInstance)
    }


async def fill_every_table(rows: int = ROWS) -> None:
    """`rows` rows in each table of the open database; optional columns are null in every second one."""
    ids: dict[type[Model], list[Any]] = {}
    for model in all_models():
        made = [await model.create(**_values(model, number, ids)) for number in range(rows)]
        ids[model] = [row.pk for row in made]


def _values(model: type[Model], number: int, ids: dict[type[Model], list[Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in model._meta.fields_map.items():
        if isinstance(field, ForeignKeyFieldInstance):
            if not (field.null and number % 2):
                values[f"{name}_id"] = ids[field.related_model][number]
        elif name not in model._meta.fields_db_projection or getattr(field, "reference", None) is not None:
            continue  # the other end of a relation, or the column of one
        elif not (field.pk and field.generated) and not (field.null and number % 2):
            values[name] = _value(field, number)
    return values


def _value(field: Any, number: int) -> Any:
    if isinstance(field, Instant):
        return MOMENT + dt.timedelta(microseconds=number)
    if isinstance(field, fields.JSONField):
        return JSONS[number % len(JSONS)]
    if isinstance(field, fields.BooleanField):
        return number % 2 == 0
    if isinstance(field, fields.BigIntField):
        return (2**63 - 1 - number) if number % 2 == 0 else -(2**63) + number
    if isinstance(field, fields.IntField):
        return 2**31 - 1 - number
    if isinstance(field, fields.CharField):
        return f"{number}{TEXTS[number % len(TEXTS)]}"[: field.max_length]
    if isinstance(field, fields.TextField):
        return f"{number} {TEXTS[number % len(TEXTS)] * 50}"
    raise AssertionError(f"teach tests/models/every_table.py a value for {field!r}")


async def fill_as_it_is(url: DatabaseURL, first: int, rows: int = ROWS) -> None:
    """`rows` rows in each table by the schema alone, by ids from `first` on; models know the newest only."""
    if url.path is not None:
        with closing(sqlite3.connect(url.path)) as file, file:
            for table in tables_of(file):
                parents = {row[3] for row in file.execute(f'PRAGMA foreign_key_list("{table.name}")')}
                shape = file.execute(f'PRAGMA table_info("{table.name}")').fetchall()
                columns = {row[1]: "bigint" if row[1] in parents else row[2] for row in shape}
                file.execute(_insert(table.name, columns, range(first, first + rows)))
        return
    connection = await asyncpg.connect(**url.credentials)
    found = await connection.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'tortoise_migrations'"
    )
    await connection.execute("SET session_replication_role = replica")  # in any order
    for name in {row[0] for row in found}:
        columns = {row[1]: row[2] for row in found if row[0] == name}
        await connection.execute(_insert(name, columns, range(first, first + rows)))
    await connection.close()


def _insert(table: str, columns: dict[str, str], numbers: range) -> str:
    """Rows that are told by their number; each refers to the one of its number in another table."""
    names = ", ".join(f'"{name}"' for name in columns)
    rows = (", ".join(_literal(kind.lower(), number) for kind in columns.values()) for number in numbers)
    return f'INSERT INTO "{table}" ({names}) VALUES ({"), (".join(rows)})'


def _literal(kind: str, number: int) -> str:
    if kind.startswith("bool"):
        return "true"
    if kind.startswith("json"):
        return "'{\"n\": 1}'"
    return str(number) if kind in ("int", "bigint", "integer", "smallint") else f"'{number}'"


async def contents() -> dict[str, list[dict[str, Any]]]:
    """Every row of the open database, as the models read it."""
    return {
        model._meta.db_table: await model.all().order_by(model._meta.pk_attr).values()
        for model in all_models()
    }


async def counts(url: DatabaseURL) -> dict[str, int]:
    """Rows by table, whatever tables there are."""
    if url.path is not None:
        with closing(sqlite3.connect(url.path)) as file:
            names = file.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            return {
                name: file.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                for (name,) in names.fetchall()
            }
    connection = await asyncpg.connect(**url.credentials)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0]: await connection.fetchval(f'SELECT count(*) FROM "{row[0]}"') for row in names}
    finally:
        await connection.close()


Index = tuple[str, tuple[str, ...], bool, bool]  # table, columns, unique, partial


async def indexes(url: DatabaseURL) -> set[Index]:
    """Every index of either engine in the same words; names do not matter."""
    if url.path is not None:
        return _sqlite_indexes(url.path)
    connection = await asyncpg.connect(**url.credentials)
    try:
        found = await connection.fetch(
            """SELECT t.relname, i.indisunique, i.indpred IS NOT NULL,
                ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(n, o)
                    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.n ORDER BY k.o)
            FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
            WHERE NOT i.indisprimary AND t.relnamespace = 'public'::regnamespace"""
        )
        return {(row[0], tuple(row[3]), row[1], row[2]) for row in found}
    finally:
        await connection.close()


def _sqlite_indexes(path: Path) -> set[Index]:
    found = set()
    with closing(sqlite3.connect(path)) as file:
        tables = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, name, unique, origin, partial in file.execute(f'PRAGMA index_list("{table}")').fetchall():
                if origin != "pk":
                    info = file.execute(f'PRAGMA index_info("{name}")').fetchall()
                    columns = tuple(row[2] for row in info if row[2] is not None)  # no expressions
                    found.add((table, columns, bool(unique), bool(partial)))
    return found
