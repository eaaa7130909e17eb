"""An inbox at a real server, and an office whose mail is answered there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.database import DatabaseURL
from tests.flows.conftest import Line
from tests.flows.office import HOME, Office, open_office
from tests.servers.dovecot import Dovecot, dovecot
from tracker.sending import upstream


@pytest.fixture
async def imap(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dovecot]:
    async with dovecot(HOME) as running:
        trusting = running.certificates.for_client()
        monkeypatch.setattr(upstream, "tls_context", lambda: trusting)
        yield running


@pytest.fixture
async def office(line: Line, sqlite_database: DatabaseURL, imap: Dovecot) -> AsyncIterator[Office]:
    async with open_office(line, sqlite_database, imap) as found:
        yield found
