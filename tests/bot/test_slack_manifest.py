"""The manifest is made of COMMANDS, within Slack's limits."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bot.commands import COMMANDS
from bot.slack.manifest import manifest


@pytest.mark.parametrize("socket_mode", [True, False])
def test_the_manifest_keeps_slacks_limits(socket_mode: bool) -> None:
    made = manifest("https://mail.example.com/", socket_mode)
    about = made["display_information"]
    assert 0 < len(about["name"]) <= 35
    assert 0 < len(about["description"]) <= 140
    assert 175 <= len(about["long_description"]) <= 4000
    assert len(made["features"]["bot_user"]["display_name"]) <= 80
    (command,) = made["features"]["slash_commands"]
    assert command["command"].startswith("/")
    assert 0 < len(command["description"]) <= 2000
    assert 0 < len(command["usage_hint"]) <= 1000
    json.dumps(made)


def test_every_command_that_people_see_is_in_the_manifest() -> None:
    made = manifest("https://mail.example.com", True)
    hint = made["features"]["slash_commands"][0]["usage_hint"].split(" | ")
    for command in COMMANDS:
        named = f"/track {command.verb}: " in made["display_information"]["long_description"]
        assert named is not command.hidden
        assert (command.verb in hint) is not command.hidden


def test_over_http_slack_is_told_where_to_send() -> None:
    made = manifest("https://mail.example.com/", False)
    url = "https://mail.example.com/slack/events"
    assert made["features"]["slash_commands"][0]["url"] == url
    assert made["settings"]["event_subscriptions"]["request_url"] == url
    assert made["settings"]["interactivity"]["request_url"] == url
    assert made["settings"]["socket_mode_enabled"] is False


def test_in_socket_mode_no_address_is_needed() -> None:
    made = json.dumps(manifest("https://mail.example.com", True))
    assert "mail.example.com" not in made
    assert '"socket_mode_enabled": true' in made


def test_the_bot_asks_for_no_more_than_it_uses() -> None:
    scopes = set(manifest("https://x.example", True)["oauth_config"]["scopes"]["bot"])
    assert not {one for one in scopes if one.startswith(("channels:", "groups:", "mpim:", "admin"))}
    assert {"chat:write", "commands", "files:write", "im:history", "im:write", "users:read"} == scopes


def test_the_manifest_is_made_without_slacks_sdk() -> None:
    code = "import sys, bot.slack.manifest; print(sorted(m for m in sys.modules if m.startswith('slack_')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
