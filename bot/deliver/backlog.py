"""How much of the outbox has not reached its chats yet, and for how long: for /healthz and for ending neatly.

Called through bot/deliver/__init__.py by whoever shows or awaits it. Reads only.
"""

from __future__ import annotations

from collections.abc import Collection

from models.columns import to_micros
from tracker.services import Services

_PENDING = """
SELECT d.platform FROM destination d JOIN alert a ON a.destination_id = d.id
WHERE d.off_at IS NULL AND a.state = 'waiting'
UNION ALL
SELECT d.platform FROM destination d JOIN alert a ON a.destination_id = d.id
WHERE d.off_at IS NULL AND a.fix_text IS NOT NULL AND COALESCE(a.state, '') IN ('sent', 'folded')
UNION ALL
SELECT d.platform FROM destination d JOIN card c ON c.destination_id = d.id
WHERE d.off_at IS NULL AND c.dirty_at > 0
"""

_OLDEST = """
SELECT d.platform, MIN(a.due_at) FROM destination d JOIN alert a ON a.destination_id = d.id
WHERE d.off_at IS NULL AND a.state = 'waiting' AND a.due_at <= ? GROUP BY d.platform
"""


async def pending(services: Services, platforms: Collection[str] | None = None) -> int:
    """Alerts, corrections and cards that still have to reach an active destination; 0 = nothing to tell.

    Held alerts count. `platforms` narrows it to chats that this process speaks; None = all.
    """
    rows = await services.writer.fetch(_PENDING)
    return sum(platforms is None or row[0] in platforms for row in rows)


async def oldest_alert_seconds(services: Services, platforms: Collection[str] | None = None) -> float | None:
    """For how long the oldest alert has been due and not delivered; None when none waits."""
    now = to_micros(services.now())
    rows = await services.writer.fetch(_OLDEST, (now,))
    dues = [row[1] for row in rows if platforms is None or row[0] in platforms]
    return (now - min(dues)) / 1_000_000 if dues else None
