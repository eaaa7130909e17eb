"""What has to be told: one card for each mail and destination, and the outbox of audible messages."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant
from models.mail import Link, Message, Recipient
from models.people import Account, Destination


class Card(Model):
    """The standing message about a mail in one chat, edited in place when the mail's state changes."""

    id = fields.BigIntField(primary_key=True)
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField(
        "models.Message", related_name="cards"
    )
    message_id: int
    destination: fields.ForeignKeyRelation[Destination] = fields.ForeignKeyField(
        "models.Destination", related_name="cards"
    )
    destination_id: int
    remote_id = fields.CharField(max_length=64, null=True)  # Slack ts, Telegram id; null = not posted
    shown = fields.CharField(max_length=64, null=True)  # hash of what the chat shows now
    dirty_at = Instant(null=True)  # since when the chat shows less than we know; null = up to date
    created_at = Instant()
    posted_at = Instant(null=True)

    class Meta:
        table = "card"
        unique_together = (("message", "destination"),)
        indexes = (("destination_id", "dirty_at"),)


class Alert(Model):
    """A row of the outbox: one thing to tell one destination. Written with the event, in its transaction.

    state: waiting → sent | folded (named in a digest) | silenced (muted) | withdrawn (judged anew before it
    rang) | dropped (its destination died). A sent alert whose event was judged anew has fix_text until
    the chat's message is corrected in place; an empty one where just its ordinal changed.
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="alerts"
    )
    account_id: int
    destination: fields.ForeignKeyRelation[Destination] = fields.ForeignKeyField(
        "models.Destination", related_name="alerts"
    )
    destination_id: int
    message: fields.ForeignKeyNullableRelation[Message] = fields.ForeignKeyField(
        "models.Message", null=True, related_name="alerts"
    )
    message_id: int | None
    recipient: fields.ForeignKeyNullableRelation[Recipient] = fields.ForeignKeyField(
        "models.Recipient", null=True, related_name="alerts", on_delete=fields.SET_NULL
    )
    recipient_id: int | None
    link: fields.ForeignKeyNullableRelation[Link] = fields.ForeignKeyField(
        "models.Link", null=True, related_name="alerts"
    )
    link_id: int | None
    event_key = fields.CharField(max_length=64)  # hit uid, or what else makes the event one
    event = fields.CharField(max_length=12)  # open | click | hot | revived | reply | bounce | notice
    ordinal = fields.IntField(null=True)
    at = Instant()  # when the event happened
    # What the text needs beyond the rows: client, via…; of a notice, the text itself.
    facts: Any = fields.JSONField(null=True)
    due_at = Instant()  # not before (clicks are held)
    state = fields.CharField(max_length=10, default="waiting", db_default="waiting")
    attempts = fields.IntField(default=0, db_default=0)
    last_error = fields.CharField(max_length=200, null=True)
    sent_at = Instant(null=True)
    remote_id = fields.CharField(max_length=64, null=True)
    fix_text = fields.TextField(null=True)

    class Meta:
        table = "alert"
        unique_together = (("event_key", "destination", "event"),)
        indexes = (
            ("state", "due_at"),
            ("destination_id", "state"),
            ("message_id",),
            ("recipient_id",),
            ("link_id",),
            ("account_id",),
        )
