"""SECRET_KEY is another one than before: whoever runs this is told, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import InstanceState
from models.database import DatabaseURL
from tests.conftest import Clock
from tests.tracker.page_services import writing_services
from tracker.known_key import tell_of_another_key

MINE, OTHER = "k" * 40, "o" * 40


async def test_another_key_is_told_once_and_the_same_one_never(
    database: DatabaseURL, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = []
    for key in (MINE, MINE, OTHER, OTHER, MINE):
        async with writing_services(database, clock, tmp_path, secret_key=key) as services:
            told.append(await tell_of_another_key(services))
    assert told == [False, False, True, False, True]
    assert caplog.text.count("SECRET_KEY: is another one than before") == 2
    kept = await InstanceState.all().values_list("value", flat=True)
    assert not any(key in str(one) for one in kept for key in (MINE, OTHER))
