"""Everything that is done from time to time, on one screen, and what does it.

`bot/process.py` runs it in the worker. A duty that fails is logged and comes again at its next time; one
that runs while the process ends is let finish. Each must be safe to run in several processes at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from models.database import DATABASE_FAULTS
from models.writer import WriterDownError
from tracker import retention, summaries
from tracker.doctor import daily
from tracker.hits import teaching
from tracker.insights import habits, person_sums, rollups, sides
from tracker.reminders import defaults, firing
from tracker.services import Services

# Not worth a traceback each: everything else says it, too.
_DATABASE_DOWN = (WriterDownError, *DATABASE_FAULTS)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Duty:
    name: str
    seconds: float  # from the end of one run to the start of the next
    work: Callable[[Services], Awaitable[object]]
    until: Callable[[Services], Awaitable[float | None]] | None = None  # seconds to what cannot wait so long


DUTIES: tuple[Duty, ...] = (
    Duty("retention", 6 * 3600, retention.enforce),
    Duty("taught", 5, teaching.catch_up),
    Duty("sides", 300, sides.learn),
    Duty("doctor", 600, daily.look),
    Duty("habits", 900, habits.learn),
    Duty("sums", 2, rollups.Keeper().keep),
    Duty("sums of people", 30, person_sums.keep_people),
    Duty("sums that nobody marked", 60, rollups.look_around),
    Duty("reminders", 5, firing.fire_due, firing.seconds_to_next),
    Duty("summaries", 30, summaries.tell_due),
    Duty("default reminders", 30, defaults.apply_defaults),
)


async def run_schedule(services: Services, duties: Sequence[Duty] = DUTIES) -> None:
    """Runs every duty at once and then again and again, until cancelled; then waits for those under way."""
    async with asyncio.TaskGroup() as group:
        for duty in duties:
            group.create_task(_repeat(services, duty), name=f"duty {duty.name}")


async def _repeat(services: Services, duty: Duty) -> None:
    while True:
        run = asyncio.ensure_future(_run_once(services, duty))
        try:
            await asyncio.shield(run)
        except asyncio.CancelledError:
            await run
            raise
        await asyncio.sleep(await _pause(services, duty))


async def _pause(services: Services, duty: Duty) -> float:
    if duty.until is None:
        return duty.seconds
    try:
        wanted = await duty.until(services)
    except _DATABASE_DOWN:
        return duty.seconds
    except Exception:
        log.exception("duty %s does not know its next time", duty.name)
        return duty.seconds
    return duty.seconds if wanted is None else min(duty.seconds, max(wanted, 0.05))


async def _run_once(services: Services, duty: Duty) -> None:
    try:
        result = await duty.work(services)
    except _DATABASE_DOWN as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        log.warning("duty %s waits for the database (%s); next try in %.0f s", duty.name, why, duty.seconds)
    except Exception:
        log.exception("duty %s failed; next try in %.0f s", duty.name, duty.seconds)
    else:
        log.debug("duty %s done: %s", duty.name, result)
