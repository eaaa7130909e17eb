"""Events that the chat platforms deliver twice: acted on once.

Slack sends an event again when our answer got lost, Telegram an update until it was confirmed. Each chat asks
`first_time` before it acts. The rows are cleared by tracker/retention.py, long after a platform gives up.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib

from tortoise import connections

from models.columns import to_micros
from models.database import is_sqlite

_COLUMNS = 'INTO "inbound_event" ("platform", "event_id", "at") VALUES'
_SQLITE = f'INSERT {_COLUMNS} (?, ?, ?) ON CONFLICT DO NOTHING RETURNING "id"'
_POSTGRES = f'INSERT {_COLUMNS} ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING "id"'


async def first_time(platform: str, event_id: str, now: dt.datetime) -> bool:
    """Whether this event was never seen before; from now on it was. Exactly one of several callers gets True.

    One insert that the unique index decides, whatever the process. An id too long for the column is
    remembered by its hash.
    """
    if len(event_id) > 100 or "\x00" in event_id or not event_id.isprintable():
        event_id = hashlib.sha256(event_id.encode("utf-8", "replace")).hexdigest()
    statement = _SQLITE if is_sqlite() else _POSTGRES
    values = [platform, event_id, to_micros(now)]
    # A task of its own: a caller who is cancelled meanwhile leaves no connection behind.
    insert = asyncio.ensure_future(connections.get("default").execute_query_dict(statement, values))
    return bool(await asyncio.shield(insert))
