"""Brings the answer to a command or a press to where it may be seen.

What holds addresses never appears in a group: it goes to the person's private chat with the bot, and the
group reads one short line. A press is acknowledged always, or Telegram shows its spinner for a minute. Nobody
but us repeats an answer, so here (and only here) a refused call is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from bot.answered import remember_answer
from bot.chat import ChatError, GoneError, Kind, NoAnswerError, Place, Reply, Sent, TryLaterError
from bot.telegram.incoming import PLATFORM, Said
from bot.telegram.text import one_line
from bot.words import units

log = logging.getLogger(__name__)

ANSWERED_PRIVATELY = "I answered in our private chat."
_SPINNER_SECONDS = 3.0
_POP_UP_LIMIT = 200
_TRIES = 4
_PATIENCE_SECONDS = 30.0

Step = Callable[[], Coroutine[Any, Any, Sent]]


class Channel(Protocol):
    """What answers need of the chat (bot/telegram/chat.py)."""

    def steps(self, place: Place, reply: Reply, under: str | None) -> list[Step]:
        """The calls that show the reply, in order."""
        ...

    async def acknowledge(self, query_id: str, text: str = "") -> None:
        """Ends the spinner on a pressed button; a text pops up."""
        ...

    @property
    def address(self) -> str:
        """Where people find the bot, such as t.me/mailbell_bot."""
        ...


class Answers:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def acknowledge(self, query_id: str, text: str = "") -> None:
        """Answers a press; that it came too late is nothing to act on."""
        try:
            await self._channel.acknowledge(query_id, text)
        except ChatError as error:
            log.info("a press was not acknowledged: %s", error)

    async def give(self, said: Said, answer: Awaitable[Reply | None]) -> None:
        """Waits for the answer and shows it. Never raises a ChatError: what cannot be shown is logged."""
        if said.query_id is None:
            reply, unanswered = await answer, None
        else:
            reply, unanswered = await self._press(said.query_id, answer)
        pop_up = ""
        try:
            if reply is not None:
                pop_up = await self._show(said, reply, can_pop_up=unanswered is not None)
        except ChatError as error:
            log.warning("an answer could not be shown in Telegram: %s", error)
        finally:
            if unanswered is not None:
                await self.acknowledge(unanswered, pop_up)

    async def _press(self, query_id: str, answer: Awaitable[Reply | None]) -> tuple[Reply | None, str | None]:
        """The reply, and the press if it is not acknowledged yet: a slow command must not let it spin."""
        work = asyncio.ensure_future(answer)
        done, _ = await asyncio.wait([work], timeout=_SPINNER_SECONDS)
        if done and work.exception() is None:
            return work.result(), query_id
        await self.acknowledge(query_id)
        return await work, None

    async def _show(self, said: Said, reply: Reply, *, can_pop_up: bool) -> str:
        """Shows the reply; what it returns is for the pop-up of the press."""
        place = said.incoming.place
        if place.private:
            await self._say(said, place, reply, said.message_id if said.query_id else None)
            return ""
        if can_pop_up and _is_brief(reply):
            return one_line(reply)
        if not reply.private:
            await self._say(said, place, reply, said.message_id)
            return ""
        try:
            await self._say(said, Place(platform=PLATFORM, chat_id=said.incoming.user_id), reply, None)
            note = ANSWERED_PRIVATELY
        except GoneError:
            note = f"I may not write to you yet: open {self._channel.address}, press Start, and ask again."
        if can_pop_up:
            return note
        await self._say(said, place, Reply(title=note, private=False), said.message_id)
        return ""

    async def _say(self, said: Said, place: Place, reply: Reply, under: str | None) -> None:
        for step in self._channel.steps(place, reply, under):
            await remember_answer(place, reply, await _patiently(step), said.incoming.user_id)


def _is_brief(reply: Reply) -> bool:
    if reply.buttons or reply.file or reply.copyable or reply.links:
        return False
    return (reply.kind is Kind.ERROR or len(reply.lines) <= 1) and units(reply.text) <= _POP_UP_LIMIT


async def _patiently(step: Step) -> Sent:
    """Repeats a call that Telegram put off or did not answer; the last failure goes to the caller."""
    for attempt in range(1, _TRIES + 1):
        try:
            return await step()
        except (TryLaterError, NoAnswerError) as error:
            pause = getattr(error, "after", None) or 0.5 * 2**attempt
            if attempt == _TRIES or pause > _PATIENCE_SECONDS:
                raise
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")
