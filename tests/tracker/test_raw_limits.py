"""Mail that is refused on its bytes, and the limits on what it is built of."""

from __future__ import annotations

import time

import pytest

from tracker.mail.raw_limits import malformed, refusal

GOOD = b"From: a@acme.com\r\nSubject: hi\r\n\r\nhello\r\n"


def test_ordinary_mail_is_taken():
    assert refusal(GOOD) is None
    assert refusal(b"\r\nonly a body\r\n") is None
    assert refusal(b"") is None
    assert refusal(GOOD + b"\x0c form feeds and \x1b escapes in a body\r\n") is None


END = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n.\n",
    b"\r.\r",
    b"\n.\r",
    b"\r\n\0.\r\n",
    b"\r\r\n.\r\n",
]


@pytest.mark.parametrize("end", END)
def test_no_false_end_of_data_passes(end: bytes):
    assert malformed(GOOD + b"text" + end + b"MAIL FROM:<evil@example.com>\r\n") is not None
    assert malformed(b"X: a" + end + GOOD) is not None


@pytest.mark.parametrize("control", [bytes([n]) for n in range(32) if n not in (9, 10, 13)])
def test_no_control_character_stands_in_the_headers(control: bytes):
    assert malformed(b"Subject: a" + control + b"Bcc: x@acme.com\r\n\r\nx") is not None
    assert malformed(b"Subject: a\r\nX: b" + control + b"\r\n") is not None


def test_tabs_and_eight_bit_headers_are_fine():
    assert refusal("Subject: grüße\r\n\tand more\r\n\r\nx".encode()) is None


def _nested(depth: int) -> bytes:
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)
    )


BOMBS = [
    b"X: " + b"a" * 17_000 + b"\r\n\r\n",
    b"Subject: " + b"=?utf-8?q?a?=\r\n " * 2_000 + b"\r\n\r\n",
    b"X: a\r\n" * 1_001 + b"\r\n",
    (b"X: " + b"a" * 900 + b"\r\n") * 80 + b"\r\n",
    b"X" * 70_000,
    _nested(30),
    _nested(5_000),
    b"Content-Type: message/rfc822\r\n\r\n" * 3_000,
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 300 + b"--b--\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 100_000,
    b"Content-Type: multipart/mixed; boundary=" + b"b" * 71 + b"\r\n\r\nx",
    b"Content-Type: multipart/mixed; boundary*0=b; boundary*1=c\r\n\r\n"
    + b"--bc\r\n\r\nx\r\n" * 300
    + b"--bc--\r\n",
    b"Content-Type: message/delivery-status\r\n\r\n" + b"A: b\r\n\r\n" * 5_000,
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: "
    + b"a" * 17_000
    + b"\r\n\r\nx\r\n--b--\r\n",
    b"no header\r\n" * 5_900 + b"X: " + b"a" * 17_000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_at_once(bomb: bytes):
    began = time.perf_counter()
    assert refusal(bomb) is not None
    assert time.perf_counter() - began < 1


def test_ten_megabytes_take_a_moment():
    raw = GOOD + b"x" * 76 + b"\r\n"
    raw += (b"y" * 76 + b"\r\n") * 130_000
    began = time.perf_counter()
    assert refusal(raw) is None
    assert time.perf_counter() - began < 2
