from tortoise import migrations
from tortoise.migrations import operations as ops
import functools
from json import dumps, loads
from models.columns import Instant
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Account",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("name", fields.CharField(default="", db_default="", max_length=120)),
                ("is_owner", fields.BooleanField(default=False, db_default=False)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
                ("mode", fields.CharField(default="full", db_default="full", max_length=8)),
                ("ring_opens", fields.CharField(default="all", db_default="all", max_length=12)),
                ("ring_clicks", fields.CharField(default="all", db_default="all", max_length=12)),
                ("muted_until", Instant(null=True, generated=False, unique=False)),
                ("timezone", fields.CharField(null=True, max_length=64)),
                (
                    "quiet_hours",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                (
                    "preferences",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                ("capture_secret", fields.CharField(null=True, unique=True, max_length=64)),
                ("capture_public", fields.CharField(null=True, unique=True, max_length=64)),
            ],
            options={
                "table": "account",
                "app": "models",
                "pk_attr": "id",
                "table_description": "One person who sends mail. Every other row belongs to an account, every query is scoped by it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="AccessCode",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("digest", fields.CharField(unique=True, max_length=64)),
                ("kind", fields.CharField(max_length=8)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="access_codes",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("created_at", Instant(generated=False, null=False, unique=False)),
                ("expires_at", Instant(null=True, generated=False, unique=False)),
                ("used_at", Instant(null=True, generated=False, unique=False)),
                ("used_by", fields.BigIntField(null=True)),
            ],
            options={
                "table": "access_code",
                "app": "models",
                "indexes": [Index(fields=["account_id"])],
                "pk_attr": "id",
                "table_description": "A single-use way in: the first claim, an invitation, or linking one's own second chat.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Agent",
            fields=[
                ("id", fields.BigIntField(generated=False, primary_key=True, unique=True, db_index=True)),
                ("text", fields.TextField(unique=False)),
            ],
            options={
                "table": "agent",
                "app": "models",
                "pk_attr": "id",
                "table_description": "A user agent, stored once. The id is worked out from the text, so that recording needs no look-up.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Destination",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="destinations",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("platform", fields.CharField(max_length=16)),
                ("workspace", fields.CharField(default="", db_default="", max_length=64)),
                ("chat_id", fields.CharField(max_length=64)),
                ("thread_id", fields.CharField(default="", db_default="", max_length=64)),
                ("title", fields.CharField(default="", db_default="", max_length=120)),
                ("private", fields.BooleanField(default=True, db_default=True)),
                ("purpose", fields.CharField(null=True, max_length=32)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
                ("off_at", Instant(null=True, generated=False, unique=False)),
                ("off_reason", fields.CharField(null=True, max_length=200)),
                ("muted_until", Instant(null=True, generated=False, unique=False)),
                ("wait_until", Instant(null=True, generated=False, unique=False)),
                ("failures", fields.IntField(default=0, db_default=0)),
                ("leased_by", fields.CharField(null=True, max_length=64)),
                ("leased_until", Instant(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "destination",
                "app": "models",
                "unique_together": (("account", "platform", "workspace", "chat_id", "thread_id"),),
                "indexes": [Index(fields=["platform", "workspace", "chat_id"])],
                "pk_attr": "id",
                "table_description": "A chat that an account's rings go to: a private chat with the bot, a channel, a group's topic.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Dialogue",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("platform", fields.CharField(max_length=16)),
                ("chat_id", fields.CharField(max_length=64)),
                ("user_id", fields.CharField(max_length=64)),
                ("verb", fields.CharField(max_length=16)),
                ("step", fields.CharField(max_length=16)),
                (
                    "answers",
                    fields.JSONField(
                        default=dict, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                ("updated_at", Instant(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "dialogue",
                "app": "models",
                "unique_together": (("platform", "chat_id", "user_id"),),
                "pk_attr": "id",
                "table_description": "Questions asked step by step in one chat with one user, until answered or cancelled.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Identity",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="identities",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("platform", fields.CharField(max_length=16)),
                ("workspace", fields.CharField(default="", db_default="", max_length=64)),
                ("user_id", fields.CharField(max_length=64)),
                ("name", fields.CharField(default="", db_default="", max_length=120)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "identity",
                "app": "models",
                "unique_together": (("platform", "workspace", "user_id"),),
                "indexes": [Index(fields=["account_id"])],
                "pk_attr": "id",
                "table_description": "A chat user (Slack user, Telegram user, the console) who acts for an account.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="InboundEvent",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("platform", fields.CharField(max_length=16)),
                ("event_id", fields.CharField(max_length=100)),
                ("at", Instant(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "inbound_event",
                "app": "models",
                "unique_together": (("platform", "event_id"),),
                "indexes": [Index(fields=["at"])],
                "pk_attr": "id",
                "table_description": "An event or update that a chat platform delivered: delivered again, it is not acted on again.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="InstanceState",
            fields=[
                ("key", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("value", fields.TextField(unique=False)),
            ],
            options={
                "table": "instance_state",
                "app": "models",
                "pk_attr": "key",
                "table_description": "Single facts of this instance, such as the open claim code.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Message",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="messages",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("code", fields.CharField(unique=True, max_length=12)),
                ("subject", fields.CharField(default="", db_default="", max_length=255)),
                ("origin", fields.CharField(max_length=12)),
                ("mode", fields.CharField(default="full", db_default="full", max_length=8)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
                ("arms_at", Instant(generated=False, null=False, unique=False)),
                ("armed_at", Instant(null=True, generated=False, unique=False)),
                ("armed_by", fields.CharField(null=True, max_length=12)),
                ("message_id_header", fields.CharField(null=True, max_length=998)),
                ("sent_at", Instant(null=True, generated=False, unique=False)),
                ("captured_at", Instant(null=True, generated=False, unique=False)),
                ("handed_over_at", Instant(null=True, generated=False, unique=False)),
                ("from_address", fields.CharField(null=True, max_length=320)),
                ("opens", fields.IntField(default=0, db_default=0)),
                ("clicks", fields.IntField(default=0, db_default=0)),
                ("total_opens", fields.IntField(default=0, db_default=0)),
                ("total_clicks", fields.IntField(default=0, db_default=0)),
                ("first_open_at", Instant(null=True, generated=False, unique=False)),
                ("last_open_at", Instant(null=True, generated=False, unique=False)),
                ("first_click_at", Instant(null=True, generated=False, unique=False)),
                ("last_click_at", Instant(null=True, generated=False, unique=False)),
                ("last_event_at", Instant(null=True, generated=False, unique=False)),
                ("replied_at", Instant(null=True, generated=False, unique=False)),
                ("closed_at", Instant(null=True, generated=False, unique=False)),
                ("revision", fields.IntField(default=0, db_default=0)),
                ("ring_opens", fields.CharField(null=True, max_length=12)),
                ("ring_clicks", fields.CharField(null=True, max_length=12)),
                ("muted", fields.BooleanField(default=False, db_default=False)),
                ("muted_until", Instant(null=True, generated=False, unique=False)),
                (
                    "details",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
            ],
            options={
                "table": "message",
                "app": "models",
                "indexes": [
                    Index(fields=["account_id", "created_at"]),
                    Index(fields=["account_id", "last_event_at"]),
                    Index(fields=["message_id_header"]),
                ],
                "pk_attr": "id",
                "table_description": "One mail. Its counters are the sums over recipients and shared tokens, written by the judge.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Card",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "message",
                    fields.ForeignKeyField(
                        "models.Message",
                        source_field="message_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="cards",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "destination",
                    fields.ForeignKeyField(
                        "models.Destination",
                        source_field="destination_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="cards",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("remote_id", fields.CharField(null=True, max_length=64)),
                ("shown", fields.CharField(null=True, max_length=64)),
                ("dirty_at", Instant(null=True, generated=False, unique=False)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
                ("posted_at", Instant(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "card",
                "app": "models",
                "unique_together": (("message", "destination"),),
                "indexes": [Index(fields=["destination_id", "dirty_at"])],
                "pk_attr": "id",
                "table_description": "The standing message about a mail in one chat, edited in place when the mail's state changes.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OptOut",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("digest", fields.CharField(unique=True, max_length=64)),
                ("at", Instant(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "opt_out",
                "app": "models",
                "pk_attr": "id",
                "table_description": "An address that must not be tracked, known only by its keyed hash.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OwnDevice",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="own_devices",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("device", fields.CharField(max_length=32)),
                ("source", fields.CharField(max_length=16)),
                ("seen_at", Instant(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "own_device",
                "app": "models",
                "unique_together": (("account", "device"),),
                "pk_attr": "id",
                "table_description": 'A device known to be the sender\'s own, learned from the copy page or "that was me".',
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Person",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="people",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("address", fields.CharField(max_length=320)),
                ("name", fields.CharField(default="", db_default="", max_length=200)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
                ("ring_opens", fields.CharField(null=True, max_length=12)),
                ("ring_clicks", fields.CharField(null=True, max_length=12)),
                ("muted", fields.BooleanField(default=False, db_default=False)),
                ("muted_until", Instant(null=True, generated=False, unique=False)),
                ("timezone", fields.CharField(null=True, max_length=64)),
                (
                    "learned",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
            ],
            options={
                "table": "person",
                "app": "models",
                "unique_together": (("account", "address"),),
                "pk_attr": "id",
                "table_description": "Somebody an account writes to: what is set or learned per address, across mails.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Recipient",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "message",
                    fields.ForeignKeyField(
                        "models.Message",
                        source_field="message_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="recipients",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "person",
                    fields.ForeignKeyField(
                        "models.Person",
                        source_field="person_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="recipients",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                ("address", fields.CharField(max_length=320)),
                ("name", fields.CharField(default="", db_default="", max_length=200)),
                ("position", fields.IntField(default=0, db_default=0)),
                ("opens", fields.IntField(default=0, db_default=0)),
                ("clicks", fields.IntField(default=0, db_default=0)),
                ("total_opens", fields.IntField(default=0, db_default=0)),
                ("total_clicks", fields.IntField(default=0, db_default=0)),
                ("first_open_at", Instant(null=True, generated=False, unique=False)),
                ("last_open_at", Instant(null=True, generated=False, unique=False)),
                ("first_click_at", Instant(null=True, generated=False, unique=False)),
                ("last_click_at", Instant(null=True, generated=False, unique=False)),
                ("loaded_at", Instant(null=True, generated=False, unique=False)),
                ("handed_over_at", Instant(null=True, generated=False, unique=False)),
                ("replied_at", Instant(null=True, generated=False, unique=False)),
                ("bounced_at", Instant(null=True, generated=False, unique=False)),
                ("opted_out_at", Instant(null=True, generated=False, unique=False)),
                (
                    "details",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
            ],
            options={
                "table": "recipient",
                "app": "models",
                "unique_together": (("message", "address"),),
                "indexes": [Index(fields=["person_id"]), Index(fields=["address"])],
                "pk_attr": "id",
                "table_description": "One address a mail went to, with what is known of it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Link",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("token", fields.CharField(unique=True, max_length=22)),
                ("kind", fields.CharField(max_length=5)),
                (
                    "message",
                    fields.ForeignKeyField(
                        "models.Message",
                        source_field="message_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="links",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "recipient",
                    fields.ForeignKeyField(
                        "models.Recipient",
                        source_field="recipient_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="links",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                ("target", fields.TextField(null=True, unique=False)),
                ("label", fields.CharField(default="", db_default="", max_length=120)),
                ("position", fields.IntField(default=0, db_default=0)),
                ("recording", fields.BooleanField(default=True, db_default=True)),
                ("hits", fields.IntField(default=0, db_default=0)),
                ("counted", fields.IntField(default=0, db_default=0)),
                ("created_at", Instant(generated=False, null=False, unique=False)),
            ],
            options={
                "table": "link",
                "app": "models",
                "indexes": [Index(fields=["message_id"]), Index(fields=["recipient_id"])],
                "pk_attr": "id",
                "table_description": "A token that stands in a mail: its pixel (kind open) or one of its links (kind click).",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Alert",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="alerts",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "destination",
                    fields.ForeignKeyField(
                        "models.Destination",
                        source_field="destination_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="alerts",
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
                        related_name="alerts",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "recipient",
                    fields.ForeignKeyField(
                        "models.Recipient",
                        source_field="recipient_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="alerts",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                (
                    "link",
                    fields.ForeignKeyField(
                        "models.Link",
                        source_field="link_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="alerts",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("event_key", fields.CharField(max_length=64)),
                ("event", fields.CharField(max_length=12)),
                ("ordinal", fields.IntField(null=True)),
                ("at", Instant(generated=False, null=False, unique=False)),
                (
                    "facts",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                ("due_at", Instant(generated=False, null=False, unique=False)),
                ("state", fields.CharField(default="waiting", db_default="waiting", max_length=10)),
                ("attempts", fields.IntField(default=0, db_default=0)),
                ("last_error", fields.CharField(null=True, max_length=200)),
                ("sent_at", Instant(null=True, generated=False, unique=False)),
                ("remote_id", fields.CharField(null=True, max_length=64)),
                ("fix_text", fields.TextField(null=True, unique=False)),
            ],
            options={
                "table": "alert",
                "app": "models",
                "unique_together": (("event_key", "destination", "event"),),
                "indexes": [
                    Index(fields=["state", "due_at"]),
                    Index(fields=["destination_id", "state"]),
                    Index(fields=["message_id"]),
                    Index(fields=["recipient_id"]),
                    Index(fields=["link_id"]),
                    Index(fields=["account_id"]),
                ],
                "pk_attr": "id",
                "table_description": "A row of the outbox: one thing to tell one destination. Written with the event, in its transaction.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Hit",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("uid", fields.CharField(unique=True, max_length=32)),
                ("at", Instant(generated=False, null=False, unique=False)),
                ("kind", fields.CharField(max_length=5)),
                (
                    "link",
                    fields.ForeignKeyField(
                        "models.Link",
                        source_field="link_id",
                        db_constraint=False,
                        to_field="id",
                        related_name="requests",
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
                        related_name="hits",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "recipient",
                    fields.ForeignKeyField(
                        "models.Recipient",
                        source_field="recipient_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name="hits",
                        on_delete=OnDelete.SET_NULL,
                    ),
                ),
                ("method", fields.CharField(default="GET", max_length=16)),
                ("purpose", fields.CharField(null=True, max_length=40)),
                ("agent_id", fields.BigIntField(null=True)),
                ("network", fields.CharField(null=True, max_length=43)),
                ("network_label", fields.CharField(null=True, max_length=40)),
                ("device", fields.CharField(null=True, max_length=32)),
                (
                    "headers",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                ("verdict", fields.CharField(null=True, max_length=10)),
                ("reason", fields.CharField(null=True, max_length=40)),
                (
                    "details",
                    fields.JSONField(
                        null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads
                    ),
                ),
                ("rules", fields.CharField(null=True, max_length=12)),
                ("client", fields.CharField(null=True, max_length=60)),
                ("ordinal", fields.IntField(null=True)),
                ("confirmed_by", fields.CharField(null=True, max_length=32)),
                ("folded_into", fields.CharField(null=True, max_length=32)),
                ("judged_at", Instant(null=True, generated=False, unique=False)),
            ],
            options={
                "table": "hit",
                "app": "models",
                "indexes": [Index(fields=["message_id", "at"])],
                "pk_attr": "id",
                "table_description": "One request for a pixel or a link. Full client addresses are never stored.",
            },
            bases=["Model"],
        ),
        # The judge's queue. Tortoise's own partial index writes "= null" for a condition on null.
        ops.RunSQL(
            'CREATE INDEX "idx_hit_unjudged" ON "hit" ("id") WHERE "judged_at" IS NULL',
            'DROP INDEX "idx_hit_unjudged"',
        ),
        # Counted views of one token by one device: what a repeated view folds into.
        ops.RunSQL(
            'CREATE INDEX "idx_hit_view" ON "hit" ("link_id", "agent_id", "network", "at") '
            'WHERE "ordinal" IS NOT NULL',
            'DROP INDEX "idx_hit_view"',
        ),
        # The outbox: corrections that wait, and what rang lately in one chat.
        ops.RunSQL(
            'CREATE INDEX "idx_alert_fix" ON "alert" ("destination_id") WHERE "fix_text" IS NOT NULL',
            'DROP INDEX "idx_alert_fix"',
        ),
        ops.RunSQL(
            'CREATE INDEX "idx_alert_rung" ON "alert" ("destination_id", "sent_at") '
            'WHERE "sent_at" IS NOT NULL',
            'DROP INDEX "idx_alert_rung"',
        ),
    ]
