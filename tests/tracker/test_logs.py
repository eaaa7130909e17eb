"""No line of the log holds an address, a tracking token or a chat's token, whoever logs it and however."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker import logs
from tracker.settings import load

TOKEN = "xADvmzo_HxbsWcncqE0WeA"
SECRETS = ("ana@acme.com", TOKEN, "xoxb-1-secret", "xapp-1-secret", "123456:ABC-secret", "00cf4426")
SAID = (
    f"for ana@acme.com, http://localhost:8080/o/{TOKEN}.gif and /c/{TOKEN}?x=1 and /m/k7m2qx.00cf4426 with "
    "xoxb-1-secret and xapp-1-secret at https://api.telegram.org/bot123456:ABC-secret/getMe, "
    f"DETAIL: Key (token)=({TOKEN}) already exists, and /connect/abcdef-n.00cf4426"
)


@pytest.fixture(params=["console", "json"])
def log(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[io.StringIO]:
    """What a real process would write on stderr at LOG_LEVEL=debug."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure(load({"LOG_LEVEL": "debug", "LOG_FORMAT": request.param}, tmp_path))
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


def test_words_and_arguments_are_masked(log: io.StringIO) -> None:
    logging.getLogger("a.library").debug("plain %s", SAID)
    assert "plain for [address]" in log.getvalue()
    assert not [secret for secret in SECRETS if secret in log.getvalue()]


def test_the_text_of_an_exception_is_masked(log: io.StringIO) -> None:
    try:
        raise ValueError(SAID)
    except ValueError:
        logging.getLogger("a.library").exception("it failed")
    assert "ValueError: for [address]" in log.getvalue()
    assert not [secret for secret in SECRETS if secret in log.getvalue()]


def test_names_of_code_are_left_as_they_are() -> None:
    said = "in _understand_what_itsays, WriterDownErrorOfSqlite and /srv/tracker/hits/judge.py"
    assert logs.mask(said) == said


@pytest.mark.parametrize("text", ["a" * 300_000, "a-a." * 75_000, "@a" * 150_000, "a@" * 150_000])
def test_a_long_line_is_masked_in_no_time(text: str) -> None:
    begun = time.perf_counter()
    logs.mask(text)
    assert time.perf_counter() - begun < 2
