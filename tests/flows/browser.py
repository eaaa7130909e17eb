"""A real Chromium without a window: every name leads to this machine, and it asks nobody else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--host-resolver-rules=MAP * 127.0.0.1",
]  # fmt: skip


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A browser of Playwright's; where there is none, the test is skipped, and on CI it fails."""
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"{CHROMIUM} is missing, and on CI nothing is left out")
        pytest.skip(f"{CHROMIUM} is not installed: our pages stay unseen")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        await launched.close()
