from tortoise import migrations
from tortoise.migrations import operations as ops
import functools
from json import dumps, loads
from models.columns import Instant
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0004_outgoing')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Habit',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account', fields.ForeignKeyField('models.Account', source_field='account_id', db_constraint=True, to_field='id', related_name='habits', on_delete=OnDelete.CASCADE)),
                ('at', Instant(generated=False, null=False, unique=False)),
                ('zone', fields.CharField(default='', db_default='', max_length=64)),
                ('facts', fields.JSONField(encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads)),
            ],
            options={'table': 'habit', 'app': 'models', 'unique_together': (('account',),), 'pk_attr': 'id', 'table_description': 'What is usual among everybody an account writes to: see tracker/insights/best.py.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='HourSum',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account_id', fields.BigIntField()),
                ('hour', fields.IntField()),
                ('mails', fields.BigIntField(default=0, db_default=0)),
                ('opened', fields.BigIntField(default=0, db_default=0)),
                ('clicked', fields.BigIntField(default=0, db_default=0)),
                ('linked', fields.BigIntField(default=0, db_default=0)),
                ('replied', fields.BigIntField(default=0, db_default=0)),
                ('opens', fields.BigIntField(default=0, db_default=0)),
                ('clicks', fields.BigIntField(default=0, db_default=0)),
                ('human', fields.BigIntField(default=0, db_default=0)),
                ('proxied', fields.BigIntField(default=0, db_default=0)),
                ('privacy', fields.BigIntField(default=0, db_default=0)),
                ('prefetch', fields.BigIntField(default=0, db_default=0)),
                ('scanner', fields.BigIntField(default=0, db_default=0)),
                ('unfurler', fields.BigIntField(default=0, db_default=0)),
                ('bot', fields.BigIntField(default=0, db_default=0)),
                ('sender', fields.BigIntField(default=0, db_default=0)),
                ('duplicate', fields.BigIntField(default=0, db_default=0)),
                ('unknown', fields.BigIntField(default=0, db_default=0)),
            ],
            options={'table': 'hour_sum', 'app': 'models', 'unique_together': (('account_id', 'hour'),), 'pk_attr': 'id', 'table_description': 'The mails that an account made in one hour, together.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='MailSum',
            fields=[
                ('id', fields.BigIntField(generated=False, primary_key=True, unique=True, db_index=True)),
                ('account_id', fields.BigIntField()),
                ('hour', fields.IntField()),
                ('revision', fields.IntField()),
                ('mails', fields.BigIntField(default=0, db_default=0)),
                ('opened', fields.BigIntField(default=0, db_default=0)),
                ('clicked', fields.BigIntField(default=0, db_default=0)),
                ('linked', fields.BigIntField(default=0, db_default=0)),
                ('replied', fields.BigIntField(default=0, db_default=0)),
                ('opens', fields.BigIntField(default=0, db_default=0)),
                ('clicks', fields.BigIntField(default=0, db_default=0)),
                ('human', fields.BigIntField(default=0, db_default=0)),
                ('proxied', fields.BigIntField(default=0, db_default=0)),
                ('privacy', fields.BigIntField(default=0, db_default=0)),
                ('prefetch', fields.BigIntField(default=0, db_default=0)),
                ('scanner', fields.BigIntField(default=0, db_default=0)),
                ('unfurler', fields.BigIntField(default=0, db_default=0)),
                ('bot', fields.BigIntField(default=0, db_default=0)),
                ('sender', fields.BigIntField(default=0, db_default=0)),
                ('duplicate', fields.BigIntField(default=0, db_default=0)),
                ('unknown', fields.BigIntField(default=0, db_default=0)),
            ],
            options={'table': 'mail_sum', 'app': 'models', 'pk_attr': 'id', 'table_description': 'What one mail adds to its hour: taken out again when the mail changes or goes.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='PersonSum',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('person', fields.ForeignKeyField('models.Person', source_field='person_id', db_constraint=True, to_field='id', related_name='sums', on_delete=OnDelete.CASCADE)),
                ('account_id', fields.BigIntField()),
                ('mails', fields.IntField(default=0, db_default=0)),
                ('tracked', fields.IntField(default=0, db_default=0)),
                ('opened', fields.IntField(default=0, db_default=0)),
                ('answered', fields.IntField(default=0, db_default=0)),
                ('opens', fields.IntField(default=0, db_default=0)),
                ('clicks', fields.IntField(default=0, db_default=0)),
                ('unseen', fields.IntField(default=0, db_default=0)),
                ('sent_at', Instant(null=True, generated=False, unique=False)),
                ('first_at', Instant(null=True, generated=False, unique=False)),
                ('seen_at', Instant(null=True, generated=False, unique=False)),
                ('third_at', Instant(null=True, generated=False, unique=False)),
            ],
            options={'table': 'person_sum', 'app': 'models', 'unique_together': (('person',),), 'indexes': [Index(fields=['account_id', 'seen_at']), Index(fields=['account_id', 'third_at']), Index(fields=['account_id', 'first_at']), Index(fields=['account_id', 'answered', 'opened']), Index(fields=['account_id', 'unseen'])], 'pk_attr': 'id', 'table_description': "What is known of a person's reading, over all mails to them: see tracker/insights/people.py."},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Stale',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account_id', fields.BigIntField()),
                ('message_id', fields.BigIntField(null=True)),
                ('person_id', fields.BigIntField(null=True)),
            ],
            options={'table': 'stale', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A mail, or a person, whose sums are older than its rows: written in the transaction of what changed.'},
            bases=['Model'],
        ),
        # People who are marked already are not marked again.
        ops.RunSQL(
            'CREATE INDEX "idx_stale_person" ON "stale" ("person_id") WHERE "person_id" IS NOT NULL',
            'DROP INDEX "idx_stale_person"',
        ),
    ]
