"""Table rebuilds on SQLite that keep every index, and the executor that uses them.

The library rebuilds a table to alter or drop one of its columns, and forgets its secondary indexes and
unique_together on the way. Only models/migrate.py uses this; rows of other tables are safe there because the
connection has foreign_keys=OFF (with ON, the rebuild's DROP TABLE deletes every child row by cascade).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from tortoise.indexes import Index
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.schema_editor import BaseSchemaEditor, SqliteSchemaEditor


@dataclass(frozen=True)
class _Kept:
    """An index of a table as it was before the rebuild."""

    name: str
    unique: bool
    columns: tuple[str | None, ...]  # None stands for an expression
    sql: str | None  # None: it came with the table, from UNIQUE or PRIMARY KEY

    def renamed(self, old: str, new: str) -> _Kept:
        columns = tuple(new if column == old else column for column in self.columns)
        return replace(self, columns=columns, sql=self.sql and self.sql.replace(f'"{old}"', f'"{new}"'))

    def mentions(self, column: str) -> bool:
        # Also in a WHERE: SQLite would take the quoted name of a dropped column for a string.
        return column in self.columns or (
            self.sql is not None and re.search(rf"\b{re.escape(column)}\b", self.sql) is not None
        )


class KeepingSqliteEditor(SqliteSchemaEditor):
    """The library's editor, whose rebuilt tables have the indexes and the next id of the old ones.

    Not re-created: an index that mentions a dropped column, and the index of a field whose `db_index` or
    `unique` was switched off.
    """

    async def _remake_table(
        self,
        model: Any,
        create_field: Any = None,
        delete_field: Any = None,
        alter_fields: list[tuple[Any, Any]] | None = None,
    ) -> None:
        table = model._meta.db_table
        kept, columns = await self._indexes(table), await self._columns(table)
        given = await self.client.execute_query_dict("SELECT * FROM sqlite_sequence WHERE name = ?", [table])
        await super()._remake_table(model, create_field, delete_field, alter_fields)
        for row in given:  # ids of deleted rows are not given again
            await self.client.execute_query("DELETE FROM sqlite_sequence WHERE name = ?", [table])
            await self.client.execute_query("INSERT INTO sqlite_sequence VALUES (?, ?)", [table, row["seq"]])
        for old, new in alter_fields or ():
            before, after = _column(old), _column(new)
            kept = [index for index in kept if not _switched_off(index, before, old, new)]
            if before != after:
                kept = [index.renamed(before, after) for index in kept]
                columns = {after if column == before else column for column in columns}
        dropped = columns - await self._columns(table)
        for index in kept:
            if not any(index.mentions(column) for column in dropped):
                await self._create_again(table, index)
        for old, new in alter_fields or ():
            if new.index and not old.index and not new.pk:
                await self.add_index(model, Index(fields=(_column(new),)))

    async def _create_again(self, table: str, index: _Kept) -> None:
        there = await self._indexes(table)
        if any(one.columns == index.columns and one.unique and index.unique for one in there):
            return
        if index.sql is not None:
            await self.client.execute_query(index.sql)
            return
        names = [column for column in index.columns if column is not None]
        fields = ", ".join(self.quote(column) for column in names)
        name = self._generate_index_name_for_table("uidx", table, names)
        await self.client.execute_query(f'CREATE UNIQUE INDEX "{name}" ON "{table}" ({fields})')

    async def _columns(self, table: str) -> set[str]:
        rows = await self.client.execute_query_dict(f'PRAGMA table_info("{table}")')
        return {row["name"] for row in rows}

    async def _indexes(self, table: str) -> list[_Kept]:
        found = []
        for row in await self.client.execute_query_dict(f'PRAGMA index_list("{table}")'):
            if row["origin"] == "pk":
                continue
            parts = await self.client.execute_query_dict(f'PRAGMA index_info("{row["name"]}")')
            made = await self.client.execute_query_dict(
                "SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", [row["name"]]
            )
            columns = tuple(part["name"] for part in parts)
            found.append(_Kept(row["name"], bool(row["unique"]), columns, made[0]["sql"]))
        return found[::-1]  # PRAGMA names the newest first


def _column(field: Any) -> str:
    return str(field.source_field or field.model_field_name)


def _switched_off(index: _Kept, column: str, old: Any, new: Any) -> bool:
    if index.columns != (column,):
        return False
    return bool(old.unique and not new.unique if index.unique else old.index and not new.index)


class KeepingExecutor(MigrationExecutor):
    """Runs migrations with the editor above on SQLite, with the library's own elsewhere."""

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        if self.connection.capabilities.dialect == "sqlite":
            return KeepingSqliteEditor(self.connection, atomic=atomic, collect_sql=collect_sql)
        return super()._schema_editor(atomic, collect_sql)
