"""The tables that the migrations make are those that the models describe."""

from __future__ import annotations

from tortoise import Tortoise, connections
from tortoise.migrations.autodetector import MigrationAutodetector

from models.database import DatabaseURL, tortoise_config
from tests.models.every_table import all_models, indexes


async def test_the_models_have_no_change_that_the_migrations_lack(sqlite_database: DatabaseURL):
    config = tortoise_config(sqlite_database)
    assert Tortoise.apps is not None
    found = await MigrationAutodetector(Tortoise.apps, config["apps"]).changes()
    assert [writer.operations for writer in found] == []


async def test_every_index_and_unique_of_the_models_is_there(database: DatabaseURL):
    there = await indexes(database)
    for model in all_models():
        table, meta = model._meta.db_table, model._meta

        def columns(names: tuple[str, ...], meta=meta) -> tuple[str, ...]:
            return tuple(meta.fields_map[name].source_field or name for name in names)

        for names in meta.unique_together or ():
            assert (table, columns(tuple(names)), True, False) in there
        for index in meta.indexes or ():
            names = tuple(getattr(index, "fields", index))
            assert (table, columns(names), False, False) in there
        for name, field in meta.fields_map.items():
            if getattr(field, "unique", False) and not field.pk:
                assert (table, (name,), True, False) in there
    assert ("hit", ("id",), False, True) in there


async def test_every_foreign_key_that_the_database_checks_has_an_index(database: DatabaseURL):
    """Without one, deleting a mail reads the whole table of hits."""
    begins = {(table, columns[0]) for table, columns, _, _ in await indexes(database)}
    for model in all_models():
        for name in model._meta.fk_fields:
            if model._meta.fields_map[name].db_constraint:
                assert (model._meta.db_table, f"{name}_id") in begins, f"{model.__name__}.{name}"


async def test_no_foreign_key_that_the_database_checks_lacks_an_index(database: DatabaseURL):
    begins = {(table, columns[0]) for table, columns, _, _ in await indexes(database)}
    connection = connections.get("default")
    if database.is_sqlite:
        checked = []
        for model in all_models():
            table = model._meta.db_table
            rows = await connection.execute_query_dict(f'PRAGMA foreign_key_list("{table}")')
            checked += [(table, row["from"]) for row in rows]
    else:
        rows = await connection.execute_query_dict(
            "SELECT c.conrelid::regclass::text AS table, a.attname AS column FROM pg_constraint c "
            "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] WHERE c.contype = 'f'"
        )
        checked = [(row["table"], row["column"]) for row in rows]
    assert ("hit", "message_id") in checked
    assert [one for one in checked if one not in begins] == []


async def test_deleting_a_link_reads_no_hits(sqlite_database: DatabaseURL):
    plan = await connections.get("default").execute_query_dict(
        "EXPLAIN QUERY PLAN DELETE FROM link WHERE id = 5"
    )
    assert not [row for row in plan if "hit" in row["detail"]]
