"""The line bot → tracker → models, read from the imports of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("models", "tracker", "bot")  # each may import itself and what stands before it
CHATS = ("bot.slack", "bot.telegram", "bot.console")
KNOWS_ALL = ("bot/__main__.py", "bot/process.py")  # process.py is what __main__ runs


def _files() -> list[Path]:
    return sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, source: str) -> set[str]:
    """Full names of the modules that a file imports, wherever in it, relative ones and types as well."""
    package = path.relative_to(ROOT).parent.parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *((node.module,) if node.module else ())))
            found.add(module)
            # `from bot import slack` imports bot.slack
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found | set(_imported_by_name(source))


def _imported_by_name(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _offences(path: Path, source: str) -> list[str]:
    """What the file imports against the line, in words."""
    own, place = _name(path), path.relative_to(ROOT).as_posix()
    layer = LAYERS.index(own.partition(".")[0])
    imported = imports_of(path, source)
    wrong = []
    for module in sorted(imported):
        if any(_within(module, later) for later in LAYERS[layer + 1 :]):
            wrong.append(f"{place} imports {module}: the line is bot → tracker → models")
        if any(_within(module, part) for part in ("tests", "benchmarks")):
            wrong.append(f"{place} imports {module}")
    chat = next((one for one in CHATS if _within(own, one)), None)
    known = {one for one in CHATS if any(_within(module, one) for module in imported)}
    if chat is not None and known - {chat}:
        wrong.append(f"{place} imports {sorted(known - {chat})}: chats never know each other")
    if chat is None and place not in KNOWS_ALL and len(known) > 1:
        wrong.append(f"{place} imports {sorted(known)}: nothing but __main__ knows all chats")
    if any(_within(module, "bot.__main__") for module in imported):
        wrong.append(f"{place} imports bot.__main__")
    return wrong


def test_imports_go_down_the_line():
    assert [wrong for path in _files() for wrong in _offences(path, path.read_text())] == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("models/x.py", "from tracker.settings import load"),
        ("models/x.py", "def f():\n    import bot.chat"),
        ("tracker/web/x.py", "from bot import chat"),
        ("tracker/web/x.py", "from ...bot.chat import Chat"),
        ("tracker/x.py", "from importlib import import_module\nimport_module('bot.chat')"),
        (
            "tracker/x.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bot.chat import Chat",
        ),
        ("bot/slack/x.py", "from bot.telegram.menu import menu"),
        ("bot/slack/x.py", "from bot import console"),
        ("bot/telegram/x.py", "from ..slack import manifest"),
        ("bot/render/x.py", "from bot.slack import a\nfrom bot import telegram"),
        ("bot/x.py", "from bot.__main__ import ROLES"),
        ("bot/x.py", "from tests.builders import mail"),
    ],
)
def test_the_layer_test_sees_an_offence(place: str, source: str):
    assert _offences(ROOT / place, source)


ENVIRONMENT = {"environ", "environb", "getenv", "putenv", "load_dotenv"}


def reads_environment(source: str) -> list[int]:
    """Lines that touch the environment of the process in any of its names."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        named = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        if isinstance(node, ast.Attribute):
            named = {node.attr}
        if named & ENVIRONMENT:
            lines.append(node.lineno)
    return lines


def test_only_settings_read_the_environment():
    for path in _files():
        source, place = path.read_text(), path.relative_to(ROOT).as_posix()
        if place == "bot/__main__.py":  # hands it over, and does nothing else with it
            assert source.count("os.environ") == source.count("load(os.environ)") == 1
            source = source.replace("load(os.environ)", "load({})")
        if place != "tracker/settings.py":
            assert reads_environment(source) == [], place


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['A']",
        "from os import environ",
        "import os as o\no.getenv('A')",
        "from os import getenv as g",
    ],
)
def test_the_environment_test_sees_a_reader(source: str):
    assert reads_environment(source)


def test_models_know_nothing_of_ours_and_no_chat_library_enters_the_tracker():
    for path in _files():
        own = _name(path)
        libraries = {module.partition(".")[0] for module in imports_of(path, path.read_text())}
        if not own.startswith("bot"):
            assert not libraries & {"slack_sdk", "slack_bolt", "telegram"}, own
        if own.startswith("models"):
            assert not libraries & {"aiohttp", "tracker", "bot"}, own
        if libraries & {"slack_sdk", "slack_bolt"}:
            assert _within(own, "bot.slack"), own
        if "telegram" in libraries:
            assert _within(own, "bot.telegram"), own


def test_no_file_is_named_after_nothing():
    for path in _files():
        assert path.stem not in ("utils", "helpers", "core", "common", "manager"), path
