"""What a mail that came in gives to tell: a notice in each chat of the account, rings of replies and bounces.

Called by tracker/mail/capture.py, tracker/sending/copies.py and tracker/replies inside their transactions.
Words from outside stand in it as they came, on one line: each chat escapes them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from models import Alert, Destination, Message, Recipient
from tracker.destinations import choose


class News:
    """Sentences gathered while a copy is understood, and written as outbox rows at the end."""

    def __init__(self, now: dt.datetime, account_id: int, places: Sequence[Destination], key: str) -> None:
        self._now = now
        self._account_id = account_id
        self._places = places
        self._key = f"mail:{key}"[:60]
        self._sentences: list[str] = []
        self._rings: list[dict[str, Any]] = []
        self._buttons: list[tuple[str, str]] = []

    def say(self, sentence: str) -> None:
        """One more sentence of the notice."""
        self._sentences.append(sentence)

    def offer(self, text: str, action: str) -> None:
        """A button under the notice; its action is a command line."""
        self._buttons.append((text, action))

    def ring(self, event: str, who: Recipient | None, at: dt.datetime, facts: Mapping[str, Any]) -> None:
        """A reply or a bounce, of one of the mail's recipients or of somebody else (`facts["who"]`)."""
        known = {"client": None, "via": None, "label": None, **facts}
        self._rings.append({"event": event, "recipient": who, "at": at, "facts": known})

    async def post(self, message: Message | None) -> None:
        """Writes the rows, about `message` where it is about one."""
        rows = [
            {"event_key": f"{self._key}:{place}" if place else self._key, **row}
            for place, row in enumerate(self._rings)
        ]
        if self._sentences:
            facts: dict[str, Any] = {"text": " ".join(self._sentences)}
            if self._buttons:
                facts["buttons"] = self._buttons
            rows.append({"event_key": self._key, "event": "notice", "at": self._now, "facts": facts})
        if not rows:
            return
        await Alert.bulk_create(
            (
                Alert(
                    account_id=self._account_id, destination_id=place.id, message=message,
                    due_at=self._now, **row,
                )
                for row in rows
                for place in choose(self._places, row["event"])
            ),
            ignore_conflicts=True,
        )  # fmt: skip
