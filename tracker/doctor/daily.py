"""The doctor's own round, once a day: it rings when something broke, and once when that is mended.

Run by tracker/schedule.py. What is wrong is looked at once more a minute later before anybody hears of it.
In a trial, on somebody's own machine that sleeps at times, it does not run.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from tortoise.exceptions import IntegrityError

from models import Account, Destination, InstanceState
from models.database import atomically
from models.wake import OUTBOX
from tracker.doctor.examine import ACCOUNT, INSTANCE, examine
from tracker.doctor.findings import Check, Finding, Visit
from tracker.keys import keyed_hash
from tracker.sending.notices import Notice, post
from tracker.services import Services

EVERY = dt.timedelta(hours=24)
FIRST = dt.timedelta(hours=1)  # after the first start
AGAIN_SECONDS = 60.0
_AT, _BROKEN = "doctor:at", "doctor:broken"
_BUTTONS = (("Look again", "doctor"),)
_MOST_TOLD = 3  # things that one notice names

log = logging.getLogger(__name__)


async def look(services: Services) -> str:
    """Begins a round if one is due and no other process took it.

    It goes on by itself: it takes minutes, and the end of a process does not wait for it.
    """
    if services.settings.is_trial or not await _take_turn(services):
        return "not due"
    task = asyncio.create_task(_round(services))
    _rounds.add(task)
    task.add_done_callback(_rounds.discard)
    return "begun"


_rounds: set[asyncio.Task[None]] = set()


async def _round(services: Services) -> None:
    try:
        broken = await find_broken(services, (*INSTANCE, *ACCOUNT))
        told = await tell(services, broken)
    except Exception:
        log.exception("today's round of the doctor did not come to its end")
    else:
        log.info("the doctor found %d things wrong, and told %d", len(broken), told)


async def _take_turn(services: Services) -> bool:
    """Whether this process does today's round. A clock that was put back does not stop it for long."""
    now = services.now()
    kept = await InstanceState.get_or_none(key=_AT)
    if kept is None:
        with suppress(IntegrityError):
            await InstanceState.create(key=_AT, value=(now - EVERY + FIRST).isoformat())
        return False
    at = dt.datetime.fromisoformat(kept.value)
    if at <= now < at + EVERY:
        return False
    taken = await InstanceState.filter(key=_AT, value=kept.value).update(value=now.isoformat())
    return bool(taken)


async def find_broken(services: Services, checks: Sequence[Check]) -> dict[str, Finding]:
    """What is wrong, by its key, now and a minute later."""
    visit = Visit(services)
    failing = [check for check in checks if _wrong(await examine(visit, [check]))]
    if not failing:
        return {}
    await asyncio.sleep(AGAIN_SECONDS)
    return _wrong(await examine(visit, failing))


def _wrong(found: Sequence[Finding]) -> dict[str, Finding]:
    return {one.key: one for one in found if one.state == "wrong"}


async def tell(services: Services, broken: Mapping[str, Finding]) -> int:
    """Tells what is wrong since this round, and what is well again; how many notices that were."""

    async def work() -> int:
        kept = await InstanceState.get_or_none(key=_BROKEN)
        before = _read(kept.value) if kept else {}
        now = {key: {"name": one.name, "account": one.account_id} for key, one in broken.items()}
        notices = [
            *await _notices(services, "broke", [one for key, one in broken.items() if key not in before]),
            *await _notices(services, "mended", _mended(before, broken)),
        ]
        await InstanceState.filter(key=_BROKEN).delete()
        await InstanceState.create(key=_BROKEN, value=json.dumps(now))
        await post(notices, services.now())
        return len(notices)

    told = await atomically(work)
    services.wake.ring(OUTBOX)
    return told


def _read(text: str) -> dict[str, Any]:
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _mended(before: Mapping[str, Any], broken: Mapping[str, Finding]) -> list[Finding]:
    return [
        Finding(key, str(one["name"]), "ok", "works again", account_id=one["account"])
        for key, one in before.items()
        if key not in broken
    ]


async def _notices(services: Services, what: str, findings: Sequence[Finding]) -> list[Notice]:
    """One notice for each account that is concerned."""
    by_account: dict[int, list[Finding]] = {}
    for one in findings:
        for account_id in [one.account_id] if one.account_id is not None else await _operators():
            by_account.setdefault(account_id, []).append(one)
    return [
        Notice(account_id, _key(services, what, account_id, rows), _text(what, rows), buttons=_BUTTONS)
        for account_id, rows in by_account.items()
    ]


def _key(services: Services, what: str, account_id: int, findings: Sequence[Finding]) -> str:
    text = f"{what} {account_id} {services.now():%Y%m%d%H%M%S} {' '.join(one.key for one in findings)}"
    return f"doctor:{keyed_hash(services.settings.key, 'doctor news', text, 12)}"


def _text(what: str, findings: Sequence[Finding]) -> str:
    named = findings[:_MOST_TOLD]
    more = f" And {len(findings) - len(named)} more: type doctor." if len(findings) > len(named) else ""
    if what == "mended":
        return "Works again: " + "; ".join(one.name for one in named) + f".{more}"
    parts = [f"{one.name}: {one.said}. {one.remedy}" for one in named]
    return "Something does not work any more. " + " ".join(parts) + more


async def _operators() -> list[int]:
    """Who hears of the instance itself: its owners, else whoever has a chat and came first."""
    owners = await Account.filter(is_owner=True).values_list("id", flat=True)
    if owners:
        return [int(str(one)) for one in owners]
    first = await Destination.filter(off_at__isnull=True).order_by("account_id").first()
    return [first.account_id] if first else []
