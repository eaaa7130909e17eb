"""Every real-world message goes through untouched, or changed in nothing but what was meant to change."""

from __future__ import annotations

import email
import quopri
import time
from base64 import encodebytes
from collections import Counter

import pytest

from tests.corpora.messages import UnreachableError, fetch, messages, on_the_wire, pages
from tests.tracker.rewriting import BASE, PIXEL, PLAN, undo
from tracker.mail.raw_limits import refusal
from tracker.mail.rewrite import Rewritten, Untracked, rewrite

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def corpora() -> None:
    try:
        fetch()
    except UnreachableError as error:
        pytest.skip(f"no corpora: {error}")


def view(raw: bytes) -> list[object]:
    """What the standard library sees: types, headers but Bcc, and the bodies that are not HTML."""
    try:
        seen: list[object] = []
        for part in email.message_from_bytes(raw).walk():
            headers = [(name, value) for name, value in part.raw_items() if name.lower().strip() != "bcc"]
            is_text = part.is_multipart() or part.get_content_type() == "text/html"
            seen.append((part.get_content_type(), headers, None if is_text else part.get_payload()))
    except Exception as error:
        return [type(error)]
    return seen


def check(name: str, raw: bytes) -> Rewritten:
    """Rewrites one message and compares."""
    done = rewrite(raw, PLAN, BASE)
    assert done.untracked is not Untracked.FAULT, name
    assert undo(done, raw) == raw, name
    assert view(done.content) == view(raw), name
    if done.untracked is not None:
        assert all(raw[edit.start : edit.end].lower().startswith(b"bcc") for edit in done.edits), name
        assert done.edits or done.content == raw, name
    return done


@pytest.mark.usefixtures("corpora")
def test_every_message_is_untouched_or_the_same_but_for_pixel_and_links():
    verdicts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    slowest = 0.0
    for name, found in messages():
        raw = on_the_wire(found)
        began = time.perf_counter()
        done = check(name, raw)
        slowest = max(slowest, time.perf_counter() - began)
        check(name, found)  # as it came, whatever its line ends
        verdicts[done.untracked or "tracked"] += 1
        refused[refusal(raw) or "taken"] += 1
    print(f"\n{verdicts.total()} messages: {dict(verdicts)}\n{dict(refused)}, slowest {slowest * 1e3:.0f} ms")  # noqa: T201
    assert verdicts.total() >= 150
    assert verdicts["tracked"] >= 20
    assert slowest < 5


def wrapped(html: bytes, encoding: str) -> bytes:
    """A page as a mail, the way clients send it."""
    if encoding == "base64":
        body = encodebytes(html)
    elif encoding == "quoted-printable":
        body = quopri.encodestring(html)
    else:
        body = html
    head = f"Subject: x\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n"
    return on_the_wire(head.encode() + body)


@pytest.mark.usefixtures("corpora")
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_every_page_gets_its_pixel_whatever_its_encoding(encoding: str):
    verdicts: Counter[str] = Counter()
    for name, html in pages():
        raw = wrapped(html, encoding)
        done = check(name, raw)
        verdicts[done.untracked or "tracked"] += 1
        payload = email.message_from_bytes(done.content).get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert (PIXEL.encode() in payload) == (done.untracked is None), name
    print(f"\n{verdicts.total()} pages in {encoding}: {dict(verdicts)}")  # noqa: T201
    assert verdicts["tracked"] > 0.8 * verdicts.total() > 0
