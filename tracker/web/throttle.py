"""A brake for pages that a script could try all day: tries by network, counted in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

from tracker.web.intake import describe
from tracker.web.keys import INTAKE

_TRIES = 20  # from one network within _WINDOW
_WINDOW = 600.0  # seconds
_NETWORKS = 10_000


class Throttle:
    """Counts tries by network, or by whatever else names who tries."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, tries: int = _TRIES) -> None:
        self._clock = clock
        self._most = tries
        self._tries: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allows(self, network: str) -> bool:
        """Counts one more try; whether it may go on."""
        since, count = self._tries.get(network, (self._clock(), 0))
        if self._clock() - since >= _WINDOW:
            since, count = self._clock(), 0
        self._tries[network] = since, count + 1
        self._tries.move_to_end(network)
        while len(self._tries) > _NETWORKS:
            self._tries.popitem(last=False)
        return count < self._most


def network_of(request: web.Request) -> str:
    """The network that the request comes from, cut short; empty where it is not known."""
    described = describe(request.headers, request.headers.getall("X-Forwarded-For", ()))
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    host = peer[0] if isinstance(peer, tuple) else None
    return request.app[INTAKE].origin(host, described.forwarded, None).network or ""
