"""What the chats themselves need kept: events already seen, dialogues half done."""

from __future__ import annotations

from typing import Any

from tortoise import fields
from tortoise.models import Model

from models.columns import Instant


class InboundEvent(Model):
    """An event or update that a chat platform delivered: delivered again, it is not acted on again."""

    id = fields.BigIntField(primary_key=True)
    platform = fields.CharField(max_length=16)
    event_id = fields.CharField(max_length=100)
    at = Instant()

    class Meta:
        table = "inbound_event"
        unique_together = (("platform", "event_id"),)
        indexes = (("at",),)


class Dialogue(Model):
    """Questions asked step by step in one chat with one user, until answered or cancelled."""

    id = fields.BigIntField(primary_key=True)
    platform = fields.CharField(max_length=16)
    chat_id = fields.CharField(max_length=64)
    user_id = fields.CharField(max_length=64)
    verb = fields.CharField(max_length=16)
    step = fields.CharField(max_length=16)
    answers: Any = fields.JSONField(default=dict)
    updated_at = Instant()

    class Meta:
        table = "dialogue"
        unique_together = (("platform", "chat_id", "user_id"),)
