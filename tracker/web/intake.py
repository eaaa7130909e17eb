"""From a request's headers to the raw hit: the one place where both ways of the pixel meet.

The ordinary handlers (hits.py) and the lean protocol (lean.py) hand in the same few things, so that what is
stored never depends on the way. Full addresses live in memory only.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from models.columns import to_micros
from models.writer import RawHit
from tracker.hits import facts
from tracker.hits.networks import Networks
from tracker.services import Services, utc_now

TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
_REMEMBERED = 8192  # clients of which it is known what is stored of them


class Described(NamedTuple):
    """What a request's headers say of it; nothing in here depends on token or address."""

    agent: str | None
    purpose: str | None
    kept: str | None
    forwarded: tuple[str, ...]  # X-Forwarded-For, in order


def describe(headers: Mapping[str, str], forwarded: Sequence[str]) -> Described:
    """`headers` finds names in lower case."""
    return Described(
        facts.clean_agent(headers.get("user-agent")),
        facts.purpose_of(headers),
        facts.kept_headers(headers),
        tuple(forwarded),
    )


def _system_micros() -> int:
    return time.time_ns() // 1000


class Intake:
    """Makes raw hits; one for each application."""

    def __init__(self, services: Services, networks: Networks) -> None:
        now = services.now
        # The system's clock tells microseconds in a sixth of the time that a datetime takes.
        self._micros = _system_micros if now is utc_now else lambda: to_micros(now())
        self._key = services.settings.key
        self._proxies = facts.Proxies(services.settings.proxies)
        self.use(networks)
        # Unique without asking anybody, and in order, so that an index on it grows at its end.
        self._prefix = f"{int(time.time()):08x}{secrets.token_hex(6)}"
        self._numbers = itertools.count()

    def use(self, networks: Networks) -> None:
        """Labels what comes from now on by these networks."""
        self._networks = networks
        self._origin = lru_cache(_REMEMBERED)(self._work_out)

    def origin(self, peer: str | None, forwarded: Sequence[str], agent: str | None) -> facts.Origin:
        """Network, label and device of a request; `agent` as `facts.clean_agent` gives it."""
        return self._origin(peer, tuple(forwarded), agent)

    def _work_out(self, peer: str | None, forwarded: tuple[str, ...], agent: str | None) -> facts.Origin:
        address = facts.client_address(peer, forwarded, self._proxies)
        return facts.origin_of(self._key, address, self._networks.label(address), agent)

    def hit(
        self, kind: str, token: str, peer: str | None, described: Described, method: str = "GET"
    ) -> RawHit:
        """The raw hit of a request that arrived now."""
        agent, purpose, kept, forwarded = described
        network, label, device = self._origin(peer, forwarded, agent)
        uid = f"{self._prefix}{next(self._numbers):012x}"
        return RawHit(uid, self._micros(), token, method, purpose, agent, network, label, device, kept, kind)
