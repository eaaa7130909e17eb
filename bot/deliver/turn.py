"""One turn of serving one destination under its lease: rings, corrections, cards, until nothing is due.

A ring goes out before cards are edited, but after its own card was posted, since it refers to it. Everything
is marked only after the chat took it: a crash in between rings once more, and loses nothing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bot.chat import ChatError, GoneError, LostError, RefusedError, Reply, Sent, TryLaterError
from bot.deliver import marks, outbox
from bot.deliver.cards import Cards
from bot.deliver.ending import move, switch_off
from bot.deliver.leases import LeaseLostError
from bot.deliver.line import Line, UnexpectedError
from bot.deliver.outbox import Target, Waiting
from bot.deliver.rules import LONGEST_ASKED, Action, Recent, back_off, decide
from bot.deliver.storing import insist
from bot.render import away, correction, digests, forgotten, plain, ring
from models.writer import Statement
from tracker.services import Services

MOST_SURPRISES = 5  # failures of an unknown kind before an alert is tried in plain words, then dropped
MOST_PIECES = 20  # of one flood in one turn; then cards and corrections have theirs
DIGEST_ROOM = 3500  # an edited digest may grow a little, for its corrections

log = logging.getLogger(__name__)


@dataclass
class Turn:
    """Everything that one destination gets now. `later` says when its waiting alerts may go on."""

    services: Services
    target: Target
    line: Line
    cards: Cards
    stopping: asyncio.Event
    rung: int = 0
    later: dt.datetime | None = None
    _current: Sequence[Waiting] = field(default=())

    async def run(self) -> None:
        """Serves until nothing is due. Raises only what the database raises."""
        try:
            await self._ring_all()
            await self._correct_all()
            await self.cards.draw_dirty()
        except LeaseLostError:
            log.warning("another worker took over a %s destination", self.target.place.platform)
        except GoneError as error:
            if error.moved_to:
                await move(self.services, self.target, error.moved_to)
            else:
                await switch_off(self.services, self.target, str(error))
        except ChatError as error:
            await self._hold(error)

    async def _ring_all(self) -> None:
        recent = await outbox.recent_sounds(self.services, self.target.id)
        while not self.stopping.is_set():
            batch = await outbox.due_alerts(self.services, self.target.id)
            due = await self._audible(batch)
            if not due and len(batch) == outbox.BATCH:
                continue
            if not due:
                return
            now = self.services.now()
            if any(one.is_held for one in due):
                await self._tell_away(now)
                recent = replace(recent, digests=(*recent.digests, now))
                continue
            decision = decide(due[0].due, due[0].mutes, recent, now)
            if decision.action is Action.SEND:
                if await self._ring(due[0]):
                    recent = replace(recent, rings=(*recent.rings, now))
            elif decision.action is Action.FOLD:
                await self._fold_all(now)
                recent = replace(recent, digests=(*recent.digests, now))
            else:
                self.later = decision.until
                return

    async def _audible(self, batch: list[Waiting]) -> list[Waiting]:
        """Those that may ring now. Muted ones become silent, and in quiet hours the others are held.

        Counters and cards go on without them.
        """
        now = self.services.now()
        quiet = self.target.quiet_until(now)
        decided = {one.id: decide(one.due, one.mutes, Recent(), now, quiet) for one in batch}
        muted = [one for one in batch if decided[one.id].action is Action.SILENCE]
        held = [one for one in batch if decided[one.id].action is Action.HOLD]
        if muted:
            await self.services.writer.apply(marks.mark_silenced(muted))
        if held and quiet is not None:
            await self.services.writer.apply(marks.mark_held(held, quiet))
        gone = {one.id for one in (*muted, *held)}
        return [one for one in batch if one.id not in gone]

    async def _tell_away(self, now: dt.datetime) -> None:
        """Everything that quiet hours held, in one message."""
        batch = await outbox.due_alerts(self.services, self.target.id, outbox.MOST_HELD)
        held = [one for one in await self._audible(batch) if one.is_held]
        if not held:
            return
        self._current = held[: marks.MARK_BATCH]
        sent = await self._say(away([one.ring for one in held]), held)
        if sent is not None:
            await self._mark_folded(held, sent.remote_id, now)
            self.rung += 1
        self._current = ()

    async def _mark_folded(self, named: Sequence[Waiting], remote_id: str, now: dt.datetime) -> None:
        for begin in range(0, len(named), marks.MARK_BATCH):
            piece = named[begin : begin + marks.MARK_BATCH]
            await self._store(marks.mark_sent(self.target, piece, "folded", remote_id, now))

    async def _ring(self, alert: Waiting) -> bool:
        """Sends one alert; False when the chat will never take it, in no form."""
        self._current = [alert]
        under = alert.card_remote
        if under is None and alert.card_id is not None:
            under = await self.cards.post(alert.card_id)
        sent = await self._say(ring(alert.ring), [alert], under, alert.card_id)
        if sent is None:
            return False
        now = self.services.now()
        await self._store(marks.mark_sent(self.target, [alert], "sent", sent.remote_id, now))
        self.rung += 1
        self._current = ()
        return True

    async def _fold_all(self, now: dt.datetime) -> None:
        """Names everything that is due in one digest; a flood in several pieces, all of the same moment."""
        for _ in range(MOST_PIECES):
            batch = await outbox.due_alerts(self.services, self.target.id, outbox.FOLD_BATCH)
            if self.stopping.is_set() or not batch:
                return
            await self._fold(await self._audible(batch), now)

    async def _fold(self, due: list[Waiting], now: dt.datetime) -> None:
        for part in digests([one.ring for one in due]):
            named = [due[position] for position in part.named]
            self._current = named[: marks.MARK_BATCH]
            sent = await self._say(part.reply, named)
            if sent is not None:
                await self._mark_folded(named, sent.remote_id, now)
                self.rung += 1
        self._current = ()

    async def _say(
        self, reply: Reply, alerts: Sequence[Waiting], under: str | None = None, card_id: int | None = None
    ) -> Sent | None:
        """As it should be; under a new card if the old one is gone; in plain words; or dropped (None)."""
        try:
            try:
                return await self.line.send(reply, under)
            except LostError:
                under = await self.cards.post_anew(card_id) if card_id is not None else None
                return await self.line.send(reply, under)
        except (RefusedError, LostError):
            pass
        except UnexpectedError:
            if alerts[0].attempts < MOST_SURPRISES:
                raise
        try:
            return await self.line.send(plain(reply))
        except (RefusedError, LostError, UnexpectedError) as error:
            log.error("%s refused a message in any form; it is dropped", self.target.place.platform)
            await self._store(marks.mark_dropped(alerts, str(error) or type(error).__name__))
            return None

    async def _correct_all(self) -> None:
        for alert in await outbox.alerts_to_fix(self.services, self.target.id):
            if self.stopping.is_set():
                return
            self._current = [alert]
            await self._correct(alert)
            await self._store(marks.mark_fixed(alert))
            self._current = ()

    async def _correct(self, alert: Waiting) -> None:
        """Replaces what rang wrongly; what cannot be edited is answered, what is gone is left.

        Where only a ring's number is another one now, nobody hears of it.
        """
        if alert.remote_id is None or (alert.is_renumbered and alert.ring.fixed):
            return
        said = _put_right(alert)
        try:
            shown = await self._digest_anew(alert) if alert.state == "folded" else None
            await self.line.edit(alert.remote_id, shown or said)
        except LostError:
            return
        except RefusedError:
            if not (alert.is_trace or alert.is_renumbered):  # the news would be that something was forgotten
                await self._say_correction(said, alert)
        except UnexpectedError:
            if alert.attempts < MOST_SURPRISES:
                raise
            log.error("a correction failed again and again and is dropped")
        self.rung += 1

    async def _say_correction(self, said: Reply, alert: Waiting) -> None:
        try:
            await self.line.send(said, alert.card_remote)
        except (RefusedError, LostError):
            log.warning("a correction was refused by %s", self.target.place.platform)

    async def _digest_anew(self, alert: Waiting) -> Reply | None:
        """The digest that named `alert`, with the corrections so far; None when nothing is left of it."""
        assert alert.remote_id is not None
        named = await outbox.alerts_of_digest(self.services, self.target.id, alert.remote_id)
        if all(one.is_trace for one in named):
            return None
        rings = [
            replace(one.ring, facts={**one.ring.facts, "fixed": one.fix_text}) if one.fix_text else one.ring
            for one in named
        ]
        if any(one.is_held for one in named):
            return away(rings)
        return digests(rings, DIGEST_ROOM)[0].reply

    async def _hold(self, error: ChatError) -> None:
        """The chat asked to wait, or did not answer: nothing is sent before, and others are not delayed."""
        if isinstance(error, TryLaterError) and error.after is not None:
            seconds = min(max(error.after, 0.5), LONGEST_ASKED) * (1 + random.random() / 10)  # noqa: S311, no secret
        else:
            seconds = back_off(self.target.failures, random.random())  # noqa: S311, no secret
        until = self.services.now() + dt.timedelta(seconds=seconds)
        why = one_line_of(error)
        log.info("%s: %s; next try in %.0f s", self.target.place.platform, type(error).__name__, seconds)
        await self._store(marks.mark_failed(self.target, self._current, why, until))

    async def _store(self, statements: list[Statement]) -> None:
        await insist(lambda: self.services.writer.apply(statements), self.stopping)


def _put_right(alert: Waiting) -> Reply:
    if alert.is_renumbered:
        return ring(alert.ring)
    text = alert.fix_text or ""
    return forgotten(text) if alert.is_trace else correction(alert.ring, text)


def one_line_of(error: ChatError) -> str:
    """What went wrong, for the alert's row: the chats word their own errors, without addresses."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
