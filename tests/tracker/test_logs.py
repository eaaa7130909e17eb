import json
import logging
from pathlib import Path

import pytest

from tracker import logs
from tracker.settings import load


@pytest.fixture(autouse=True)
def _as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("could not ring for ana@acme.com", "could not ring for [address]"),
        ("Ana <ana+x@acme.co.uk>, bob@b.de", "Ana <[address]>, [address]"),
        ("GET /o/AbCdEfGhIjKlMnOpQrStUv.gif 200", "GET /o/[token] 200"),
        ("GET /m/abc.0123?x=1", "GET /m/[token]?x=1"),
        (
            "https://api.telegram.org/bot123:AAE-x_y/sendMessage",
            "https://api.telegram.org/[secret]/sendMessage",
        ),
        ("token xoxb-1-2-abc refused", "token [secret] refused"),
    ],
)
def test_no_address_and_no_token_gets_into_a_log(text: str, masked: str):
    assert logs.mask(text) == masked


def test_an_exception_is_masked_like_everything_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    logs.configure(load({"LOG_FORMAT": "json"}, tmp_path))
    try:
        raise ValueError("ana@acme.com cannot be written")
    except ValueError:
        logging.getLogger("bot.test").exception("a fault with %s", "bob@acme.com")
    line = capsys.readouterr().err
    assert "acme.com" not in line
    assert json.loads(line)["event"] == "a fault with [address]"


def test_a_chat_in_the_terminal_is_not_disturbed_by_news_of_no_consequence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    logs.configure(load({}, tmp_path), at_terminal=True)
    logging.getLogger("bot.test").info("listening")
    logging.getLogger("bot.test").warning("something is wrong")
    assert "listening" not in (shown := capsys.readouterr().err)
    assert "something is wrong" in shown
    logs.configure(load({"LOG_LEVEL": "info"}, tmp_path), at_terminal=True)
    logging.getLogger("bot.test").info("listening")
    assert "listening" in capsys.readouterr().err
