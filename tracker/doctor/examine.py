"""CHECKS: everything that the doctor looks at, on one screen, and one round of it.

Called by the command `doctor`, by `python -m bot doctor`, and each day by tracker/doctor/daily.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from tracker.doctor.findings import About, Check, Finding, Visit
from tracker.doctor.logins import check_mailboxes
from tracker.doctor.mail_ports import check_capture, check_exchangers, check_submission
from tracker.doctor.self_test import check_capture_way, check_submission_way
from tracker.doctor.web import check_base_url, check_certificate
from tracker.doctor.within import (
    check_backlog,
    check_database,
    check_destinations,
    check_disk,
    check_lists,
    check_processes,
)

SECONDS = 90.0  # for one check

# In the order in which they are shown; the first ones explain what is wrong with the later ones.
INSTANCE: tuple[Check, ...] = (
    check_database,
    check_disk,
    check_base_url,
    check_certificate,
    check_processes,
    check_capture,
    check_exchangers,
    check_submission,
    check_backlog,
    check_lists,
    check_capture_way,
    check_submission_way,
)
ACCOUNT: tuple[Check, ...] = (check_mailboxes, check_destinations)

_late: set[asyncio.Future[Sequence[Finding]]] = set()

log = logging.getLogger(__name__)


async def examine(
    visit: Visit, checks: Sequence[Check], told: Callable[[Finding], None] = lambda _: None
) -> list[Finding]:
    """Runs the checks one after the other; `told` hears each finding at once. Raises nothing of theirs."""
    found: list[Finding] = []
    for check in checks:
        for one in await _look(visit, check):
            found.append(one)
            told(one)
    return found


async def _look(visit: Visit, check: Check) -> Sequence[Finding]:
    name = check.__name__.removeprefix("check_").replace("_", " ")
    about = About(f"check-{name}"[:60], name.capitalize())
    # Never cut off: there is work on the database in it.
    run = asyncio.ensure_future(check(visit))
    await asyncio.wait([run], timeout=SECONDS)
    if not run.done():
        _late.add(run)
        run.add_done_callback(_late.discard)
        return [about.wrong(f"took longer than {SECONDS:.0f} seconds", "Try again; look at the load here.")]
    try:
        return run.result()
    except Exception as error:
        log.exception("a check of the doctor failed: %s", name)
        return [about.wrong(f"the check itself failed ({type(error).__name__})", "The log says more.")]
