"""Which mails a judge takes when several work on one database: the work is divided by mail, never by hit.

Each judge notes in the database that it is alive; of n judges alive, in the order of their names, the i-th
takes the mails whose number leaves i when divided by n. While they disagree, at a start or an end, two may
take one mail: the guard in tracker/hits/writing.py lets only one succeed. On SQLite there is one judge.
"""

from __future__ import annotations

import secrets
from contextlib import suppress

from models.columns import to_micros
from models.database import is_sqlite
from models.writer import Statement, WriterDownError
from tracker.hits.evidence import SECOND
from tracker.services import Services

BEAT = 1 * SECOND
ALIVE = 3 * SECOND
ALONE = 60.0

_NOTE = (
    "INSERT INTO instance_state (key, value) VALUES (?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
# What was noted for later than now is of the time before the clock was put back.
_SWEEP = "DELETE FROM instance_state WHERE key LIKE 'judge:%' AND (value < ? OR value > ?)"
_LEAVE = "DELETE FROM instance_state WHERE key = ?"
_ALIVE = "SELECT key FROM instance_state WHERE key LIKE 'judge:%' AND value BETWEEN ? AND ? ORDER BY key"


class Shares:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._name = f"judge:{secrets.token_hex(8)}"
        self._noted = 0
        self._place, self._judges = 0, 1

    @property
    def beat(self) -> float:
        """Seconds after which `keep` has to be called again."""
        return ALONE if is_sqlite() else BEAT / SECOND

    async def keep(self) -> None:
        """Notes that this judge is alive, once a second at the most, and sees who else is."""
        now = to_micros(self._services.now())
        if is_sqlite() or 0 <= now - self._noted < BEAT:
            return
        gone = (_stamp(now - 10 * ALIVE), _stamp(now + ALIVE))
        await self._services.writer.apply(
            [Statement(_NOTE, [(self._name, _stamp(now))]), Statement(_SWEEP, [gone])]
        )
        rows = await self._services.writer.fetch(_ALIVE, (_stamp(now - ALIVE), _stamp(now + ALIVE)))
        names = [row[0] for row in rows]
        self._place = names.index(self._name) if self._name in names else 0
        self._judges = max(1, len(names))
        self._noted = now

    async def leave(self) -> None:
        """The others take over at once."""
        if not self._noted:
            return
        with suppress(WriterDownError):  # the others notice in three seconds
            await self._services.writer.apply([Statement(_LEAVE, [(self._name,)])])

    def condition(self) -> tuple[str, tuple[int, ...]]:
        """SQL that narrows hits to this judge's mails, with its arguments."""
        if self._judges == 1:
            return "", ()
        return f"AND message_id % {self._judges} = ?", (self._place,)


def _stamp(moment: int) -> str:
    return f"{moment:020d}"  # compares as text
