from tortoise import migrations
from tortoise.migrations import operations as ops
from models.columns import Instant
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("models", "0001_initial")]

    operations = [
        ops.CreateModel(
            name="Taught",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="taught",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "message",
                    fields.ForeignKeyField(
                        "models.Message",
                        source_field="message_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="taught",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                ("uid", fields.CharField(max_length=32)),
                ("answer", fields.CharField(max_length=8)),
                ("device", fields.CharField(null=True, max_length=32)),
                ("network", fields.CharField(null=True, max_length=43)),
                ("agent_id", fields.BigIntField(null=True)),
                ("client", fields.CharField(null=True, max_length=60)),
                ("at", Instant(generated=False, null=False, unique=False)),
                ("undone_at", Instant(null=True, generated=False, unique=False)),
                ("reached", fields.BigIntField(null=True)),
                ("applied_at", Instant(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "taught",
                "app": "models",
                "unique_together": (("account", "uid"),),
                "indexes": [Index(fields=["message_id"])],
                "pk_attr": "id",
                "table_description": 'What an account said of one of its hits: "that was me", or "not a person".',
            },
            bases=["Model"],
        ),
    ]
