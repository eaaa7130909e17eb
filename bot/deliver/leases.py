"""One worker at a time serves a destination, so that order and folding hold: a claim with an end.

A conditional UPDATE is the claim, on both engines. A worker that dies leaves its lease to run out; on SQLite,
where there is only one service process, whatever is leased at its start belongs to a dead one.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from bot.deliver.rules import LONGEST_REST
from models.columns import to_micros
from models.database import is_sqlite
from models.writer import Statement
from tracker.services import Services

LEASE = dt.timedelta(seconds=30)
RENEW_BELOW = dt.timedelta(seconds=25)  # more than the longest call to a chat

# What ends later than any wait or lease can was written before the clock was put back, and is over.
FREE = (
    "(wait_until IS NULL OR wait_until <= ? OR wait_until > ?) "
    "AND (leased_until IS NULL OR leased_until <= ? OR leased_until > ? OR leased_by = ?)"
)
_CLAIM = (
    "UPDATE destination SET leased_by = ?, leased_until = ? "  # noqa: S608, of constants
    f"WHERE id = ? AND off_at IS NULL AND {FREE}"
)
_RENEW = "UPDATE destination SET leased_until = ? WHERE id = ? AND leased_by = ?"
_RELEASE = "UPDATE destination SET leased_by = NULL, leased_until = NULL WHERE id = ? AND leased_by = ?"
_RELEASE_ALL = "UPDATE destination SET leased_by = NULL, leased_until = NULL WHERE leased_until IS NOT NULL"


def values_of_free(now: dt.datetime, holder: str) -> tuple[int | str, ...]:
    """What FREE asks for: whether a destination may be served now by `holder`."""
    micros = to_micros(now)
    return micros, to_micros(now + LONGEST_REST), micros, to_micros(now + 2 * LEASE), holder


class LeaseLostError(Exception):
    """Another worker serves this destination now: stop at once, send nothing more."""


@dataclass
class Lease:
    """The right to serve one destination until `until`."""

    services: Services
    holder: str
    destination_id: int
    until: dt.datetime

    async def keep(self) -> None:
        """Makes sure that the lease outlasts one more call to a chat. Raises LeaseLostError."""
        now = self.services.now()
        if RENEW_BELOW <= self.until - now <= LEASE:
            return
        row = (to_micros(now + LEASE), self.destination_id, self.holder)
        (changed,) = await self.services.writer.apply([Statement(_RENEW, [row])])
        if not changed:
            raise LeaseLostError
        self.until = now + LEASE

    async def release(self) -> None:
        """Gives it back; what others took over meanwhile stays theirs."""
        await self.services.writer.apply([Statement(_RELEASE, [(self.destination_id, self.holder)])])


async def claim(services: Services, holder: str, destination_id: int) -> Lease | None:
    """The lease of a destination that is on, not told to wait, and not served by another live worker."""
    now = services.now()
    until = now + LEASE
    row = (holder, to_micros(until), destination_id, *values_of_free(now, holder))
    (changed,) = await services.writer.apply([Statement(_CLAIM, [row])])
    return Lease(services, holder, destination_id, until) if changed else None


async def release_stale_leases(services: Services) -> int:
    """At the start of the one process that serves a SQLite file: frees what a dead one held; how many.

    On PostgreSQL other workers may be alive; there a dead one's leases run out within half a minute.
    """
    if not is_sqlite():
        return 0
    (released,) = await services.writer.apply([Statement(_RELEASE_ALL, [()])])
    return released
