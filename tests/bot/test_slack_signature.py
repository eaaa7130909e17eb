"""Only what Slack signed gets past /slack/events."""

from __future__ import annotations

import datetime as dt

import pytest

from bot.slack.signature import body_fault, header_fault, signed

NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
STAMP = str(int(NOW.timestamp()))
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


def test_slacks_own_example_is_accepted() -> None:
    """The worked example of Slack's documentation."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert signed(SECRET, "1531420618", body) == signature
    assert body_fault(SECRET, "1531420618", signature, body) is None


@pytest.mark.parametrize(
    ("timestamp", "signature", "status"),
    [
        (None, "v0=00", 401),
        (STAMP, None, 401),
        ("abc", "v0=00", 400),
        ("-5", "v0=00", 400),
        ("٣٣٣", "v0=00", 400),
        ("9" * 5000, "v0=00", 400),
        (STAMP, "v0=é", 400),
        (STAMP, "v0=" + "0" * 500, 400),
        (str(int(STAMP) - 301), "v0=00", 401),
        (str(int(STAMP) + 301), "v0=00", 401),
        ("0", "v0=00", 401),
    ],
)
def test_garbage_is_refused_before_the_body_is_read(
    timestamp: str | None, signature: str | None, status: int
) -> None:
    fault = header_fault(timestamp, signature, NOW)
    assert fault is not None
    assert fault.status == status


def test_five_minutes_of_clock_skew_are_fine() -> None:
    for shift in (-300, 0, 300):
        assert header_fault(str(int(STAMP) + shift), "v0=00", NOW) is None


def test_another_secret_body_or_time_does_not_fit() -> None:
    good = signed(SECRET, STAMP, b"payload")
    assert body_fault(SECRET, STAMP, good, b"payload") is None
    for secret, stamp, body in (
        (SECRET, STAMP, b"other"),
        ("x", STAMP, b"payload"),
        (SECRET, "1", b"payload"),
    ):
        fault = body_fault(secret, stamp, good, body)
        assert fault is not None
        assert fault.status == 401
