"""How one request to the fake Slack goes wrong; queued with `FakeSlack.fail(method, …)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """How one request goes wrong."""

    kind: str  # wait | status | error | hang | lose | drop
    value: Any = None


def wait(seconds: int) -> Fault:
    """429 with Retry-After."""
    return Fault("wait", seconds)


def status(code: int) -> Fault:
    """An HTTP error with a body that is no JSON, as a proxy in between gives it."""
    return Fault("status", code)


def error(code: str) -> Fault:
    """`{"ok": false, "error": code}`"""
    return Fault("error", code)


def hang() -> Fault:
    """No answer, and nothing done."""
    return Fault("hang")


def lose() -> Fault:
    """The work is done, the connection is cut before the answer."""
    return Fault("lose")


def drop() -> Fault:
    """The connection is cut with nothing done."""
    return Fault("drop")
