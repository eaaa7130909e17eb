from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0007_look_ups")]

    operations = [
        ops.CreateModel(
            name="Pack",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("hits", fields.TextField(unique=False)),
                ("count", fields.IntField()),
            ],
            options={
                "table": "pack",
                "app": "models",
                "pk_attr": "id",
                "table_description": "Hits that came in a crowd, until they are rows of their own: see models/sqlite_packs.py.",
            },
            bases=["Model"],
        ),
    ]
