"""What mailbell listens to in Slack, as a bolt application: commands, private messages, buttons, forms.

Every listener answers Slack at once and works in the background. Slack delivers an event again when our
answer got lost, so each is acted on once (bot/inbound.py). Requests are authentic when they get here:
bot/slack/webhook.py checked the signature, Socket Mode is our own connection.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.chat import ChatError, Incoming, Reply
from bot.forms import check_answers, command_line
from bot.inbound import first_time
from bot.slack import payloads
from bot.slack.answers import Answers, failure_reply
from bot.slack.background import Background
from bot.slack.client import SlackClient, TokenOf
from bot.slack.destinations import REMOVED, switch_off_team, switch_on
from bot.slack.errors import GONE
from bot.slack.modal import answers_of, verb_of
from bot.slack.payloads import Said
from tracker.services import Services

log = logging.getLogger(__name__)
bolt_log = logging.getLogger("mailbell.slack.bolt")
bolt_log.setLevel(logging.ERROR)  # its warnings quote payloads, its debug level prints them

Handle = Callable[[Incoming], Awaitable[Reply | None]]
Body = Mapping[str, Any]
ANYTHING = re.compile(".*")
NAMES_KEPT = 1000


class Listeners:
    """The bolt application and what it does."""

    def __init__(
        self,
        services: Services,
        handle: Handle,
        client: SlackClient,
        answers: Answers,
        background: Background,
    ) -> None:
        self._services = services
        self._handle = handle
        self._client = client
        self._answers = answers
        self._background = background
        self._names: dict[str, str] = {}

    def build_app(self, token_of: TokenOf) -> AsyncApp:
        """A new application. Everything is passed: by itself it reads SLACK_* from the environment."""

        async def authorize(team_id: str | None, enterprise_id: str | None) -> AuthorizeResult:
            token = token_of(team_id or enterprise_id or "")
            return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=token)

        app = AsyncApp(
            logger=bolt_log,
            name="mailbell",
            client=self._client.web_client(token_of("")),
            authorize=authorize,
            signing_secret="checked before",  # noqa: S106, see bot/slack/webhook.py
            verification_token="unused",  # noqa: S106
            request_verification_enabled=False,
            ignoring_self_events_enabled=False,  # bot messages are told by their bot_id
            ssl_check_enabled=False,
            attaching_function_token_enabled=False,
            attaching_conversation_kwargs_enabled=False,
        )
        app.command(ANYTHING)(self.on_command)
        app.event("message")(self.on_message)
        app.event("app_uninstalled")(self.on_uninstalled)
        app.event("tokens_revoked")(self.on_tokens_revoked)
        app.event(ANYTHING)(self.on_nothing)
        app.action({"type": "block_actions", "action_id": ANYTHING})(self.on_press)
        app.view(ANYTHING)(self.on_submission)
        app.view_closed(ANYTHING)(self.on_nothing)
        app.shortcut(ANYTHING)(self.on_nothing)
        app.action({"type": "interactive_message", "callback_id": ANYTHING})(self.on_nothing)
        return app

    async def on_command(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        self._begin(payloads.command(body), "a command")

    async def on_message(self, body: dict[str, Any]) -> None:
        self._begin(payloads.direct_message(body), "a message")

    async def on_press(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        self._begin(payloads.press(body), "a button")

    async def on_submission(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """What is wrong with an answer stands beside it in the modal; a good one closes it."""
        view = body.get("view") or {}
        verb, answers = verb_of(view), answers_of(view)
        wrong = check_answers(verb, answers)
        if wrong:
            await ack(response_action="errors", errors=wrong)
            return
        await ack()
        if verb:
            self._begin(payloads.submission(body, command_line(verb, answers)), "a form")

    async def on_nothing(self, ack: AsyncAck) -> None:
        """What we do not use (an old message's menu, another event): Slack hears that it came."""
        await ack()

    async def on_uninstalled(self, body: dict[str, Any]) -> None:
        self._background.start(self._leave(body, REMOVED), "an uninstall")

    async def on_tokens_revoked(self, body: dict[str, Any]) -> None:
        tokens = (body.get("event") or {}).get("tokens") or {}
        if tokens.get("bot"):
            self._background.start(self._leave(body, GONE["token_revoked"]), "a revoked token")

    def _begin(self, said: Said | None, what: str) -> None:
        if said is not None:
            self._background.start(self._act(said), what)

    async def _act(self, said: Said) -> None:
        """Acts once on what was said, and answers; whatever fails, the person hears of it."""
        try:
            if not await first_time("slack", said.event_id, self._services.now()):
                return
            said = await self._named(said)
            reply = await self._handle(said.incoming)
        except Exception:
            log.exception("Slack: acting failed")
            reply = failure_reply()
        if reply is None:
            return
        try:
            await self._answers.give(said, reply)
        except ChatError as error:
            log.warning("Slack: an answer could not be shown: %s", error)
            return
        if said.incoming.place.private:
            await switch_on(self._services, said.incoming.place)

    async def _named(self, said: Said) -> Said:
        """A private message comes with the user's id only: their name is asked for, once."""
        user, team = said.incoming.user_id, said.incoming.place.workspace
        if said.incoming.user_name != user:
            return said
        if user not in self._names:
            if len(self._names) >= NAMES_KEPT:
                self._names.clear()
            self._names[user] = await self._client.user_name(team, user)
        return said.named(self._names[user])

    async def _leave(self, body: Body, why: str) -> None:
        """Switches off every destination of a team that threw us out."""
        if await first_time("slack", payloads.event_id_of(body), self._services.now()):
            await switch_off_team(self._services, payloads.team_of(body), why)
