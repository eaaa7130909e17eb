"""What came in by mail: each copy once, whose addresses are whose, and the reminders that a tag ordered."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant
from models.mail import Message
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

    state: bound (to the mail of its tokens) | watched (a mail without tokens) | held (from an address that
    is not known as the account's) | reply | bounce | ignored.
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
    facts: Any = fields.JSONField(null=True)  # of a held mail: its headers and its tag
    at = Instant()

    class Meta:
        table = "captured"
        unique_together = (("account", "key"),)
        indexes = (("message_id",), ("account_id", "state"))


class Reminder(Model):
    """Something to come back to, as the tag of a capture address ordered it.

    kind: always | noopen | noreply | open (opened, no reply) | click (clicked, no reply).
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
    due_at = Instant()
    created_at = Instant()
    done_at = Instant(null=True)

    class Meta:
        table = "reminder"
        unique_together = (("message", "kind", "due_at"),)
        indexes = (("due_at",), ("account_id",))
