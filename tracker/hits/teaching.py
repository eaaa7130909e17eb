"""Taking in what somebody says of a hit, and judging the account's history anew in that light.

Called by the commands `me`, `machine` and `taught`; what a command leaves undone, because there are many
mails, and what a crash cut off, is taken up by a duty (tracker/schedule.py). What it means for a hit is in
tracker/hits/taught.py. Nothing here may be called inside a database transaction.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import dataclass
from typing import Any

from tortoise.expressions import Q

from models import Account, Agent, Destination, Hit, Taught
from models.columns import to_micros
from models.database import atomically
from models.wake import OUTBOX
from models.writer import Statement
from tracker.hits.agents import agent_of
from tracker.hits.cases import among, listed
from tracker.hits.rescore import rescore
from tracker.hits.taught import is_shared
from tracker.services import Services

MAILS = 2000  # looked through in one query
LEFT_ALONE = dt.timedelta(seconds=15)  # for the command that was given to end by itself

_BUMP = "UPDATE message SET revision = revision + 1 WHERE id = ?"
_NOTICE = (
    "INSERT INTO alert (account_id, destination_id, event_key, event, at, facts, due_at, state, attempts) "
    "VALUES (?, ?, ?, 'notice', ?, ?, ?, 'waiting', 0) ON CONFLICT DO NOTHING"
)


@dataclass
class Progress:
    """How far history was judged anew: `hits` changed their class, in `mails`; `done`: nothing is left."""

    hits: int = 0
    mails: int = 0
    done: bool = False


async def teach(services: Services, account: Account, hit: Hit, answer: str) -> Taught:
    """Stores that the account's `hit` was `answer` (ME or MACHINE); `apply` then judges history anew.

    Device, network and program are kept only where they mean a person or a machine, not many people.
    """
    agent = None if hit.agent_id is None else await Agent.get_or_none(id=hit.agent_id)
    only_this = is_shared(agent_of(agent.text if agent else None), hit.network_label)
    said: dict[str, Any] = {
        "message_id": hit.message_id,
        "answer": answer,
        "device": None if only_this else hit.device,
        "network": None if only_this else hit.network,
        "agent_id": None if only_this else hit.agent_id,
        "client": hit.client,
        "at": services.now(),
        "undone_at": None,
        "reached": None,
        "applied_at": None,
    }

    async def write() -> Taught:
        row, _ = await Taught.update_or_create(defaults=said, account_id=account.id, uid=hit.uid)
        return row

    return await atomically(write)


async def undo(services: Services, account: Account, number: int) -> Taught | None:
    """Takes a lesson back; None where the account has none with this number. `apply` does the rest."""
    now = services.now()

    async def write() -> Taught | None:
        rows = Taught.filter(id=number, account_id=account.id, undone_at=None)
        if not await rows.update(undone_at=now, reached=None, applied_at=None):
            return None
        return await Taught.get(id=number)

    return await atomically(write)


async def apply(services: Services, lesson: Taught, seconds: float | None = None) -> Progress:
    """Judges anew every mail of the account that the lesson may concern, for about `seconds` at the most.

    Goes on where it stopped. A lesson that was undone is deleted at the end.
    """
    progress, until = Progress(), None if seconds is None else time.monotonic() + seconds
    if lesson.reached is None:
        await _judge_anew(services, [lesson.message_id] if lesson.message_id else [], progress)
        await _note(lesson, reached=0)
    while until is None or time.monotonic() < until:
        mails = await services.writer.fetch(
            "SELECT id FROM message WHERE account_id = ? AND id > ? ORDER BY id LIMIT ?",
            (lesson.account_id, lesson.reached or 0, MAILS),
        )
        concerned = await _concerned(services, lesson, [row[0] for row in mails]) if mails else []
        for message_id in concerned:
            await _judge_anew(services, [message_id], progress)
            await _note(lesson, reached=message_id)
            if until is not None and time.monotonic() > until:
                return progress
        if len(mails) < MAILS:
            await _finish(services, lesson)
            progress.done = True
            return progress
        await _note(lesson, reached=mails[-1][0])
    return progress


async def _concerned(services: Services, lesson: Taught, mails: list[int]) -> list[int]:
    """Those of `mails` with a hit from the lesson's device, or from its network and program."""
    alike: list[str] = []
    arguments: list[Any] = [listed(mails)]
    if lesson.device is not None:
        alike.append("device = ?")
        arguments.append(lesson.device)
    if lesson.network is not None and lesson.agent_id is None:
        alike.append("(network = ? AND agent_id IS NULL)")
        arguments.append(lesson.network)
    elif lesson.network is not None:
        alike.append("(network = ? AND agent_id = ?)")
        arguments += [lesson.network, lesson.agent_id]
    if not alike:
        return []
    sql = f"SELECT DISTINCT message_id FROM hit WHERE {among('message_id')} AND ({' OR '.join(alike)})"  # noqa: S608
    return sorted(row[0] for row in await services.writer.fetch(sql, arguments))


async def _judge_anew(services: Services, mails: list[int], progress: Progress) -> None:
    for message_id in mails:
        # A judge that is at work on it without this knowledge has to read it afresh.
        await services.writer.apply([Statement(_BUMP, [(message_id,)])])
        changes = await rescore(services, message_id)
        progress.hits += len(changes)
        progress.mails += bool(changes)


async def _note(lesson: Taught, **columns: Any) -> None:
    lesson.update_from_dict(columns)
    await Taught.filter(id=lesson.id).update(**columns)


async def _finish(services: Services, lesson: Taught) -> None:
    if lesson.undone_at is None:
        await _note(lesson, applied_at=services.now())
    else:
        await Taught.filter(id=lesson.id).exclude(undone_at=None).delete()


async def catch_up(services: Services) -> int:
    """Goes on with what commands left undone, and tells when it is done; how many lessons were finished."""
    before = services.now() - LEFT_ALONE
    waiting = Q(undone_at=None, at__lt=before) | Q(undone_at__lt=before)
    lessons = await Taught.filter(waiting, applied_at=None).order_by("id")
    for lesson in lessons:
        progress = await apply(services, lesson)
        await _tell(services, lesson, progress)
    return len(lessons)


async def _tell(services: Services, lesson: Taught, progress: Progress) -> None:
    if not progress.hits:
        return
    now = to_micros(services.now())
    text = (
        f"Done: with what you told me, {progress.hits} events in {progress.mails} mails are judged anew. "
        "Their cards are up to date."
    )
    places = await Destination.filter(account_id=lesson.account_id, off_at=None, private=True)
    rows = [
        (lesson.account_id, one.id, f"taught:{lesson.id}:{now}", now, json.dumps({"text": text}), now)
        for one in places
    ]
    if rows:
        await services.writer.apply([Statement(_NOTICE, rows)])
        services.wake.ring(OUTBOX)
