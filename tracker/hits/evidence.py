"""What a hit is judged by: facts as they are stored, in shapes that the rules and the history share.

Built by tracker/hits/reading.py from rows, and by tests by hand. Moments are microseconds since 1970 UTC.
Nothing here knows a database, and nothing here is known of a request beyond what was stored at its arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tracker.hits.agents import Agent
from tracker.hits.verdicts import Verdict

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class HitFacts(NamedTuple):
    """One request, as stored. `headers` is JSON text or null, kept for rules to come."""

    uid: str
    at: int
    kind: str  # open | click
    method: str = "GET"
    purpose: str | None = None
    agent: Agent = Agent.none()
    network: str | None = None
    network_label: str | None = None
    device: str | None = None
    headers: str | None = None
    told: str | None = None  # what its account said of it: a reason code of tracker/hits/taught.py


class MailFacts(NamedTuple):
    """What the rules ask of the mail."""

    origin: str  # compose | list | demo | send | capture
    mode: str  # full | clicks | off
    created_at: int
    arms_at: int
    armed_at: int | None = None
    handed_over_at: int | None = None  # the provider's 250 for this recipient's copy
    replied_at: int | None = None  # of the recipient, or of the mail where the token is shared
    own_proxy: str | None = None  # the image proxy of the sender's own provider; of answered mail only
    mode_since: int | None = None  # from then on it has its mode, as its owner said; None: always


# Device hash → when it was last known to be the sender's. Empty in a trial: there the rule is off.
OwnDevices = Mapping[str, int]


class Judgement(NamedTuple):
    """What one hit is taken for, and why: `reason` is a key of tracker/hits/reasons.py."""

    verdict: Verdict
    reason: str
    client: str | None = None
    details: Mapping[str, str] | None = None
