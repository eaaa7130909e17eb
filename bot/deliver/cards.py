"""Cards of one destination: posted once, then edited in place, each at most about once a second.

A card that changes all the time is edited less and less often, and a destination gets a few edits a second:
no chat takes more, and under load drawing must not cost what recording needs. The last state is always drawn.

A card counts as up to date only when, in the transaction that says so, what is shown equals what is known:
news that come while the chat is being called leave it dirty.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import Counter
from dataclasses import dataclass

from tortoise.expressions import Q

from bot.chat import LostError, RefusedError, Reply
from bot.deliver.line import Line, UnexpectedError
from bot.deliver.outbox import Target
from bot.deliver.storing import insist
from bot.render import card, fingerprint
from bot.words import zone_of
from models import Card
from models.database import atomically
from tracker.insights.snapshot import snapshot
from tracker.mail.traces import leave_late_trace
from tracker.services import Services

EDIT_EVERY = dt.timedelta(seconds=1)
LONGEST_GAP = 8 * EDIT_EVERY  # between two edits of a card that does not come to rest
EDITS_AT_ONCE = 25  # of one destination; then one each…
EDIT_STEP = dt.timedelta(milliseconds=250)
MOST_AHEAD = 2 * EDITS_AT_ONCE * EDIT_STEP  # more than edits are ever used up in advance
GATHER = dt.timedelta(milliseconds=250)  # what may be drawn soon is drawn in one turn
BATCH = 50
JUST_MADE = dt.timedelta(minutes=10)  # whoever made a mail is there, also in quiet hours
LOOK_AGAIN = dt.timedelta(seconds=30)  # whether quiet hours still hold new cards
MOST_SURPRISES = 5  # faults of an unknown kind before a card is left until it changes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Drawn:
    at: dt.datetime
    gap: dt.timedelta  # to the next edit


class Pace:
    """When each card was last drawn, in this process, so that many hits become one edit."""

    def __init__(self) -> None:
        self._drawn: dict[int, _Drawn] = {}
        self._edits: dict[int, dt.datetime] = {}  # destination → until when its edits are used up
        self._surprises: Counter[int] = Counter()

    def note(self, card_id: int, target_id: int | None, now: dt.datetime) -> None:
        """The card was drawn; as an edit at the destination `target_id`, or posted anew (None).

        Drawn again as soon as it may be, it has to wait twice as long each time.
        """
        last, gap = self._drawn.get(card_id), EDIT_EVERY
        if last is not None and now < last.at + 2 * last.gap:
            gap = min(2 * last.gap, LONGEST_GAP)
        self._drawn[card_id] = _Drawn(now, gap)
        if target_id is not None:
            until = self._edits.get(target_id, now)
            until = until if until <= now + MOST_AHEAD else now
            self._edits[target_id] = max(until, now) + EDIT_STEP
        self._surprises.pop(card_id, None)

    def is_hopeless(self, card_id: int) -> bool:
        """Called at each fault of an unknown kind: whether the card should be left as it is."""
        self._surprises[card_id] += 1
        return self._surprises[card_id] > MOST_SURPRISES

    def wait_until(self, card_id: int, target_id: int, now: dt.datetime) -> dt.datetime | None:
        """When the card may be drawn again; None = now."""
        moments = []
        drawn, used = self._drawn.get(card_id), self._edits.get(target_id)
        # What is of a later time than now was noted before the clock was put back.
        if drawn is not None and drawn.at <= now:
            moments.append(drawn.at + drawn.gap)
        if used is not None and used <= now + MOST_AHEAD:
            moments.append(used - (EDITS_AT_ONCE - 1) * EDIT_STEP)
        latest = max(moments, default=now)
        return latest if latest > now else None

    def forget_old(self, now: dt.datetime) -> None:
        self._drawn = {id_: one for id_, one in self._drawn.items() if one.at + 2 * one.gap > now}
        self._edits = {id_: until for id_, until in self._edits.items() if until > now}


@dataclass
class Cards:
    """The cards of one destination during one turn."""

    services: Services
    line: Line
    target: Target
    pace: Pace
    stopping: asyncio.Event
    drawn: int = 0  # messages posted or edited
    later: dt.datetime | None = None  # when the next one may be drawn

    async def draw_dirty(self) -> None:
        """Posts what is missing, edits what changed. Raises ChatError but for Lost and Refused."""
        dirty = Card.filter(destination_id=self.target.id, dirty_at__gt=dt.datetime.fromtimestamp(0, dt.UTC))
        now = self.services.now()
        if self.target.quiet_until(now) is not None:
            # An edit makes no sound, a new message does; for a mail that is just being made it is expected.
            here = Q(remote_id__isnull=False) | Q(created_at__gt=now - JUST_MADE)
            self.later = now + LOOK_AGAIN if await dirty.filter(~here).exists() else None
            dirty = dirty.filter(here)
        cards = await dirty.order_by("dirty_at", "id").limit(BATCH)
        for one in cards:
            if self.stopping.is_set():
                return
            now = self.services.now()
            # A card that was never posted waits for no edits.
            wait = self.pace.wait_until(one.id, self.target.id, now) if one.remote_id else None
            if wait is None:
                await self._draw(one)
            elif self.later is None or wait < self.later:
                self.later = max(wait, now + GATHER) if self.drawn else wait
        if len(cards) == BATCH and self.drawn and self.later is None:
            self.later = self.services.now()  # there may be more

    async def post(self, card_id: int) -> str | None:
        """The remote id of a card that a ring refers to, posted now if it never was; None: it has none."""
        one = await Card.get_or_none(id=card_id)
        if one is None or one.remote_id:
            return one.remote_id if one else None
        return await self._draw(one)

    async def post_anew(self, card_id: int) -> str | None:
        """Posts a card again whose message is gone from the chat."""
        await Card.filter(id=card_id).update(remote_id=None, shown=None, dirty_at=self.services.now())
        return await self.post(card_id)

    async def _draw(self, one: Card) -> str | None:
        """Makes the chat show the card as it is now; its remote id."""
        now = self.services.now()
        reply = await self._render(one.message_id)
        if reply is None:
            return None
        seen = fingerprint(reply)
        remote_id = one.remote_id
        if seen != one.shown:
            remote_id = await self._show(one.id, remote_id, reply)
            self.drawn += 1
            self.pace.note(one.id, self.target.id if one.remote_id else None, now)
        posted_at = one.posted_at or (now if remote_id else None)
        await insist(lambda: self._confirm(one, remote_id, seen, posted_at), self.stopping)
        return remote_id

    async def _show(self, card_id: int, remote_id: str | None, reply: Reply) -> str | None:
        try:
            if remote_id is not None:
                try:
                    await self.line.edit(remote_id, reply)
                    return remote_id
                except LostError:
                    pass  # deleted in the chat: it comes back
            return (await self.line.send(reply)).remote_id
        except (RefusedError, LostError) as error:
            # Not tried again before it changes; rings go out without it.
            log.warning("a card was refused by %s: %s", self.target.place.platform, type(error).__name__)
            return remote_id
        except UnexpectedError:
            if not self.pace.is_hopeless(card_id):
                raise
            log.error("a card failed again and again on %s and is left", self.target.place.platform)
            return remote_id

    async def _render(self, message_id: int) -> Reply | None:
        found = await snapshot(message_id)
        zone = zone_of(self.target.timezone) if self.target.timezone else None
        return card(found, self.services.now(), zone) if found else None

    async def _confirm(
        self, one: Card, remote_id: str | None, seen: str, posted_at: dt.datetime | None
    ) -> None:
        """Stores what is shown; up to date only if nothing changed since it was rendered.

        The update comes first: it waits for whoever is just changing the mail, and makes them wait for us.
        A mail that was forgotten meanwhile must not stay in the chat.
        """

        async def work() -> None:
            row = Card.filter(id=one.id)
            if not await row.update(remote_id=remote_id, shown=seen, dirty_at=None, posted_at=posted_at):
                if remote_id is not None:
                    now = self.services.now()
                    await leave_late_trace(self.target.account_id, self.target.id, remote_id, one.id, now)
                return
            reply = await self._render(one.message_id)
            if reply is not None and fingerprint(reply) != seen:
                await row.update(dirty_at=self.services.now())

        await atomically(work)
