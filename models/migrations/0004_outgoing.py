from tortoise import migrations
from tortoise.migrations import operations as ops
import functools
from json import dumps, loads
from models.columns import Instant
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0003_capture')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Audit',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('at', Instant(generated=False, null=False, unique=False)),
                ('account', fields.ForeignKeyField('models.Account', source_field='account_id', null=True, db_constraint=True, to_field='id', related_name='audits', on_delete=OnDelete.SET_NULL)),
                ('action', fields.CharField(max_length=16)),
                ('digest', fields.CharField(null=True, max_length=64)),
                ('counts', fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads)),
            ],
            options={'table': 'audit', 'app': 'models', 'indexes': [Index(fields=['at']), Index(fields=['account_id'])], 'pk_attr': 'id', 'table_description': 'That something about a person was erased or handed over: the person only by a keyed hash.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Mailbox',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account', fields.ForeignKeyField('models.Account', source_field='account_id', db_constraint=True, to_field='id', related_name='mailboxes', on_delete=OnDelete.CASCADE)),
                ('address', fields.CharField(max_length=320)),
                ('provider', fields.CharField(max_length=16)),
                ('auth', fields.CharField(default='password', db_default='password', max_length=8)),
                ('username', fields.CharField(default='', db_default='', max_length=320)),
                ('secret', fields.TextField(null=True, unique=False)),
                ('created_at', Instant(generated=False, null=False, unique=False)),
                ('smtp_host', fields.CharField(max_length=253)),
                ('smtp_port', fields.IntField()),
                ('smtp_security', fields.CharField(max_length=8)),
                ('checked_at', Instant(null=True, generated=False, unique=False)),
                ('failed_at', Instant(null=True, generated=False, unique=False)),
                ('failure', fields.CharField(null=True, max_length=300)),
                ('told_at', Instant(null=True, generated=False, unique=False)),
                ('submission_user', fields.CharField(null=True, unique=True, max_length=64)),
                ('submission_digest', fields.CharField(null=True, max_length=200)),
                ('imap_on', fields.BooleanField(default=False, db_default=False)),
                ('imap_host', fields.CharField(null=True, max_length=253)),
                ('imap_port', fields.IntField(null=True)),
                ('imap_security', fields.CharField(null=True, max_length=8)),
                ('imap_validity', fields.BigIntField(null=True)),
                ('imap_next', fields.BigIntField(null=True)),
                ('imap_seen_at', Instant(null=True, generated=False, unique=False)),
                ('imap_failed_at', Instant(null=True, generated=False, unique=False)),
                ('imap_failure', fields.CharField(null=True, max_length=300)),
                ('imap_told_at', Instant(null=True, generated=False, unique=False)),
                ('leased_by', fields.CharField(null=True, max_length=64)),
                ('leased_until', Instant(null=True, generated=False, unique=False)),
                ('details', fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads)),
            ],
            options={'table': 'mailbox', 'app': 'models', 'unique_together': (('account', 'address'),), 'indexes': [Index(fields=['imap_on', 'leased_until'])], 'pk_attr': 'id', 'table_description': 'An address of an account at its provider: how to log in there, and how mail programs log in here.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='Outgoing',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('account', fields.ForeignKeyField('models.Account', source_field='account_id', db_constraint=True, to_field='id', related_name='outgoing', on_delete=OnDelete.CASCADE)),
                ('mailbox', fields.ForeignKeyField('models.Mailbox', source_field='mailbox_id', null=True, db_constraint=True, to_field='id', related_name='outgoing', on_delete=OnDelete.SET_NULL)),
                ('message', fields.ForeignKeyField('models.Message', source_field='message_id', null=True, db_constraint=True, to_field='id', related_name='outgoing', on_delete=OnDelete.SET_NULL)),
                ('recipient', fields.ForeignKeyField('models.Recipient', source_field='recipient_id', null=True, db_constraint=True, to_field='id', related_name='outgoing', on_delete=OnDelete.SET_NULL)),
                ('spool', fields.CharField(max_length=64)),
                ('sender', fields.CharField(max_length=320)),
                ('address', fields.CharField(max_length=320)),
                ('state', fields.CharField(default='waiting', db_default='waiting', max_length=10)),
                ('attempts', fields.IntField(default=0, db_default=0)),
                ('next_at', Instant(generated=False, null=False, unique=False)),
                ('last_error', fields.CharField(null=True, max_length=300)),
                ('maybe_sent', fields.BooleanField(default=False, db_default=False)),
                ('accepted_at', Instant(generated=False, null=False, unique=False)),
                ('sent_at', Instant(null=True, generated=False, unique=False)),
                ('told_late_at', Instant(null=True, generated=False, unique=False)),
                ('leased_by', fields.CharField(null=True, max_length=64)),
                ('leased_until', Instant(null=True, generated=False, unique=False)),
                ('details', fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads)),
            ],
            options={'table': 'outgoing', 'app': 'models', 'unique_together': (('spool', 'address'),), 'indexes': [Index(fields=['state', 'next_at']), Index(fields=['account_id']), Index(fields=['mailbox_id']), Index(fields=['message_id']), Index(fields=['recipient_id'])], 'pk_attr': 'id', 'table_description': "One envelope recipient's copy of a mail that the submission server took. The mail is in the spool."},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Captured',
            name='guessed',
            field=fields.BooleanField(default=False, db_default=False),
        ),
        ops.AddField(
            model_name='Captured',
            name='recipient',
            field=fields.ForeignKeyField('models.Recipient', source_field='recipient_id', null=True, db_constraint=True, to_field='id', related_name='captured', on_delete=OnDelete.SET_NULL),
        ),
        ops.AddField(
            model_name='Captured',
            name='via',
            field=fields.CharField(default='smtp', db_default='smtp', max_length=8),
        ),
        ops.AddIndex(
            model_name='Captured',
            index=Index(fields=['recipient_id']),
        ),
        ops.AlterModelOptions(
            name='Reminder',
            options={'table': 'reminder', 'app': 'models', 'unique_together': (('message', 'kind', 'due_at'),), 'indexes': [Index(fields=['due_at']), Index(fields=['account_id']), Index(fields=['recipient_id'])], 'pk_attr': 'id', 'table_description': 'Something to come back to.'},
        ),
        ops.AddField(
            model_name='Reminder',
            name='details',
            field=fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(',', ':')), decoder=loads),
        ),
        ops.AddField(
            model_name='Reminder',
            name='ended_because',
            field=fields.CharField(null=True, max_length=12),
        ),
        ops.AddField(
            model_name='Reminder',
            name='fired_at',
            field=Instant(null=True, generated=False, unique=False),
        ),
        ops.AddField(
            model_name='Reminder',
            name='recipient',
            field=fields.ForeignKeyField('models.Recipient', source_field='recipient_id', null=True, db_constraint=True, to_field='id', related_name='reminders', on_delete=OnDelete.CASCADE),
        ),
        ops.AddField(
            model_name='Reminder',
            name='source',
            field=fields.CharField(default='tag', db_default='tag', max_length=10),
        ),
        ops.AddField(
            model_name='Reminder',
            name='text',
            field=fields.CharField(null=True, max_length=200),
        ),
        ops.AddField(
            model_name='Reminder',
            name='was_kind',
            field=fields.CharField(null=True, max_length=8),
        ),
        ops.AddIndex(
            model_name='Reminder',
            index=Index(fields=['recipient_id']),
        ),
    ]
