from tortoise import migrations
from tortoise.migrations import operations as ops
import functools
from json import dumps, loads
from models.columns import Instant
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("models", "0002_taught")]

    operations = [
        ops.CreateModel(
            name="Captured",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="captured",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("key", fields.CharField(max_length=64)),
                ("state", fields.CharField(max_length=10)),
                (
                    "message",
                    fields.ForeignKeyField(
                        "models.Message",
                        source_field="message_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="captured",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("from_address", fields.CharField(null=True, max_length=320)),
                (
                    "facts",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                ("at", Instant(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "captured",
                "app": "models",
                "unique_together": (("account", "key"),),
                "indexes": [Index(fields=["message_id"]), Index(fields=["account_id", "state"])],
                "pk_attr": "id",
                "table_description": "A mail that the capture server took: the same one, sent again, is known by its key.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OwnAddress",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="own_addresses",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("address", fields.CharField(max_length=320)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "own_address",
                "app": "models",
                "unique_together": (("account", "address"),),
                "pk_attr": "id",
                "table_description": "An address that an account writes mail from.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Reminder",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="reminders",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "message",
                    fields.ForeignKeyField(
                        "models.Message",
                        source_field="message_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="reminders",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("kind", fields.CharField(max_length=8)),
                ("due_at", Instant(generated=False, null=False, unique=False)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
                ("done_at", Instant(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "reminder",
                "app": "models",
                "unique_together": (("message", "kind", "due_at"),),
                "indexes": [Index(fields=["due_at"]), Index(fields=["account_id"])],
                "pk_attr": "id",
                "table_description": 'Something to come back to, as the tag of a capture address ordered it.',
            },
            bases=["Model"],
        ),
    ]
