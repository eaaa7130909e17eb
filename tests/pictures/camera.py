"""Pictures of HTML by a real browser that is cut off from every network."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, async_playwright

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip


class Camera:
    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    async def take(self, html: str, file: Path, width: int, at: dt.datetime) -> None:
        """A picture of the whole page as a browser shows it at that moment, twice as fine as it is wide."""
        context = await self._browser.new_context(
            viewport={"width": width, "height": 100}, device_scale_factor=2, offline=True,
            locale="en-GB", timezone_id="UTC",
        )  # fmt: skip
        page = await context.new_page()
        await page.clock.set_fixed_time(at)
        await page.set_content(html)
        await page.screenshot(path=file, full_page=True)
        await context.close()
        await asyncio.to_thread(_shrink, file)


def _shrink(file: Path) -> None:
    """Of 256 colours: enough for flat areas and grey letters, and a third of the size."""
    with Image.open(file) as taken:
        small = taken.convert("RGB").quantize(
            256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    small.save(file, optimize=True)


@asynccontextmanager
async def camera() -> AsyncIterator[Camera]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield Camera(browser)
        finally:
            await browser.close()
