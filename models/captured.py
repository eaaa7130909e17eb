"""What came in by mail, each copy once; whose addresses are whose; and what to come back to."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant
from models.mail import Message, Recipient
from models.people import Account


class OwnAddress(Model):
    """An address that an account writes mail from."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="own_addresses"
    )
    account_id: int
    address = fields.CharField(max_length=320)  # lower case
    created_at = Instant()

    class Meta:
        table = "own_address"
        unique_together = (("account", "address"),)


class Captured(Model):
    """A mail that the capture server took: the same one, sent again, is known by its key.

    state: noted (on disk, to be understood) | arming (bound, and its mail not armed by it yet) | bound (to
    the mail of its tokens) | watched (a mail without tokens) | held (from an address that is not known as
    the account's) | reply | bounce | delay (a server tries again) | auto (an out-of-office and its like) |
    ignored.
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="captured"
    )
    account_id: int
    key = fields.CharField(max_length=64)  # hash of the Message-ID, else of the mail
    state = fields.CharField(max_length=10)
    message: fields.ForeignKeyNullableRelation[Message] = fields.ForeignKeyField(
        "models.Message", null=True, related_name="captured"
    )
    message_id: int | None
    from_address = fields.CharField(max_length=320, null=True)
    recipient: fields.ForeignKeyNullableRelation[Recipient] = fields.ForeignKeyField(
        "models.Recipient", null=True, related_name="captured", on_delete=fields.SET_NULL
    )
    recipient_id: int | None  # of a reply or a bounce: whose
    via = fields.CharField(max_length=8, default="smtp", db_default="smtp")  # smtp | imap
    guessed = fields.BooleanField(default=False, db_default=False)  # matched by subject and address only
    facts: Any = fields.JSONField(null=True)  # of one that is noted, arming or held: its headers and its tag
    at = Instant()

    class Meta:
        table = "captured"
        unique_together = (("account", "key"),)
        indexes = (("message_id",), ("account_id", "state"), ("recipient_id",))


class Reminder(Model):
    """Something to come back to.

    kind: always | noopen | noreply | open (opened, no reply) | click (clicked, no reply).
    source: tag (of a capture address) | command | button | default (of the account). A reminder ends once:
    fired_at, or done_at with ended_because: done | reply | bounce | met (its condition cannot hold any
    more) | forgotten. Snoozing moves due_at.
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="reminders"
    )
    account_id: int
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField(
        "models.Message", related_name="reminders"
    )
    message_id: int
    kind = fields.CharField(max_length=8)
    recipient: fields.ForeignKeyNullableRelation[Recipient] = fields.ForeignKeyField(
        "models.Recipient", null=True, related_name="reminders", on_delete=fields.CASCADE
    )
    recipient_id: int | None  # null: about the mail as a whole
    source = fields.CharField(max_length=10, default="tag", db_default="tag")
    text = fields.CharField(max_length=200, null=True)  # the owner's own words
    due_at = Instant()
    created_at = Instant()
    was_kind = fields.CharField(max_length=8, null=True)  # before opens turned out not to be reliable
    fired_at = Instant(null=True)
    done_at = Instant(null=True)
    ended_because = fields.CharField(max_length=12, null=True)
    details: Any = fields.JSONField(null=True)  # how it was ordered ("2 working days"), for a new reckoning

    class Meta:
        table = "reminder"
        unique_together = (("message", "kind", "due_at"),)
        # Those that wait are found by due_at through a partial index: see migration 0007.
        indexes = (("account_id",), ("recipient_id",))
