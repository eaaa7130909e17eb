"""Answers to what a person just typed or pressed: where they go in Slack, repeated while Slack stumbles.

In the private chat with the bot an answer is a message; in a channel only who asked sees it (Slack's way for
slash commands, and it works where the bot is no member). Alerts and cards never come through here: they are
bot/deliver's, which keeps them in the outbox until Slack took them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from bot.answered import remember_answer
from bot.chat import Button, ChatError, Kind, NoAnswerError, Place, Reply, Sent, TryLaterError
from bot.forms import form_of
from bot.slack.blocks import message
from bot.slack.client import SlackClient
from bot.slack.modal import modal
from bot.slack.payloads import FORM, Said

log = logging.getLogger(__name__)
T = TypeVar("T")
Send = Callable[[Place, Reply], Awaitable[Sent]]

TRIES = 4
LONGEST_WAIT = 30.0  # a person who asked has given up after that

ELSEWHERE = Reply(title="I answered in our private chat: look under Apps for mailbell.")


class Answers:
    """Gives the answers; `send` posts to a place (SlackChat's own)."""

    def __init__(self, client: SlackClient, send: Send) -> None:
        self._client = client
        self._send = send

    async def give(self, said: Said, reply: Reply) -> None:
        """Shows `reply` to who asked. Raises ChatError when Slack will not have it anywhere."""
        if reply.form and await self._open_form(said, reply.form):
            return
        reply = _with_form_button(reply)
        if said.incoming.place.private:
            await self._privately(said, reply)
        else:
            await self._in_channel(said, reply)

    async def _open_form(self, said: Said, verb: str) -> bool:
        """Whether a modal opened; False without a fresh trigger, or for a verb without questions."""
        questions = form_of(verb)
        if not said.trigger or not questions:
            return False
        place = said.incoming.place
        try:
            await self._client.open_form(place.workspace, said.trigger, modal(verb, questions, place))
        except ChatError as error:
            log.warning("Slack: the form of %s did not open: %s", verb, error)
            return False
        return True

    async def _privately(self, said: Said, reply: Reply) -> None:
        """In the private chat. A command typed in a chat with somebody else is told where to look."""
        place = said.incoming.place
        try:
            sent = await self._post(place, reply)
        except ChatError:
            if said.response_url is None:
                raise
            await self._respond(said.response_url, reply)
            return
        channel = sent.remote_id.partition(":")[0]
        if said.response_url and said.channel not in (None, channel):
            await self._respond(said.response_url, ELSEWHERE)

    async def _in_channel(self, said: Said, reply: Reply) -> None:
        """Visible to who asked only; files go to the private chat, they cannot be shown to one person."""
        user, place = said.incoming.user_id, said.incoming.place
        shown = replace(reply, file=None)
        private = replace(place, chat_id=user, private=True, title="")
        if reply.file is not None:
            await self._post(private, reply)
            shown = ELSEWHERE
        try:
            if said.response_url is not None:
                await self._respond(said.response_url, shown)
            else:
                await patiently(
                    lambda: self._client.whisper(place.workspace, place.chat_id, user, message(shown))
                )
        except ChatError as error:
            log.info("Slack: answering in the channel failed (%s), answering privately", error)
            await self._post(private, shown)

    async def _post(self, place: Place, reply: Reply) -> Sent:
        sent = await patiently(lambda: self._send(place, reply))
        await remember_answer(place, reply, sent)
        return sent

    async def _respond(self, url: str, reply: Reply) -> None:
        await patiently(lambda: self._client.respond(url, message(reply)))


def _with_form_button(reply: Reply) -> Reply:
    """Where no modal could open: a button that opens it, as a press brings a fresh trigger."""
    if not reply.form or not form_of(reply.form):
        return reply
    return replace(reply, buttons=(*reply.buttons, (Button("Fill in a form", FORM + reply.form),)))


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Asks again while Slack wants us to wait or gives no answer, for a person's patience at the most."""
    for tried in range(1, TRIES + 1):
        try:
            return await ask()
        except TryLaterError as error:
            wait = error.after if error.after is not None else 2.0**tried
            if tried == TRIES or wait > LONGEST_WAIT:
                raise
        except NoAnswerError:
            if tried == TRIES:
                raise
            wait = 1.0
        await asyncio.sleep(wait)
    raise AssertionError("unreachable")


def failure_reply() -> Reply:
    """What a person sees when acting on their words failed for a reason that is ours."""
    return Reply(
        title="That did not work: something failed on my side.",
        lines=("Nothing was lost. Please try it again in a minute.",),
        kind=Kind.ERROR,
    )
