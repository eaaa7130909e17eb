"""Sums that are read in place of many rows. All of them can be worked out anew from mails and hits.

Written by tracker/insights/rollups.py and habits.py alone. None of these rows holds an address.
"""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant
from models.people import Account, Person


class Stale(Model):
    """A mail, or a person, whose sums are older than its rows: written in the transaction of what changed.

    No foreign keys: the row is needed most where its mail is gone. Many rows may name one mail.
    """

    id = fields.BigIntField(primary_key=True)
    account_id = fields.BigIntField()
    message_id = fields.BigIntField(null=True)
    person_id = fields.BigIntField(null=True)

    class Meta:
        table = "stale"


class _Sums(Model):
    """Mails of one hour, and what became of them."""

    account_id = fields.BigIntField()
    hour = fields.IntField()  # in which they were made, since 1970 UTC
    mails = fields.BigIntField(default=0, db_default=0)  # that are tracked
    opened = fields.BigIntField(default=0, db_default=0)
    clicked = fields.BigIntField(default=0, db_default=0)
    linked = fields.BigIntField(default=0, db_default=0)  # with a link to click
    replied = fields.BigIntField(default=0, db_default=0)
    opens = fields.BigIntField(default=0, db_default=0)
    clicks = fields.BigIntField(default=0, db_default=0)
    # Hits by class.
    human = fields.BigIntField(default=0, db_default=0)
    proxied = fields.BigIntField(default=0, db_default=0)
    privacy = fields.BigIntField(default=0, db_default=0)
    prefetch = fields.BigIntField(default=0, db_default=0)
    scanner = fields.BigIntField(default=0, db_default=0)
    unfurler = fields.BigIntField(default=0, db_default=0)
    bot = fields.BigIntField(default=0, db_default=0)
    sender = fields.BigIntField(default=0, db_default=0)
    duplicate = fields.BigIntField(default=0, db_default=0)
    unknown = fields.BigIntField(default=0, db_default=0)

    class Meta:
        abstract = True


class MailSum(_Sums):
    """What one mail adds to its hour: taken out again when the mail changes or goes."""

    id = fields.BigIntField(primary_key=True, generated=False)  # of the mail
    revision = fields.IntField()  # of the mail, when this was worked out

    class Meta:
        table = "mail_sum"


class HourSum(_Sums):
    """The mails that an account made in one hour, together."""

    id = fields.BigIntField(primary_key=True)

    class Meta:
        table = "hour_sum"
        unique_together = (("account_id", "hour"),)


class PersonSum(Model):
    """What is known of a person's reading, over all mails to them: see tracker/insights/people.py."""

    id = fields.BigIntField(primary_key=True)
    person: fields.ForeignKeyRelation[Person] = fields.ForeignKeyField("models.Person", related_name="sums")
    person_id: int
    account_id = fields.BigIntField()
    mails = fields.IntField(default=0, db_default=0)
    tracked = fields.IntField(default=0, db_default=0)  # where an open can be seen
    opened = fields.IntField(default=0, db_default=0)  # of the tracked ones
    answered = fields.IntField(default=0, db_default=0)
    opens = fields.IntField(default=0, db_default=0)
    clicks = fields.IntField(default=0, db_default=0)
    unseen = fields.IntField(default=0, db_default=0)  # tracked ones since they were last seen
    sent_at = Instant(null=True)  # the newest mail
    first_at = Instant(null=True)  # first seen
    seen_at = Instant(null=True)  # last seen: an open, a click or a reply
    third_at = Instant(null=True)  # the last but two open of one mail, while that is news

    class Meta:
        table = "person_sum"
        unique_together = (("person",),)
        indexes = (
            ("account_id", "seen_at"),
            ("account_id", "third_at"),
            ("account_id", "first_at"),
            ("account_id", "answered", "opened"),
            ("account_id", "unseen"),
        )


class Habit(Model):
    """What is usual among everybody an account writes to: see tracker/insights/best.py."""

    id = fields.BigIntField(primary_key=True)
    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name="habits"
    )
    account_id: int
    at = Instant()
    zone = fields.CharField(max_length=64, default="", db_default="")  # of the account, then
    facts: Any = fields.JSONField()

    class Meta:
        table = "habit"
        unique_together = (("account",),)
