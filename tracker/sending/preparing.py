"""Makes mails of the spool into rows for the relay, some of them in one commit.

Called by tracker/sending/relay.py. Reading, examining and writing a mail must not end the relay: whatever
fails is kept and comes again, and what cannot be understood goes as its sender wrote it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from models.database import DATABASE_FAULTS
from models.writer import WriterDownError
from tracker.hits.own_devices import learn
from tracker.mail.parsing import Parsed
from tracker.sending.copies import Spooled, make_copies
from tracker.sending.editing import FAULT, Examined
from tracker.sending.editor import Editor
from tracker.sending.spool import Spool
from tracker.services import Services

MOST_PREPARED = 16  # mails that are made into rows in one commit
MOST_BYTES = 8_000_000  # of them
LEARNED_FOR = dt.timedelta(hours=1)
_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)
_FAULTS = (*DATABASE_FAULTS, WriterDownError)

log = logging.getLogger(__name__)


class Preparer:
    """`keeping` is the relay's way to keep a mail when work on it fails."""

    def __init__(
        self,
        services: Services,
        spool: Spool,
        editor: Editor,
        keeping: Callable[..., AbstractContextManager[None]],
    ) -> None:
        self._services = services
        self._spool = spool
        self._editor = editor
        self._keeping = keeping
        self._learned: dict[tuple[int, str | None], dt.datetime] = {}

    async def bundle(self, names: list[str]) -> list[str]:
        """As many of the mails, in their order, as may be in memory at a time."""
        return await self._spool.run(lambda: self._bundle(names))

    def _bundle(self, names: list[str]) -> list[str]:
        size = 0
        for count, name in enumerate(names):
            with contextlib.suppress(FileNotFoundError):
                size += (self._spool.directory / name).stat().st_size
            if count and size > MOST_BYTES:
                return names[:count]
        return names

    async def make_rows(self, names: list[str]) -> set[str]:
        """The mails whose rows are there. In one commit; one by one where that fails."""
        mails = [one for one in await asyncio.gather(*map(self._open, names)) if one is not None]
        if not mails:
            return set()
        await self._learn(mails)
        try:
            await make_copies(self._services, mails)
            return {one.name for one in mails}
        except _FAULTS:
            raise
        except Exception:
            return {one.name for one in mails if await self._make_rows_alone(one)}

    async def _make_rows_alone(self, mail: Spooled) -> bool:
        """A mail that cannot be made into rows goes as it is: nothing of it was understood."""
        made = False
        with self._keeping(mail.name):
            try:
                await make_copies(self._services, [mail])
            except _FAULTS:
                raise
            except Exception:
                log.exception("a mail goes as it is: a fault of ours")
                await make_copies(self._services, [replace(mail, examined=Examined(Parsed(), FAULT))])
            made = True
        return made  # noqa: RET504, the block above lets what it kept pass

    async def _open(self, name: str) -> Spooled | None:
        found: list[Spooled] = []
        with self._keeping(name):
            envelope, raw = await self._spool.run(lambda: self._spool.read(name))
            found.append(Spooled(name, envelope, await self._editor.examine(raw), raw))
        return found[0] if found else None

    async def _learn(self, mails: list[Spooled]) -> None:
        """The devices that mail is sent from are their senders' own; what was said lately is known."""
        now = self._services.now()
        for envelope in (one.envelope for one in mails):
            device = envelope.account_id, envelope.device
            if envelope.device is not None and now - self._learned.get(device, _NEVER) > LEARNED_FOR:
                await learn(self._services, envelope.account_id, envelope.device, "submission")
                self._learned = {**self._learned, device: now} if len(self._learned) < 1000 else {}
