"""Who uses this instance, where their chats are, and whom they write to."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant


class Account(Model):
    """One person who sends mail. Every other row belongs to an account, every query is scoped by it."""

    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=120, default="", db_default="")
    is_owner = fields.BooleanField(default=False, db_default=False)
    created_at = Instant()
    mode = fields.CharField(max_length=8, default="full", db_default="full")  # full | clicks | off
    ring_opens = fields.CharField(
        max_length=12, default="all", db_default="all"
    )  # all | important | first | none
    ring_clicks = fields.CharField(max_length=12, default="all", db_default="all")
    muted_until = Instant(null=True)
    timezone = fields.CharField(max_length=64, null=True)
    quiet_hours: Any = fields.JSONField(null=True)
    preferences: Any = fields.JSONField(null=True)
    capture_secret = fields.CharField(max_length=64, null=True, unique=True)
    capture_public = fields.CharField(max_length=64, null=True, unique=True)

    class Meta:
        table = "account"


class Identity(Model):
    """A chat user (Slack user, Telegram user, the console) who acts for an account."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="identities"
    )
    account_id: int
    platform = fields.CharField(max_length=16)  # slack | telegram | console
    workspace = fields.CharField(max_length=64, default="", db_default="")  # Slack team; empty elsewhere
    user_id = fields.CharField(max_length=64)
    name = fields.CharField(max_length=120, default="", db_default="")
    created_at = Instant()

    class Meta:
        table = "identity"
        unique_together = (("platform", "workspace", "user_id"),)
        indexes = (("account_id",),)


class Destination(Model):
    """A chat that an account's rings go to: a private chat with the bot, a channel, a group's topic."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="destinations"
    )
    account_id: int
    platform = fields.CharField(max_length=16)
    workspace = fields.CharField(max_length=64, default="", db_default="")
    chat_id = fields.CharField(max_length=64)
    thread_id = fields.CharField(max_length=64, default="", db_default="")
    title = fields.CharField(max_length=120, default="", db_default="")
    private = fields.BooleanField(default=True, db_default=True)
    purpose = fields.CharField(max_length=32, null=True)
    created_at = Instant()
    # Switched off by a permanent refusal (blocked bot, archived channel) or by the owner; null = on.
    off_at = Instant(null=True)
    off_reason = fields.CharField(max_length=200, null=True)
    muted_until = Instant(null=True)
    # The chat asked us to wait (429, back-off): nothing is sent before.
    wait_until = Instant(null=True)
    failures = fields.IntField(default=0, db_default=0)
    # One worker at a time serves a destination, so that order and folding hold.
    leased_by = fields.CharField(max_length=64, null=True)
    leased_until = Instant(null=True)

    class Meta:
        table = "destination"
        unique_together = (("account", "platform", "workspace", "chat_id", "thread_id"),)
        indexes = (("platform", "workspace", "chat_id"),)


class Person(Model):
    """Somebody an account writes to: what is set or learned per address, across mails."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="people"
    )
    account_id: int
    address = fields.CharField(max_length=320)  # lower case
    name = fields.CharField(max_length=200, default="", db_default="")
    created_at = Instant()
    ring_opens = fields.CharField(max_length=12, null=True)
    ring_clicks = fields.CharField(max_length=12, null=True)
    muted = fields.BooleanField(default=False, db_default=False)
    muted_until = Instant(null=True)
    timezone = fields.CharField(max_length=64, null=True)
    learned: Any = fields.JSONField(null=True)  # what is known of their side (Apple privacy, scanner…)

    class Meta:
        table = "person"
        unique_together = (("account", "address"),)


class AccessCode(Model):
    """A single-use way in: the first claim, an invitation, or linking one's own second chat."""

    id = fields.BigIntField(primary_key=True)
    digest = fields.CharField(max_length=64, unique=True)  # keyed hash; the code itself is shown once
    kind = fields.CharField(max_length=8)  # claim | invite | link
    account: fields.ForeignKeyNullableRelation[Account] = fields.ForeignKeyField(
        "models.Account", null=True, related_name="access_codes"
    )
    account_id: int | None
    created_at = Instant()
    expires_at = Instant(null=True)
    used_at = Instant(null=True)
    used_by = fields.BigIntField(null=True)  # identity id

    class Meta:
        table = "access_code"
        indexes = (("account_id",),)


class OptOut(Model):
    """An address that must not be tracked, known only by its keyed hash."""

    id = fields.BigIntField(primary_key=True)
    digest = fields.CharField(max_length=64, unique=True)
    at = Instant()

    class Meta:
        table = "opt_out"


class InstanceState(Model):
    """Single facts of this instance, such as the open claim code."""

    key = fields.CharField(max_length=64, primary_key=True)
    value = fields.TextField()

    class Meta:
        table = "instance_state"
