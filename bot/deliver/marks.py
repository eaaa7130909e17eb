"""The marks that follow each message: what an alert has come to, as statements for the writer.

Made by a turn once a chat took a message, or did not. A state is changed only from the one that was expected,
so that what was judged anew or told meanwhile stays as it is. Nothing is read or sent here.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bot.deliver.outbox import Target, Waiting
from bot.render import withdrawal
from models.columns import to_micros
from models.writer import Statement

OWN_MESSAGES = frozenset({"morning", "weekly"})
MARK_BATCH = 500  # rows of one transaction: hits wait for the same writer

_SENT = (
    "UPDATE alert SET state = ?, sent_at = ?, remote_id = ?, last_error = NULL "
    "WHERE id = ? AND state = 'waiting'"
)
# Judged anew while it was on its way: it did ring, so it has to be corrected.
_SENT_BUT_WITHDRAWN = (
    "UPDATE alert SET state = ?, sent_at = ?, remote_id = ?, fix_text = COALESCE(fix_text, ?) "
    "WHERE id = ? AND state = 'withdrawn'"
)
_WELL = "UPDATE destination SET failures = 0, wait_until = NULL WHERE id = ? AND failures > 0"
_HELD = "UPDATE alert SET due_at = ?, facts = ? WHERE id = ? AND state = 'waiting'"
_CLOSE = "UPDATE alert SET state = ?, last_error = ? WHERE id = ? AND state = 'waiting'"
_FIXED = "UPDATE alert SET fix_text = NULL, facts = ? WHERE id = ? AND fix_text = ?"
_FAILED = "UPDATE alert SET attempts = attempts + 1, last_error = ? WHERE id = ?"
_HOLD = "UPDATE destination SET wait_until = ?, failures = failures + 1 WHERE id = ?"


def mark_sent(
    target: Target, alerts: Sequence[Waiting], state: str, remote_id: str, at: dt.datetime
) -> list[Statement]:
    """The chat took it: `state` is sent or folded."""
    moment = to_micros(at)
    rows = [(state, moment, remote_id, one.id) for one in alerts]
    late = [(state, moment, remote_id, withdrawal(one.ring), one.id) for one in alerts]
    return [
        Statement(_SENT, rows),
        Statement(_SENT_BUT_WITHDRAWN, late),
        Statement(_WELL, [(target.id,)]),
    ]


def mark_silenced(alerts: Sequence[Waiting]) -> list[Statement]:
    return [Statement(_CLOSE, [("silenced", None, one.id) for one in alerts])]


def mark_held(alerts: Sequence[Waiting], until: dt.datetime) -> list[Statement]:
    """They wait for the end of quiet hours. A summary stays a message of its own."""
    rows = [(to_micros(until), json.dumps(_held(one)), one.id) for one in alerts]
    return [Statement(_HELD, rows)]


def _held(alert: Waiting) -> Mapping[str, Any]:
    facts = alert.ring.facts
    return facts if alert.due.event in OWN_MESSAGES else {**facts, "held": True}


def mark_dropped(alerts: Sequence[Waiting], why: str) -> list[Statement]:
    return [Statement(_CLOSE, [("dropped", why[:200], one.id) for one in alerts])]


def mark_fixed(alert: Waiting) -> list[Statement]:
    """The correction stands in the chat; the text is kept for a digest that is drawn again."""
    fixed = {} if alert.is_renumbered else {"fixed": alert.fix_text}
    facts = json.dumps({**alert.ring.facts, **fixed})
    return [Statement(_FIXED, [(facts, alert.id, alert.fix_text)])]


def mark_failed(
    target: Target, alerts: Sequence[Waiting], why: str, wait_until: dt.datetime
) -> list[Statement]:
    """Nothing, or nobody knows what, was shown: the destination rests."""
    statements = [Statement(_HOLD, [(to_micros(wait_until), target.id)])]
    if alerts:
        statements.append(Statement(_FAILED, [(why[:200], one.id) for one in alerts]))
    return statements
