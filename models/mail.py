"""A tracked mail, its recipients, and the tokens that stand in it."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant
from models.people import Account, Person


class Message(Model):
    """One mail. Its counters are the sums over recipients and shared tokens, written by the judge."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="messages"
    )
    account_id: int
    code = fields.CharField(max_length=12, unique=True)  # the short name people type and see: "k7m2qx"
    subject = fields.CharField(max_length=255, default="", db_default="")
    origin = fields.CharField(max_length=12)  # compose | list | demo | send | capture
    mode = fields.CharField(max_length=8, default="full", db_default="full")  # full | clicks | off
    created_at = Instant()
    # Arming: see tracker/hits/arming.py. armed_at is set by `sent` or by the BCC copy, else arms_at counts.
    arms_at = Instant()
    armed_at = Instant(null=True)
    armed_by = fields.CharField(max_length=12, null=True)  # sent | capture | provider
    # What the captured or relayed mail says.
    message_id_header = fields.CharField(max_length=998, null=True)  # without the angle brackets
    sent_at = Instant(null=True)  # its Date header
    captured_at = Instant(null=True)
    handed_over_at = Instant(null=True)  # the provider's 250
    from_address = fields.CharField(max_length=320, null=True)
    # Counted (human + proxied) and all hits.
    opens = fields.IntField(default=0, db_default=0)
    clicks = fields.IntField(default=0, db_default=0)
    total_opens = fields.IntField(default=0, db_default=0)
    total_clicks = fields.IntField(default=0, db_default=0)
    first_open_at = Instant(null=True)
    last_open_at = Instant(null=True)
    first_click_at = Instant(null=True)
    last_click_at = Instant(null=True)
    last_event_at = Instant(null=True)  # newest counted event
    replied_at = Instant(null=True)
    closed_at = Instant(null=True)
    # How often verdicts, or what they rest on, were written: two who judge one mail at once notice it here.
    revision = fields.IntField(default=0, db_default=0)
    ring_opens = fields.CharField(max_length=12, null=True)  # overrides the account's policy
    ring_clicks = fields.CharField(max_length=12, null=True)
    muted = fields.BooleanField(default=False, db_default=False)
    muted_until = Instant(null=True)
    details: Any = fields.JSONField(null=True)

    recipients: fields.ReverseRelation[Recipient]
    links: fields.ReverseRelation[Link]

    class Meta:
        table = "message"
        indexes = (("account_id", "created_at"), ("account_id", "last_event_at"), ("message_id_header",))


class Recipient(Model):
    """One address a mail went to, with what is known of it."""

    id = fields.BigIntField(primary_key=True)
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField(
        "models.Message", related_name="recipients"
    )
    message_id: int
    person: fields.ForeignKeyNullableRelation[Person] = fields.ForeignKeyField(
        "models.Person", null=True, related_name="recipients", on_delete=fields.SET_NULL
    )
    person_id: int | None
    address = fields.CharField(max_length=320)  # lower case
    name = fields.CharField(max_length=200, default="", db_default="")
    position = fields.IntField(default=0, db_default=0)
    opens = fields.IntField(default=0, db_default=0)
    clicks = fields.IntField(default=0, db_default=0)
    total_opens = fields.IntField(default=0, db_default=0)
    total_clicks = fields.IntField(default=0, db_default=0)
    first_open_at = Instant(null=True)
    last_open_at = Instant(null=True)
    first_click_at = Instant(null=True)
    last_click_at = Instant(null=True)
    loaded_at = Instant(null=True)  # first load by Apple Mail Privacy Protection
    handed_over_at = Instant(null=True)
    replied_at = Instant(null=True)
    bounced_at = Instant(null=True)
    opted_out_at = Instant(null=True)
    details: Any = fields.JSONField(null=True)

    class Meta:
        table = "recipient"
        unique_together = (("message", "address"),)
        indexes = (("person_id",), ("address",))


class Link(Model):
    """A token that stands in a mail: its pixel (kind open) or one of its links (kind click).

    `recipient` is null where several people share the token. Token and target stay for as long as the mail's
    owner keeps the mail: a link in somebody's mailbox goes on working, whatever was forgotten.
    """

    id = fields.BigIntField(primary_key=True)
    token = fields.CharField(max_length=22, unique=True)  # 128 random bits, URL-safe base64
    kind = fields.CharField(max_length=5)  # open | click
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField(
        "models.Message", related_name="links"
    )
    message_id: int
    recipient: fields.ForeignKeyNullableRelation[Recipient] = fields.ForeignKeyField(
        "models.Recipient", null=True, related_name="links", on_delete=fields.SET_NULL
    )
    recipient_id: int | None
    target = fields.TextField(null=True)  # where a click goes; null for a pixel
    label = fields.CharField(max_length=120, default="", db_default="")  # what people read: "acme.com/deck"
    position = fields.IntField(default=0, db_default=0)
    recording = fields.BooleanField(default=True, db_default=True)  # false: opted out, expired or forgotten
    hits = fields.IntField(default=0, db_default=0)
    counted = fields.IntField(default=0, db_default=0)
    created_at = Instant()

    class Meta:
        table = "link"
        indexes = (("message_id",), ("recipient_id",))
