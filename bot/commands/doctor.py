"""`doctor`: looks whether everything works; the answer comes when it has looked.

In a chat the first words come at once and the rest as a notice with a button, since a round takes up to a
minute. The checks themselves stand in tracker/doctor/.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bot.access import CONSOLE
from bot.chat import Button, Reply
from bot.commands.registry import Command, CommandError, Request
from bot.words import ago, one_line, plural
from models import Account, InstanceState
from models.columns import from_micros, to_micros
from models.database import atomically
from models.wake import OUTBOX
from tracker.doctor.examine import ACCOUNT, INSTANCE, examine
from tracker.doctor.findings import Finding, Visit
from tracker.keys import new_code
from tracker.sending.notices import Notice, post
from tracker.services import Services

_MARKS = {"ok": "✓", "wrong": "✗", "note": "–"}
_ORDER = {"wrong": 0, "note": 1, "ok": 2}
_running: dict[int, asyncio.Task[None]] = {}  # by account

log = logging.getLogger(__name__)


async def answer_doctor(request: Request) -> Reply:
    """`doctor`, and `doctor last`: what the round before found."""
    word = request.arguments.strip().lower()
    if word in ("last", "show"):
        return await _last(request)
    if word:
        raise CommandError(f"I do not understand “{one_line(word, 30)}”: type doctor, or doctor last")
    is_console = request.incoming.place.platform == CONSOLE
    everything = is_console or request.account.is_owner
    if is_console:
        found = await _look(request.services, request.account, everything)
        await atomically(lambda: _keep(request.services, request.account, found))
        return _report(found)
    if request.account.id in _running:
        return Reply(title="I am looking already, and tell you when I am through.")
    task = asyncio.create_task(_look_and_tell(request.services, request.account, everything))
    _running[request.account.id] = task
    task.add_done_callback(lambda _: _running.pop(request.account.id, None))
    what = "everything: addresses, ports, certificates, mailboxes, and a mail to myself"
    return Reply(
        title=f"I look at {what if everything else 'your mailboxes and chats'}.",
        lines=("It takes up to a minute; I tell you here when I am through.",),
    )


async def _look(services: Services, account: Account, everything: bool) -> list[Finding]:
    found = await examine(Visit(services), INSTANCE) if everything else []
    return found + await examine(Visit(services, account.id), ACCOUNT)


async def _look_and_tell(services: Services, account: Account, everything: bool) -> None:
    """A round in the background: what it found is kept for `doctor last`, and told in one notice."""
    try:
        found = await _look(services, account, everything)
        await _keep_and_tell(services, account, found)
    except Exception:
        log.exception("the doctor did not come through")


async def _keep(services: Services, account: Account, found: Sequence[Finding]) -> None:
    """For `doctor last`. Call it inside a transaction."""
    kept = json.dumps({"at": to_micros(services.now()), "findings": [asdict(one) for one in found]})
    await InstanceState.filter(key=_state_key(account)).delete()
    await InstanceState.create(key=_state_key(account), value=kept)


async def _keep_and_tell(services: Services, account: Account, found: Sequence[Finding]) -> None:
    wrong = [one for one in found if one.state == "wrong"]
    text = f"I looked at {plural(len(found), 'thing')}: all is well."
    if wrong:
        names = "; ".join(f"{one.name}: {one.said}" for one in wrong[:3])
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        text = f"I looked at {plural(len(found), 'thing')}, and {len(wrong)} of them need you. {names}{more}."

    async def work() -> None:
        await _keep(services, account, found)
        button = ("Show all", "doctor last")
        await post([Notice(account.id, f"doctor:{new_code(20)}", text, buttons=(button,))], services.now())

    await atomically(work)
    services.wake.ring(OUTBOX)


def _state_key(account: Account) -> str:
    return f"doctor:report:{account.id}"


async def _last(request: Request) -> Reply:
    kept = await InstanceState.get_or_none(key=_state_key(request.account))
    if kept is None:
        raise CommandError("you have not had me look yet: type doctor")
    stored: dict[str, Any] = json.loads(kept.value)
    found = [Finding(**one) for one in stored["findings"]]
    reply = _report(found)
    when = ago(from_micros(int(stored["at"])), request.services.now())
    return Reply(title=f"{reply.title} ({when})", lines=reply.lines, buttons=reply.buttons, data=reply.data)


def _report(found: Sequence[Finding]) -> Reply:
    """What is wrong first; each thing in a line, its remedy under it."""
    lines = []
    for one in sorted(found, key=lambda one: _ORDER[one.state]):
        lines.append(f"{_MARKS[one.state]} {one_line(one.name, 64)}: {one_line(one.said, 250)}")
        if one.remedy:
            lines.append(f"   → {one_line(one.remedy, 300)}")
    wrong = sum(one.state == "wrong" for one in found)
    title = f"{plural(wrong, 'thing needs', 'things need')} you." if wrong else "All is well."
    return Reply(
        title=title,
        lines=tuple(lines),
        buttons=((Button("Look again", "doctor"),),) if wrong else (),
        data={"wrong": wrong, "findings": [asdict(one) for one in found]},
    )


DOCTOR = Command(
    verb="doctor",
    summary="Look whether everything works, and what to do where it does not",
    usage="[last]",
    handler=answer_doctor,
    details=(
        "For the owner: addresses, proxies, certificates, mail ports, and a mail to itself by each way in.",
        "For everybody: your own mailboxes and chats. last: what the round before found, in full.",
        "The same runs once a day by itself and rings when something broke.",
    ),
    examples=("doctor", "doctor last"),
    personal=True,
)
