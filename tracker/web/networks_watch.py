"""Keeps the network labels of a running service current: reads the lists at start and when a file changes.

`update-networks` writes into DATA_DIR/networks, from another process; once a minute the folder is looked at,
off the way of requests. A list that cannot be read is told in the log, and the others go on working.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from tracker.hits import network_lists
from tracker.hits.network_lists import FOLDER, OLD, NetworkList
from tracker.hits.networks import Networks
from tracker.web.intake import Intake
from tracker.web.keys import INTAKE, SERVICES

log = logging.getLogger(__name__)

SECONDS = 60.0

_State = tuple[tuple[str, int, int], ...]  # name, time of change and size of each file


class _Loaded(NamedTuple):
    networks: Networks
    dates: dict[str, dt.date]  # of each list, by "hosting/AWS"


class NetworkFiles:
    """The lists of one DATA_DIR."""

    def __init__(self, data_dir: Path) -> None:
        self._directory = data_dir / FOLDER
        self._state: _State = ()
        self.dates: dict[str, dt.date] = {}

    def load(self) -> Networks:
        """Reads everything, in about 50 ms; remembers what the files looked like."""
        self._state = self._look()
        own = bool(self._state)
        loaded = _load(network_lists.in_use(self._directory)) if own else _shipped()
        self.dates = loaded.dates
        return loaded.networks

    def changed(self) -> bool:
        """Whether the files look different from what was read."""
        return self._look() != self._state

    def _look(self) -> _State:
        state = []
        for path in sorted(self._directory.glob("*.txt")) if self._directory.is_dir() else ():
            with suppress(OSError):  # gone between the two calls
                facts = path.stat()
                state.append((path.name, facts.st_mtime_ns, facts.st_size))
        return tuple(state)


def _load(lists: Iterable[NetworkList]) -> _Loaded:
    lists = list(lists)
    return _Loaded(network_lists.build(lists), {f"{one.kind}/{one.name}": one.date for one in lists})


@cache
def _shipped() -> _Loaded:
    """Without own lists every service of a process shares one look-up."""
    return _load(network_lists.shipped())


async def refresh(files: NetworkFiles, intake: Intake) -> bool:
    """Takes over lists that changed; says whether there were any."""
    if not await asyncio.to_thread(files.changed):
        return False
    intake.use(await asyncio.to_thread(files.load))
    log.info("network lists read anew")
    return True


def watching(files: NetworkFiles) -> Callable[[web.Application], AsyncIterator[None]]:
    """A clean-up context that looks at the files once a minute while the application lives."""

    async def watch(app: web.Application) -> AsyncIterator[None]:
        tell_old(files.dates, app[SERVICES].now().date())
        task = asyncio.create_task(_keep_current(files, app[INTAKE]), name="network lists")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return watch


async def _keep_current(files: NetworkFiles, intake: Intake) -> None:
    while True:
        await asyncio.sleep(SECONDS)
        try:
            await refresh(files, intake)
        except Exception:
            log.exception("network lists could not be read; those before stay in use")


def tell_old(dates: dict[str, dt.date], today: dt.date) -> None:
    """One line in the log when lists are older than half a year. They go on working: networks seldom move."""
    old = [date for date in dates.values() if today - date > OLD]
    if old:
        log.warning(
            "%d of %d network lists are older than %d days (since %s): data centres that came later count as "
            "people; see `python -m bot update-networks --show`",
            len(old), len(dates), OLD.days, min(old),
        )  # fmt: skip
