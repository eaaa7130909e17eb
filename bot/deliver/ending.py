"""What becomes of a destination that is dead for good, or that moved: off, and told elsewhere."""

from __future__ import annotations

import datetime as dt
import json
import logging

from bot.deliver.outbox import Target, Waiting, waiting_alerts
from bot.deliver.rules import back_off
from bot.render import sentence
from bot.words import listed, one_line, plural
from models.columns import to_micros
from models.wake import OUTBOX
from models.writer import Statement
from tracker.destinations import wants
from tracker.services import Services

MOST_NAMED = 5

_OFF = (
    "UPDATE destination SET off_at = ?, off_reason = ?, wait_until = NULL, leased_by = NULL, "
    "leased_until = NULL WHERE id = ? AND off_at IS NULL"
)
_DROP = "UPDATE alert SET state = 'dropped', last_error = ? WHERE destination_id = ? AND state = 'waiting'"
_NO_FIX = "UPDATE alert SET fix_text = NULL WHERE destination_id = ? AND fix_text IS NOT NULL"
_MOVED = "UPDATE destination SET chat_id = ?, wait_until = ?, failures = failures + 1 WHERE id = ?"
_NOTICE = (
    "INSERT INTO alert (account_id, destination_id, event_key, event, at, facts, due_at, state, attempts) "
    "VALUES (?, ?, ?, 'notice', ?, ?, ?, 'waiting', 0) ON CONFLICT DO NOTHING"
)

log = logging.getLogger(__name__)


async def switch_off(services: Services, target: Target, why: str) -> None:
    """The chat said that this destination is gone: its rings are dropped, and somebody is told elsewhere.

    The account's other chats learn what was not delivered. Where there is none, the owner of the instance
    learns that a chat is dead, and nothing about anybody's mail.
    """
    reason = one_line(why, 150) or "gone"
    lost = await waiting_alerts(services, target.id)
    listeners = await _listeners(services, target)
    now = to_micros(services.now())
    key = f"gone:{target.id}:{now}"
    notices = [
        (account, destination, key, now, json.dumps({"text": text}), now)
        for account, destination, text in (
            (account, destination, _text(target, reason, lost, own=account == target.account_id, name=name))
            for account, destination, name in listeners
        )
    ]
    statements = [
        Statement(_OFF, [(now, reason, target.id)]),
        Statement(_DROP, [(reason, target.id)]),
        Statement(_NO_FIX, [(target.id,)]),
    ]
    if notices:
        statements.append(Statement(_NOTICE, notices))
    await services.writer.apply(statements)
    log.warning("a %s destination is switched off, %d rings dropped", target.place.platform, len(lost))
    services.wake.ring(OUTBOX)


async def move(services: Services, target: Target, chat_id: str) -> None:
    """The chat lives on under another id; where that is a destination already, this one ends in silence."""
    place = target.place
    known = await services.writer.fetch(
        "SELECT id FROM destination WHERE account_id = ? AND platform = ? AND workspace = ? "
        "AND chat_id = ? AND thread_id = ?",
        (target.account_id, place.platform, place.workspace, chat_id, place.thread_id),
    )
    if known:
        now = to_micros(services.now())
        statements = [
            Statement(_OFF, [(now, "moved to a chat that rings already", target.id)]),
            Statement(_DROP, [("moved", target.id)]),
            Statement(_NO_FIX, [(target.id,)]),
        ]
    else:
        # The rest keeps two ids that name each other from being called without end.
        rest = services.now() + dt.timedelta(seconds=back_off(target.failures, 0.0))
        statements = [Statement(_MOVED, [(chat_id, to_micros(rest), target.id)])]
    await services.writer.apply(statements)
    services.wake.ring(OUTBOX)


async def _listeners(services: Services, target: Target) -> list[tuple[int, int, str]]:
    """Account, destination and the name of the dead chat's account, of everybody to tell."""
    rows = await services.writer.fetch(
        "SELECT d.account_id, d.id, own.name, a.is_owner, d.purpose, d.private FROM destination d "
        "JOIN account a ON a.id = d.account_id JOIN account own ON own.id = ? "
        "WHERE d.off_at IS NULL AND d.id <> ? ORDER BY d.id",
        (target.account_id, target.id),
    )
    own = [row for row in rows if row[0] == target.account_id]
    told = own or [row for row in rows if row[3]]
    # A notice goes where everything goes; where no chat is for that, into the private ones, or any.
    told = [row for row in told if wants(row[4], "notice")] or [row for row in told if row[5]] or told
    return [(row[0], row[1], row[2]) for row in told]


def _text(target: Target, reason: str, lost: list[Waiting], *, own: bool, name: str) -> str:
    platform = target.place.platform.capitalize()
    title = f' "{one_line(target.place.title, 60)}"' if target.place.title else ""
    whose = (
        f"Your {platform} chat{title}" if own else f"The {platform} chat of {one_line(name, 60) or 'a user'}"
    )
    text = f"{whose} takes no messages any more ({reason}), so I switched it off."
    if lost and own:
        told = listed([sentence(one.ring) for one in lost], MOST_NAMED)
        text += f" {plural(len(lost), 'ring')} did not get there: {told}."
    elif lost:
        text += f" {plural(len(lost), 'ring')} did not get there."
    return text + (" To use it again, write me there." if own else "")
