"""What reached the tracker: raw facts at arrival, then what the judge made of them."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant
from models.mail import Link, Message, Recipient
from models.people import Account


class Agent(Model):
    """A user agent, stored once. The id is worked out from the text, so that recording needs no look-up."""

    id = fields.BigIntField(primary_key=True, generated=False)
    text = fields.TextField()

    class Meta:
        table = "agent"


class Hit(Model):
    """One request for a pixel or a link. Full client addresses are never stored."""

    id = fields.BigIntField(primary_key=True)
    uid = fields.CharField(max_length=32, unique=True)  # made at arrival; a replayed hit is stored once
    at = Instant()  # arrival
    kind = fields.CharField(max_length=5)  # open | click
    # Neither link nor recipient has an index or a constraint of its own: each index here dirties a page for
    # each hit before its answer goes out. A mail's hits are found, and deleted, by the mail.
    link: fields.ForeignKeyRelation[Link] = fields.ForeignKeyField(
        "models.Link", related_name="requests", db_constraint=False
    )
    link_id: int
    message: fields.ForeignKeyRelation[Message] = fields.ForeignKeyField(
        "models.Message", related_name="hits"
    )
    message_id: int
    recipient: fields.ForeignKeyNullableRelation[Recipient] = fields.ForeignKeyField(
        "models.Recipient", null=True, related_name="hits", on_delete=fields.SET_NULL, db_constraint=False
    )
    recipient_id: int | None
    method = fields.CharField(max_length=16, default="GET")
    purpose = fields.CharField(max_length=40, null=True)  # Sec-Purpose, Purpose, X-Purpose or X-Moz
    agent_id = fields.BigIntField(null=True)  # Agent.id; null where there was no user agent
    network = fields.CharField(max_length=43, null=True)  # "203.0.113.0/24", "2001:db8:1::/48"
    network_label = fields.CharField(max_length=40, null=True)  # from the full address, at arrival
    device = fields.CharField(max_length=32, null=True)  # keyed hash of full address and user agent
    headers: Any = fields.JSONField(null=True)
    # The verdict; null until judged.
    verdict = fields.CharField(max_length=10, null=True)  # see tracker/hits/classes.py
    reason = fields.CharField(max_length=40, null=True)
    details: Any = fields.JSONField(null=True)
    rules = fields.CharField(max_length=12, null=True)
    client = fields.CharField(max_length=60, null=True)  # "Apple Mail", "Gmail", "Chrome on Windows"
    ordinal = fields.IntField(null=True)  # of the recipient's counted hits of this kind
    confirmed_by = fields.CharField(max_length=32, null=True)  # uid of the click, or reply:<id>
    folded_into = fields.CharField(max_length=32, null=True)  # uid of the hit that this one repeats
    judged_at = Instant(null=True)

    class Meta:
        table = "hit"
        indexes = (("message_id", "at"),)


class Pack(Model):
    """Hits that came in a crowd, until they are rows of their own: see models/sqlite_packs.py.

    On PostgreSQL there are none.
    """

    id = fields.BigIntField(primary_key=True)
    hits = fields.TextField()  # JSON, a list for each
    count = fields.IntField()

    class Meta:
        table = "pack"


class OwnDevice(Model):
    """A device known to be the sender's own, learned from the copy page or "that was me"."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="own_devices"
    )
    account_id: int
    device = fields.CharField(max_length=32)  # as Hit.device
    source = fields.CharField(max_length=16)  # copy-page | submission
    seen_at = Instant()

    class Meta:
        table = "own_device"
        unique_together = (("account", "device"),)


class Taught(Model):
    """What an account said of one of its hits: "that was me", or "not a person".

    The hit is the account's own word; `device`, or `network` and `agent_id`, carry it to others like it, and
    are null where many people share them. A row that is undone goes when history was judged anew without it.
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="taught"
    )
    account_id: int
    message: fields.ForeignKeyNullableRelation[Message] = fields.ForeignKeyField(
        "models.Message", null=True, related_name="taught", on_delete=fields.SET_NULL
    )
    message_id: int | None
    uid = fields.CharField(max_length=32)  # Hit.uid
    answer = fields.CharField(max_length=8)  # me | machine
    device = fields.CharField(max_length=32, null=True)  # as Hit.device
    network = fields.CharField(max_length=43, null=True)
    agent_id = fields.BigIntField(null=True)  # with a network: of this program only; null = of none
    client = fields.CharField(max_length=60, null=True)  # for people who read the list
    at = Instant()  # when it was said
    undone_at = Instant(null=True)
    # Judging history anew: null = still to do; then up to which mail, and when it was done.
    reached = fields.BigIntField(null=True)
    applied_at = Instant(null=True)

    class Meta:
        table = "taught"
        unique_together = (("account", "uid"),)
        indexes = (("message_id",),)
