"""The lane of one mailbox: its mails that wait for their turn, and how its provider was found lately.

Used by the relay (tracker/sending/relay.py), which fills and works it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from models import Outgoing
from tracker.sending import outcomes
from tracker.sending.upstream import UpstreamError
from tracker.services import Services

DOWN_FOR = dt.timedelta(seconds=10)  # that long a provider that was not reached is not asked again


@dataclass
class Lane:
    """`mailbox_id` is None for mails of mailboxes that are gone."""

    mailbox_id: int | None
    names: deque[str] = field(default_factory=deque)
    senders: set[asyncio.Task[None]] = field(default_factory=set)
    down: tuple[dt.datetime, UpstreamError] | None = None  # until when, and why
    held: set[str] = field(default_factory=set)  # until the mailbox is connected anew

    def found(self) -> None:
        """The provider was reached."""
        self.down = None

    def not_found(self, now: dt.datetime, error: UpstreamError) -> None:
        """The provider was not reached just now."""
        self.down = now + DOWN_FOR, error

    async def put_off(self, services: Services, due: Sequence[Outgoing]) -> bool:
        """Whether the provider was not reached a moment ago; then these wait as well."""
        if self.down is None or not self.down[0] - DOWN_FOR <= services.now() < self.down[0]:
            return False
        await outcomes.note_later(services, due, str(self.down[1]))
        return True
