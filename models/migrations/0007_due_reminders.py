"""Of reminders only those that wait are looked up by when they are due: the others grow without end."""

from tortoise import migrations
from tortoise.migrations import operations as ops


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
    ]
