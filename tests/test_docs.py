"""The documents say what the code does: settings, commands, roles, make targets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.__main__ import ROLES, main
from bot.commands import COMMANDS
from tracker.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
VARIABLES = [name.upper() for name in Settings.model_fields]


def test_the_example_file_names_every_setting_and_no_other():
    named = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.M)
    assert sorted(named) == sorted(VARIABLES)


def test_the_example_file_shows_every_default():
    shown = dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    expected = {name: "" if value is None else str(value) for name, value in defaults.items()}
    expected["ALLOW_PRIVATE_UPSTREAM"] = "false"
    expected["BASE_URL"] = Settings().public_url
    assert shown == expected


@pytest.mark.parametrize("name", VARIABLES)
def test_the_readme_explains_every_setting(name):
    assert f"`{name}`" in README


@pytest.mark.parametrize("command", [one for one in COMMANDS if not one.hidden], ids=lambda one: one.verb)
def test_the_readme_shows_every_command_as_the_registry_has_it(command):
    usage = f"{command.verb} {command.usage}".strip()
    assert f"| `{usage.replace('|', chr(92) + '|')}` | {command.summary} |" in README


def test_the_procfile_runs_roles_that_exist():
    words = re.findall(r"^(\w+): python -m bot (\w+)$", (ROOT / "Procfile").read_text(), re.M)
    assert dict(words) == {"release": "migrate", "web": "web", "smtp": "smtp", "worker": "worker"}
    for _, role in words:
        assert role in ROLES or role in main.commands


def test_the_readme_names_every_short_command_and_make_target():
    for name in main.commands:
        assert f"python -m bot {name}" in README, name
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for target in targets:
        assert f"make {target}" in README, target


def test_the_ci_runs_what_the_readme_tells_people_to_run():
    assert "make check test" in (ROOT / ".ci" / "run").read_text()
    assert "make check test" in README
