"""The manifest from which Slack makes the app (api.slack.com/apps → Create New App → From a manifest).

Generated from COMMANDS, so that what Slack offers is what mailbell does. Printed by
`python -m bot slack-manifest`. Limits: https://docs.slack.dev/reference/app-manifest.
"""

from __future__ import annotations

from typing import Any

from bot.commands import COMMANDS
from bot.slack.text import shortened

COMMAND = "/track"
PATH = "/slack/events"

NAME = 35
DESCRIPTION = 140
LONG_DESCRIPTION = 4000
SHORTEST_LONG_DESCRIPTION = 175
USAGE_HINT = 1000
COMMAND_DESCRIPTION = 2000

# What the bot may do: its commands, posts, private chats, files, and people's names. Nothing else is read.
SCOPES = ("chat:write", "commands", "files:write", "im:history", "im:write", "users:read")
EVENTS = ("app_uninstalled", "message.im", "tokens_revoked")

INTRODUCTION = (
    "mailbell rings here when an email that you sent is opened or clicked: with who it was, how often, and "
    "how long after sending. It is self-hosted, so nothing about your mail leaves your own server. "
    f"Type {COMMAND} ana@acme.com Q3 proposal https://acme.com/deck and put what it answers into your mail."
)


def manifest(base_url: str, socket_mode: bool) -> dict[str, Any]:
    """The manifest as a dict, to be printed as JSON. `base_url` is used over HTTP only."""
    url = base_url.rstrip("/") + PATH
    command: dict[str, Any] = {
        "command": COMMAND,
        "description": shortened("Track a mail, and see who opened it", COMMAND_DESCRIPTION),
        "usage_hint": _usage_hint(),
        "should_escape": False,
    }
    events: dict[str, Any] = {"bot_events": list(EVENTS)}
    interactivity: dict[str, Any] = {"is_enabled": True}
    if not socket_mode:
        command["url"] = url
        events["request_url"] = url
        interactivity["request_url"] = url
    return {
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {
            "name": shortened("mailbell", NAME),
            "description": shortened("Rings when your email is opened or clicked", DESCRIPTION),
            "long_description": _long_description(),
            "background_color": "#1f2937",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": False,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": "mailbell", "always_online": True},
            "slash_commands": [command],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": events,
            "interactivity": interactivity,
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket_mode,
            "token_rotation_enabled": False,
        },
    }


def _usage_hint() -> str:
    verbs = " | ".join(one.verb for one in COMMANDS if not one.hidden)
    return shortened(f"ana@acme.com Q3 proposal https://acme.com/deck | {verbs}", USAGE_HINT)


def _long_description() -> str:
    rows = [INTRODUCTION, ""]
    rows += [f"{COMMAND} {one.verb}: {one.summary}" for one in COMMANDS if not one.hidden]
    return shortened("\n".join(rows), LONG_DESCRIPTION)
