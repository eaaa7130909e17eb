"""The short commands `retention` and `audit`: how much is kept and how long, and what was erased.

`bot/__main__` adds them to the command line. They print tables for people on stdout.
"""

from __future__ import annotations

import click
import humanize

from bot.operate import Finish, opened
from bot.words import plural
from tracker.audit import lines
from tracker.mail.draft import read_address
from tracker.retention import enforce
from tracker.settings import Settings
from tracker.table_sizes import TableSize, table_sizes


async def _retention(settings: Settings, now: bool) -> int:
    async with opened(settings) as services:
        if now:
            for table, count in (await enforce(services)).items():
                click.echo(f"{table}: {plural(count, 'row')} deleted", err=True)
        click.echo(f"{'table':<14} {'rows':>12} {'size':>10}  {'oldest':<10}  goes after")
        for one in await table_sizes(services):
            click.echo(_row(one))
    return 0


def _row(one: TableSize) -> str:
    size = "?" if one.size is None else humanize.naturalsize(one.size, binary=True, format="%.0f")
    oldest = "" if one.oldest is None else f"{one.oldest:%Y-%m-%d}"
    goes = "never by itself" if one.days is None else f"{one.days} days"
    return f"{one.name:<14} {one.rows:>12,} {size:>10}  {oldest:<10}  {goes}"


async def _audit(settings: Settings, address: str | None) -> int:
    about = None
    if address is not None:
        about = read_address(address)
        if about is None:
            click.echo(f"{address!r} is no mail address; write one such as ana@acme.com", err=True)
            return 2
    async with opened(settings) as services:
        found = await lines(services, about)
    for one in found:
        counts = ", ".join(f"{name} {count}" for name, count in (one.counts or {}).items())
        click.echo(f"{one.at:%Y-%m-%d %H:%M:%S}Z  {one.action:<9}  {one.digest or '-':<32}  {counts}")
    if not found:
        click.echo("nothing on record" + (f" about {about}" if about else ""), err=True)
    return 0


def add_commands(main: click.Group, finish: Finish) -> None:
    """Adds both to the command line; `finish` runs one with the settings."""

    @main.command("retention", help="How large each table is, and when its rows go.")
    @click.option("--now", is_flag=True, help="Delete at once what is due.")
    def retention_command(now: bool) -> None:
        finish(lambda settings: _retention(settings, now))

    @main.command("audit", help="What was forgotten, handed over or opted out, by a hash of the address.")
    @click.option("--address", help="Only what is about this address.")
    def audit_command(address: str | None) -> None:
        finish(lambda settings: _audit(settings, address))
