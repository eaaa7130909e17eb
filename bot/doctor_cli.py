"""The short command `doctor`: looks whether everything works, beside running services or without them.

`bot/__main__` adds it to the command line. One line for each thing on stdout; exit code 1 when something is
wrong.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from bot.operate import Finish, opened
from tracker.doctor.examine import ACCOUNT, INSTANCE, examine
from tracker.doctor.findings import Finding, Visit
from tracker.settings import Settings

_MARKS = {"ok": "ok   ", "wrong": "WRONG", "note": "note "}


async def _doctor(settings: Settings, as_json: bool) -> int:
    async with opened(settings) as services:
        found = await examine(Visit(services), (*INSTANCE, *ACCOUNT), _print_json if as_json else _print)
    wrong = sum(one.state == "wrong" for one in found)
    click.echo(f"{len(found)} things looked at, {wrong} wrong", err=True)
    return 1 if wrong else 0


def _print(one: Finding) -> None:
    click.echo(f"{_MARKS[one.state]} {one.name}: {one.said}")
    if one.remedy:
        click.echo(f"      → {one.remedy}")


def _print_json(one: Finding) -> None:
    click.echo(json.dumps(asdict(one), ensure_ascii=False))


def add_command(main: click.Group, finish: Finish) -> None:
    """Adds it to the command line; `finish` runs it with the settings."""

    @main.command("doctor", help="Look whether everything works, and say what to do where it does not.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON line for each thing.")
    def doctor_command(as_json: bool) -> None:
        finish(lambda settings: _doctor(settings, as_json))
