"""Whether a request to /slack/events really comes from Slack, decided on the raw body.

Called by bot/slack/webhook.py before anything else reads the request: the SDK's own check answers a traceback
to a timestamp that is no number and to a signature that is not ASCII. Pure; the clock is an argument.
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from dataclasses import dataclass

WINDOW_SECONDS = 300


@dataclass(frozen=True)
class Fault:
    """Why a request is refused: 400 for one that is malformed, 401 for one that is not Slack's."""

    status: int
    text: str


def header_fault(timestamp: str | None, signature: str | None, now: dt.datetime) -> Fault | None:
    """What can be seen without the body: missing, malformed, or older (or newer) than five minutes."""
    if not timestamp or not signature:
        return Fault(401, "unsigned")
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:
        return Fault(400, "the timestamp is no number")
    if not signature.isascii() or len(signature) > 100:
        return Fault(400, "the signature is malformed")
    if abs(now.timestamp() - int(timestamp)) > WINDOW_SECONDS:
        return Fault(401, "the timestamp is too far from now")
    return None


def body_fault(secret: str, timestamp: str, signature: str, body: bytes) -> Fault | None:
    """Whether the signature fits the body. Call it after `header_fault` found nothing."""
    if not hmac.compare_digest(signed(secret, timestamp, body).encode(), signature.encode()):
        return Fault(401, "the signature does not fit")
    return None


def signed(secret: str, timestamp: str, body: bytes) -> str:
    """Slack's signature of a body: "v0=" and 64 hex digits."""
    base = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
