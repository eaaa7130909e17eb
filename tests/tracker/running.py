"""Services for tests of the pages, of mail and of insights: real settings, the test's clock, no writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from models.wake import Wake
from models.writer import Writer
from tests.conftest import Clock
from tracker.services import Services
from tracker.settings import Settings

KEY = "a key that only tests know"


def services(clock: Clock, tmp_path: Path = Path("unused"), **settings: Any) -> Services:
    """What these parts need; nothing of theirs goes through the writer, so any use of it fails the test."""
    given = {"data_dir": tmp_path, "secret_key": KEY, "base_url": "https://track.example", **settings}
    return Services(Settings.model_validate(given), cast(Writer, None), Wake(), clock)
