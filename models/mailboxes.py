"""The mailboxes that accounts send through and watch, and the copies that wait to be sent."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant
from models.mail import Message, Recipient
from models.people import Account


class Mailbox(Model):
    """An address of an account at its provider: how to log in there, and how mail programs log in here."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="mailboxes"
    )
    account_id: int
    address = fields.CharField(max_length=320)  # lower case
    provider = fields.CharField(max_length=16)  # gmail | microsoft | icloud | … | other
    auth = fields.CharField(max_length=8, default="password", db_default="password")  # password | xoauth2
    username = fields.CharField(max_length=320, default="", db_default="")
    secret = fields.TextField(null=True)  # encrypted password, or refresh token
    created_at = Instant()
    # Sending.
    smtp_host = fields.CharField(max_length=253)
    smtp_port = fields.IntField()
    smtp_security = fields.CharField(max_length=8)  # none | starttls | tls
    checked_at = Instant(null=True)  # when a login last worked
    failed_at = Instant(null=True)  # since when the provider refuses the login; null = it works
    failure = fields.CharField(max_length=300, null=True)  # in the provider's words
    told_at = Instant(null=True)  # when the account heard of it
    # What a mail program logs in with at our submission server.
    submission_user = fields.CharField(max_length=64, null=True, unique=True)
    submission_digest = fields.CharField(max_length=200, null=True)  # scrypt
    # Watching for replies by IMAP; off where imap_on is false.
    imap_on = fields.BooleanField(default=False, db_default=False)
    imap_host = fields.CharField(max_length=253, null=True)
    imap_port = fields.IntField(null=True)
    imap_security = fields.CharField(max_length=8, null=True)
    imap_validity = fields.BigIntField(null=True)  # UIDVALIDITY that imap_next belongs to
    imap_next = fields.BigIntField(null=True)  # first UID that was not looked at
    imap_seen_at = Instant(null=True)  # when the watcher last heard from the server
    imap_failed_at = Instant(null=True)
    imap_failure = fields.CharField(max_length=300, null=True)
    imap_told_at = Instant(null=True)
    # One worker watches a mailbox.
    leased_by = fields.CharField(max_length=64, null=True)
    leased_until = Instant(null=True)
    details: Any = fields.JSONField(null=True)

    class Meta:
        table = "mailbox"
        unique_together = (("account", "address"),)
        indexes = (("imap_on", "leased_until"),)


class Outgoing(Model):
    """One envelope recipient's copy of a mail that the submission server took. The mail is in the spool.

    state: waiting → sent | failed | stopped (by its owner).
    """

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="outgoing"
    )
    account_id: int
    mailbox: fields.ForeignKeyNullableRelation[Mailbox] = fields.ForeignKeyField(
        "models.Mailbox", null=True, related_name="outgoing", on_delete=fields.SET_NULL
    )
    mailbox_id: int | None
    message: fields.ForeignKeyNullableRelation[Message] = fields.ForeignKeyField(
        "models.Message", null=True, related_name="outgoing", on_delete=fields.SET_NULL
    )
    message_id: int | None
    recipient: fields.ForeignKeyNullableRelation[Recipient] = fields.ForeignKeyField(
        "models.Recipient", null=True, related_name="outgoing", on_delete=fields.SET_NULL
    )
    recipient_id: int | None
    spool = fields.CharField(max_length=64)  # name of the file in the spool
    sender = fields.CharField(max_length=320)  # envelope sender
    address = fields.CharField(max_length=320)  # envelope recipient
    state = fields.CharField(max_length=10, default="waiting", db_default="waiting")
    attempts = fields.IntField(default=0, db_default=0)
    next_at = Instant()  # when to try (again)
    last_error = fields.CharField(max_length=300, null=True)  # in the provider's words
    maybe_sent = fields.BooleanField(default=False, db_default=False)  # an answer got lost: may go twice
    accepted_at = Instant()
    sent_at = Instant(null=True)
    told_late_at = Instant(null=True)
    leased_by = fields.CharField(max_length=64, null=True)
    leased_until = Instant(null=True)
    details: Any = fields.JSONField(null=True)

    class Meta:
        table = "outgoing"
        unique_together = (("spool", "address"),)
        indexes = (("state", "next_at"), ("account_id",), ("mailbox_id",), ("message_id",), ("recipient_id",))


class Audit(Model):
    """That something about a person was erased or handed over: the person only by a keyed hash."""

    id = fields.BigIntField(primary_key=True)
    at = Instant()
    account: fields.ForeignKeyNullableRelation[Account] = fields.ForeignKeyField(
        "models.Account", null=True, related_name="audits", on_delete=fields.SET_NULL
    )
    account_id: int | None
    action = fields.CharField(max_length=16)  # forget | export | opt-out | retention
    digest = fields.CharField(max_length=64, null=True)
    counts: Any = fields.JSONField(null=True)

    class Meta:
        table = "audit"
        indexes = (("at",), ("account_id",))
