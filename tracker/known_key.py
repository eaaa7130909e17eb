"""Whether SECRET_KEY is still the one that this database knows.

Opt-outs, links of people who were forgotten, copy pages and logins of mailboxes hold under the key they were
made with: with another one they end without a sound. Called at the start of every process; the key itself is
never stored.
"""

from __future__ import annotations

import logging

from models.writer import Statement, WriterDownError
from tracker.keys import keyed_hash
from tracker.services import Services

_NAME = "secret_key:mark"
_READ = "SELECT value FROM instance_state WHERE key = ?"
_KEEP = (
    "INSERT INTO instance_state (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)

log = logging.getLogger(__name__)


async def tell_of_another_key(services: Services) -> bool:
    """Warns once, in the log, when the key is another one than at the start before; whether it did."""
    mark = keyed_hash(services.settings.key, "this instance", "known")
    try:
        known = await services.writer.fetch(_READ, (_NAME,))
        if known and known[0][0] == mark:
            return False
        await services.writer.apply([Statement(_KEEP, ((_NAME, mark),))])
    except WriterDownError:
        return False  # the next start asks again
    if known:
        log.warning(
            "SECRET_KEY: is another one than before. Opt-outs, copy pages, mailbox logins and the links of "
            "people who were forgotten hold under the old one only: put that back, if you have it"
        )
    return bool(known)
