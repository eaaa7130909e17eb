"""What a captured mail gives to tell: one notice in each chat of the account, or the ring of a reply.

Called by tracker/mail/capture.py inside its transaction. Words from outside stand in it as they came, on one
line: each chat escapes them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from models import Alert, Destination, Message, Recipient


class News:
    """Sentences gathered while a copy is understood, and written as outbox rows at the end."""

    def __init__(self, now: dt.datetime, account_id: int, places: Sequence[Destination], key: str) -> None:
        self._now = now
        self._account_id = account_id
        self._places = places
        self._key = f"mail:{key}"[:64]
        self._sentences: list[str] = []
        self._reply: dict[str, Any] | None = None

    def say(self, sentence: str) -> None:
        """One more sentence of the notice."""
        self._sentences.append(sentence)

    def ring_reply(self, who: Recipient | None, address: str, at: dt.datetime) -> None:
        """Somebody answered: one of the mail's recipients, or another address."""
        facts = {"who": address, "client": None, "via": None, "label": None}
        self._reply = {"event": "reply", "recipient": who, "at": at, "facts": facts}

    async def post(self, message: Message | None) -> None:
        """Writes the rows, about `message` where it is about one."""
        rows: list[dict[str, Any]] = [self._reply] if self._reply else []
        if self._sentences:
            rows.append({"event": "notice", "at": self._now, "facts": {"text": " ".join(self._sentences)}})
        await Alert.bulk_create(
            (
                Alert(
                    account_id=self._account_id, destination_id=place.id, message=message,
                    event_key=self._key, due_at=self._now, **row,
                )
                for place in self._places
                for row in rows
            ),
            ignore_conflicts=True,
        )  # fmt: skip
