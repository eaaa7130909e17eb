"""Indexes of what is looked up often: reminders that wait, by when they are due, and people by their domain.

Reminders that rang or are done grow without end and are never looked up so. Of people only those are looked
up of whose side something was learned.
"""

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

_DOMAIN = {"sqlite": "substr(\"address\", instr(\"address\", '@') + 1)", "postgres": "split_part(\"address\", '@', 2)"}


async def index_domains(_apps: Any, editor: Any) -> None:
    """The expression is the one of models/select.py."""
    domain = _DOMAIN[editor.client.capabilities.dialect]
    await editor.client.execute_script(
        f'CREATE INDEX "idx_person_domain" ON "person" ("account_id", ({domain})) '
        'WHERE "learned" IS NOT NULL'
    )


async def drop_domains(_apps: Any, editor: Any) -> None:
    await editor.client.execute_script('DROP INDEX "idx_person_domain"')


class Migration(migrations.Migration):
    dependencies = [("models", "0006_hit_references")]

    operations = [
        ops.RemoveIndex("Reminder", fields=["due_at"]),
        # Tortoise's own partial index writes "= null" for a condition on null.
        ops.RunSQL(
            'CREATE INDEX "idx_reminder_due" ON "reminder" ("due_at") '
            'WHERE "fired_at" IS NULL AND "done_at" IS NULL',
            'DROP INDEX "idx_reminder_due"',
        ),
        ops.RunPython(index_domains, drop_domains),
    ]
