"""The site with its connect page, alice's provider, and alice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models import Account
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.servers.mailhost import MailHost, mail_host
from tests.tracker.connect.person import BASE
from tests.tracker.site import Site, open_site


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    async with mail_host(alice_at_acme_dot_com="correct horse") as one:
        yield one


@pytest.fixture
async def site(sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(
        sqlite_database, clock, tmp_path, base_url=BASE, allow_private_upstream=True,
        google_client_id="bell", google_client_secret="bell secret",
    ) as one:  # fmt: skip
        yield one


@pytest.fixture
async def alice(site: Site, clock: Clock) -> Account:
    return await builders.account("alice <b>", clock())
