"""Drops two foreign keys of `hit` that the first migration was not meant to make, and that have no index.

The library's editor ignores `db_constraint=False`. With them, deleting one link or recipient reads every hit
while the write lock is held, and on PostgreSQL each inserted hit takes two row locks more.
"""

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

_REFERENCES = (
    ('"link_id" BIGINT NOT NULL REFERENCES "link" ("id") ON DELETE CASCADE', '"link_id" BIGINT NOT NULL'),
    ('"recipient_id" BIGINT REFERENCES "recipient" ("id") ON DELETE SET NULL', '"recipient_id" BIGINT'),
)


async def drop_references(_apps: Any, editor: Any) -> None:
    """On SQLite as https://www.sqlite.org/lang_altertable.html (section 7) says: no row is touched."""
    client = editor.client
    if client.capabilities.dialect != "sqlite":
        await client.execute_script(
            'ALTER TABLE "hit" DROP CONSTRAINT IF EXISTS "hit_link_id_fkey", '
            'DROP CONSTRAINT IF EXISTS "hit_recipient_id_fkey"'
        )
        return
    ((version,),) = [tuple(row) for row in (await client.execute_query("PRAGMA schema_version"))[1]]
    await client.execute_query("PRAGMA writable_schema=ON")
    for before, after in _REFERENCES:
        await client.execute_query(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'hit'",
            [before, after],
        )
    await client.execute_query(f"PRAGMA schema_version={version + 1}")
    await client.execute_query("PRAGMA writable_schema=OFF")


async def keep(_apps: Any, _editor: Any) -> None:
    """Nothing needs them back."""


class Migration(migrations.Migration):
    dependencies = [("models", "0005_insights")]

    operations = [ops.RunPython(drop_references, keep)]
