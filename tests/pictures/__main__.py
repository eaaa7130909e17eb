"""`make pictures`: plays the conversation in both chats and draws the README's pictures anew."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from tests.pictures import slack_look, telegram_look
from tests.pictures.camera import CHROMIUM, camera
from tests.pictures.charts import best_chart, stats_chart
from tests.pictures.play import Played, on_slack, on_telegram, play
from tests.pictures.sheet import FOLDER, sheet

SHEET_WIDTH = 390 * 2 + 24 * 3
PAGE_WIDTH = 720


async def draw() -> list[Path]:
    """Every picture; their files."""
    slack, telegram = await play(on_slack), await play(on_telegram)
    sheets = {name: _both(slack, telegram, name) for name in slack.tape.parts}
    pages = {
        "copy-page": slack.copy_page,
        "privacy-page": slack.privacy_page,
        "connect-page": slack.connect_page,
    }
    files = {name: FOLDER / f"{name}.png" for name in (*sheets, *pages)}
    day = slack.tape.entries[0].at
    async with camera() as one:
        for name, html in sheets.items():
            await one.take(html, files[name], SHEET_WIDTH, day)
        for name, html in pages.items():
            await one.take(html, files[name], PAGE_WIDTH, day)
    return [*files.values(), *_charts()]


def _charts() -> list[Path]:
    """What needs no browser: the pictures that the bot itself sends."""
    files = {FOLDER / "best.png": best_chart()[1], FOLDER / "stats.png": stats_chart()}
    for file, content in files.items():
        file.write_bytes(content)
    return list(files)


def _both(slack: Played, telegram: Played, part: str) -> str:
    return sheet(
        slack_look.conversation(slack.tape.parts[part], slack.tape),
        telegram_look.conversation(telegram.tape.parts[part], telegram.tape),
    )


def main() -> int:
    if not Path(CHROMIUM).exists():
        click.echo(f"The pictures are drawn by a browser, and there is none at {CHROMIUM}.", err=True)
        return 1
    for file in asyncio.run(draw()):
        click.echo(f"{file.name}: {file.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
