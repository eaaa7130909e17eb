"""The rows of the outbox: what is due where, and what rang lately.

Read by each turn and by the courier; nothing is written here, nor decided what to do with a row. What follows
a message is in marks.py, what waits altogether in backlog.py.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.chat import Place
from bot.deliver.leases import FREE, values_of_free
from bot.deliver.rules import WINDOW, Due, Mutes, Recent
from bot.render import Ring
from models.columns import from_micros, to_micros
from models.writer import Statement
from tracker.quiet import Quiet
from tracker.services import Services
from tracker.wall_clock import zone_of

_UID = re.compile(r"[0-9a-f]{32}")

BATCH = 200
FOLD_BATCH = 2000  # a flood is folded in big pieces, so that the same thing again and again is one line
FIX_BATCH = 20  # corrections of one turn: rings come before the others
MOST_HELD = 20_000  # of one message at the end of quiet hours
SKEW = dt.timedelta(seconds=5)  # of the clocks of machines that share a database


@dataclass(frozen=True)
class Work:
    """A destination that has something to be told."""

    destination_id: int
    platform: str
    alerts: bool
    fixes: bool
    cards: bool


@dataclass(frozen=True)
class Target:
    """A destination as a turn needs it."""

    id: int
    account_id: int
    place: Place
    failures: int
    timezone: str | None
    quiet: Quiet = field(default_factory=Quiet)

    def quiet_until(self, now: dt.datetime) -> dt.datetime | None:
        """When the quiet hours of its owner end; None while it may make a sound."""
        return self.quiet.until(now, zone_of(self.timezone))


@dataclass(frozen=True)
class Waiting:
    """An alert with everything that deciding and rendering it takes."""

    id: int
    due: Due
    mutes: Mutes
    ring: Ring
    attempts: int
    card_id: int | None
    card_remote: str | None
    remote_id: str | None
    fix_text: str | None
    state: str

    @property
    def is_held(self) -> bool:
        """Whether quiet hours held it: it is told in the one message at their end."""
        return bool(self.ring.facts.get("held"))

    @property
    def is_renumbered(self) -> bool:
        """Whether it rang rightly, and just its number changed since."""
        return self.fix_text == ""

    @property
    def is_trace(self) -> bool:
        """Whether what this was about is forgotten (tracker/mail/traces.py); notices are never corrected."""
        return self.ring.event == "notice" and bool(self.fix_text or self.ring.fixed)


# COALESCE keeps the planner from walking everything that was ever sent (33 ms at 300,000 rows): the few
# rows with a correction have an index of their own.
_WORK = f"""
SELECT d.id, d.platform,
  EXISTS (SELECT 1 FROM alert a WHERE a.destination_id = d.id AND a.state = 'waiting' AND a.due_at <= ?),
  d.id IN (SELECT a.destination_id FROM alert a
           WHERE a.fix_text IS NOT NULL AND COALESCE(a.state, '') IN ('sent', 'folded')),
  EXISTS (SELECT 1 FROM card c WHERE c.destination_id = d.id AND c.dirty_at > 0)
FROM destination d
WHERE d.off_at IS NULL AND {FREE}
"""  # noqa: S608, of constants

_TARGET = """
SELECT d.id, d.account_id, d.platform, d.workspace, d.chat_id, d.thread_id, d.title, d.private, d.failures,
  a.timezone, a.quiet_hours
FROM destination d JOIN account a ON a.id = d.account_id WHERE d.id = ?
"""

# A person is found by address: rows made before the person was known have no person_id.
_ALERTS = """
SELECT a.id, a.event, a.ordinal, a.due_at, a.facts, a.attempts, a.remote_id, a.fix_text, a.state,
  m.code, m.subject, r.address, l.label, c.id, c.remote_id,
  acc.muted_until, d.muted_until, m.muted_until, p.muted_until, m.muted, p.muted, a.event_key
FROM alert a
JOIN account acc ON acc.id = a.account_id
JOIN destination d ON d.id = a.destination_id
LEFT JOIN message m ON m.id = a.message_id
LEFT JOIN recipient r ON r.id = a.recipient_id
LEFT JOIN person p ON p.account_id = a.account_id AND p.address = r.address
LEFT JOIN link l ON l.id = a.link_id
LEFT JOIN card c ON c.message_id = a.message_id AND c.destination_id = a.destination_id
WHERE a.destination_id = ? AND
"""

_HASTEN = "UPDATE alert SET due_at = ? WHERE state = 'waiting' AND due_at > ? AND at > ?"


async def find_work(services: Services, platforms: Collection[str], holder: str) -> list[Work]:
    """The destinations on these platforms that can be served now, in a steady order."""
    now = services.now()
    rows = await services.writer.fetch(_WORK, (to_micros(now), *values_of_free(now, holder)))
    found = [Work(row[0], row[1], bool(row[2]), bool(row[3]), bool(row[4])) for row in rows]
    return [one for one in found if one.platform in platforms and (one.alerts or one.fixes or one.cards)]


async def hasten(services: Services) -> None:
    """The clock was put back: nothing waits for a moment that was near before and is far away now.

    Quiet hours hold again what they held.
    """
    now = services.now()
    row = (to_micros(now), to_micros(now), to_micros(now + SKEW))
    await services.writer.apply([Statement(_HASTEN, [row])])


async def next_due(services: Services) -> dt.datetime | None:
    """When the next held alert is due, or the next waiting destination may be served again."""
    now = to_micros(services.now())
    rows = await services.writer.fetch(
        "SELECT MIN(due_at) FROM alert WHERE state = 'waiting' AND due_at > ? "
        "UNION ALL SELECT MIN(wait_until) FROM destination WHERE off_at IS NULL AND wait_until > ?",
        (now, now),
    )
    moments = [row[0] for row in rows if row[0] is not None]
    return from_micros(min(moments)) if moments else None


async def load_target(services: Services, destination_id: int) -> Target | None:
    """The destination's place and zone, or None when it was deleted."""
    rows = await services.writer.fetch(_TARGET, (destination_id,))
    if not rows:
        return None
    row = rows[0]
    place = Place(
        platform=row[2],
        workspace=row[3],
        chat_id=row[4],
        thread_id=row[5],
        title=row[6],
        private=bool(row[7]),
    )
    quiet = Quiet.of(_facts(row[10]))
    return Target(row[0], row[1], place, failures=row[8], timezone=row[9], quiet=quiet)


async def due_alerts(services: Services, destination_id: int, limit: int = BATCH) -> list[Waiting]:
    """Waiting alerts that are due, oldest first."""
    condition = "a.state = 'waiting' AND a.due_at <= ? ORDER BY a.due_at, a.id LIMIT ?"
    return await _alerts(services, condition, destination_id, to_micros(services.now()), limit)


async def waiting_alerts(services: Services, destination_id: int) -> list[Waiting]:
    """Everything that waits for this destination, also what is held: for telling what gets lost."""
    return await _alerts(services, "a.state = 'waiting' ORDER BY a.due_at, a.id", destination_id)


async def alerts_to_fix(services: Services, destination_id: int) -> list[Waiting]:
    """Some of the alerts that rang and were judged anew, or forgotten, since."""
    condition = "a.fix_text IS NOT NULL AND a.state IN ('sent', 'folded') ORDER BY a.id LIMIT ?"
    return await _alerts(services, condition, destination_id, FIX_BATCH)


async def alerts_of_digest(services: Services, destination_id: int, remote_id: str) -> list[Waiting]:
    """The alerts that one digest names, in its order."""
    condition = "a.state = 'folded' AND a.remote_id = ? ORDER BY a.due_at, a.id"
    return await _alerts(services, condition, destination_id, remote_id)


async def _alerts(services: Services, condition: str, *arguments: Any) -> list[Waiting]:
    return [_waiting(row) for row in await services.writer.fetch(_ALERTS + condition, arguments)]


def _waiting(row: Sequence[Any]) -> Waiting:
    (id_, event, ordinal, due_at, facts, attempts, remote_id, fix_text, state) = row[:9]
    (code, subject, address, label, card_id, card_remote) = row[9:15]
    kept = _facts(facts)
    return Waiting(
        id=id_,
        due=Due(event, from_micros(due_at), urgent=bool(kept.get("urgent"))),
        mutes=Mutes(
            until=tuple(from_micros(one) for one in row[15:19] if one is not None),
            always=bool(row[19] or row[20]),
        ),
        ring=Ring(event, code, subject or "", address, ordinal, label, kept, _hit(row[21])),
        attempts=attempts,
        card_id=card_id,
        card_remote=card_remote,
        remote_id=remote_id,
        fix_text=fix_text,
        state=state,
    )


def _hit(event_key: str) -> str | None:
    """An event's key is its hit's uid, where it has a hit."""
    return event_key if _UID.fullmatch(event_key) else None


def _facts(stored: Any) -> Mapping[str, Any]:
    """The JSON column as a mapping; a bare text is the text of a notice."""
    if isinstance(stored, str):
        try:
            stored = json.loads(stored)
        except ValueError:
            return {"text": stored}
    if isinstance(stored, str):
        return {"text": stored}
    return stored if isinstance(stored, dict) else {}


async def recent_sounds(services: Services, destination_id: int) -> Recent:
    """When this destination rang within the last window; a digest in several parts is one sound."""
    since = to_micros(services.now() - WINDOW)
    rows = await services.writer.fetch(
        "SELECT DISTINCT state, sent_at, CASE WHEN state = 'folded' THEN 0 ELSE id END FROM alert "
        "WHERE destination_id = ? AND sent_at > ?",
        (destination_id, since),
    )
    return Recent(
        rings=tuple(from_micros(row[1]) for row in rows if row[0] == "sent"),
        digests=tuple(from_micros(row[1]) for row in rows if row[0] == "folded"),
    )
