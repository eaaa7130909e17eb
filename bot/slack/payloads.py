"""What Slack delivers, read into what conversation understands: who said what where, and how to answer.

Pure; the shapes are Slack's documented payloads. bot/slack/listeners.py calls it after Slack was answered.
Anything missing or odd gives None: such an event is not for us.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.chat import Incoming, Place
from bot.slack.modal import place_of
from bot.slack.text import understood

Body = Mapping[str, Any]
FORM = "form "  # value of the button that opens a verb's modal: "form track"


@dataclass(frozen=True)
class Said:
    """Something a person did in Slack, with what an answer needs."""

    event_id: str  # the same at each delivery of the same event
    incoming: Incoming
    channel: str | None = None  # where it happened
    response_url: str | None = None
    trigger: str | None = None  # opens a modal

    def named(self, name: str) -> Said:
        """The same, by a person of this name."""
        return replace(self, incoming=replace(self.incoming, user_name=name))


def team_of(body: Body) -> str:
    """The workspace in which the app is installed; the organisation for an org-wide installation."""
    team = body.get("team")
    team_id = team.get("id") if isinstance(team, Mapping) else body.get("team_id")
    enterprise = body.get("enterprise")
    other = enterprise.get("id") if isinstance(enterprise, Mapping) else body.get("enterprise_id")
    return str(team_id or other or "")


def event_id_of(body: Body) -> str:
    """What names this event at each of its deliveries, whatever envelope it comes in."""
    found = body.get("event_id") or body.get("trigger_id")
    if found:
        return str(found)
    text = json.dumps(body, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def command(body: Body) -> Said | None:
    """A slash command: `/track VERB …`."""
    user, channel = str(body.get("user_id") or ""), str(body.get("channel_id") or "")
    if not user or not channel:
        return None
    place = _place(team_of(body), channel, user, str(body.get("channel_name") or ""))
    text = understood(str(body.get("text") or ""))
    incoming = Incoming(place, user, str(body.get("user_name") or user), text)
    return Said(event_id_of(body), incoming, channel, _url(body), _word(body, "trigger_id"))


def direct_message(body: Body) -> Said | None:
    """A text that a person typed in the private chat with the bot; None for all other message events."""
    event = body.get("event") or {}
    if event.get("channel_type") != "im" or event.get("subtype") or event.get("hidden"):
        return None
    if event.get("bot_id") or event.get("bot_profile") or event.get("app_id"):
        return None
    user, text = str(event.get("user") or ""), understood(str(event.get("text") or ""))
    if not user or user == "USLACKBOT" or not text:
        return None
    place = Place("slack", user, team_of(body))
    incoming = Incoming(place, user, user, text, is_command=text.startswith("/"))
    if incoming.is_command:
        incoming = replace(incoming, text=text[1:])
    return Said(event_id_of(body), incoming, str(event.get("channel") or "") or None)


def press(body: Body) -> Said | None:
    """A pressed button: its value is the action's command line."""
    actions = body.get("actions") or [{}]
    value = actions[0].get("value") if actions[0].get("type") == "button" else None
    user = body.get("user") or {}
    container = body.get("container") or {}
    channel = str((body.get("channel") or {}).get("id") or container.get("channel_id") or "")
    if not value or not user.get("id") or not channel:
        return None
    ts = (body.get("message") or {}).get("ts") or container.get("message_ts")
    name = str((body.get("channel") or {}).get("name") or "")
    asks_form = str(value).startswith(FORM)
    incoming = Incoming(
        place=_place(team_of(body), channel, str(user["id"]), name),
        user_id=str(user["id"]),
        user_name=_name(user),
        text=str(value).removeprefix(FORM),
        is_button=not asks_form,  # a verb typed with nothing asks its questions, a pressed one does not
        # What only one person sees is theirs anyway.
        pressed_on=f"{channel}:{ts}" if ts and not container.get("is_ephemeral") else None,
    )
    # One trigger is one press; a second press of the same button has another one.
    return Said(event_id_of(body), incoming, channel, _url(body), _word(body, "trigger_id"))


def submission(body: Body, text: str) -> Said | None:
    """A filled-in modal as the command line `text` that its answers make."""
    user = body.get("user") or {}
    if not user.get("id"):
        return None
    place = place_of(body.get("view") or {}, team_of(body), str(user["id"]))
    incoming = Incoming(place, str(user["id"]), _name(user), text)
    return Said(event_id_of(body), incoming, None if place.private else place.chat_id)


def _place(team: str, channel: str, user: str, title: str) -> Place:
    """A direct message, also one with somebody else, is answered in the private chat with the bot."""
    if channel.startswith("D"):
        return Place("slack", user, team)
    return Place("slack", channel, team, private=False, title=title)


def _name(user: Mapping[str, Any]) -> str:
    return str(user.get("username") or user.get("name") or user["id"])


def _word(body: Body, key: str) -> str | None:
    return str(body[key]) if body.get(key) else None


def _url(body: Body) -> str | None:
    url = body.get("response_url")
    return str(url) if isinstance(url, str) and url.startswith(("https://", "http://")) else None
