"""The short commands of who operates mailbell: migrate, export, import-list, backup, restore, reclassify,
slack-manifest.

They work on the database and the journal beside running services, write data to stdout and progress to
stderr, and end with 0 (done) or 1 (failed; the text says why). `__main__` adds them to the command line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import click

from bot.access import console_account
from bot.replay import replay
from bot.words import plural
from models import Account
from models.backup import BackupError, backup, restore
from models.columns import to_micros
from models.database import open_database
from models.migrate import migrate, pending
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import WriterDownError
from tracker.export import ExportError, parse_since, write_export
from tracker.hits.reclassify import Span
from tracker.mail.import_list import import_list
from tracker.services import Services
from tracker.settings import Settings

Work = Callable[[Settings], Coroutine[Any, Any, int]]
Finish = Callable[[Work], None]


class OperatorError(Exception):
    """The command cannot do what was asked; the text says why and what to do."""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Services]:
    """The services of a short command: its own writer, no listeners, on a schema that is up to date."""
    url = settings.database
    if url.is_sqlite and url.path is not None and not url.path.exists():
        raise OperatorError(f"there is no database at {url.path} yet; start mailbell once, or run migrate")
    if names := await pending(url):
        raise OperatorError(
            f"the database lacks {plural(len(names), 'migration')}: run `python -m bot migrate`"
        )
    wake = Wake()
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(open_database(url))
        except OSError as error:
            raise OperatorError(f"DATABASE_URL: the database does not answer ({error})") from None
        writer = SqliteWriter(url.path) if url.path else PostgresWriter(url.credentials, wake)
        await writer.start()
        try:
            yield Services(settings=settings, writer=writer, wake=wake)
        finally:
            await writer.stop()


async def account_named(services: Services, name: str | None) -> Account:
    """The account named `name` (or its number), else the console's."""
    if name is None:
        return await console_account(services)
    found = await Account.filter(name=name)
    if not found and name.isdecimal():
        found = await Account.filter(id=int(name))
    if len(found) != 1:
        names = ", ".join(sorted(f"{one.name} ({one.id})" for one in await Account.all()[:20]))
        raise OperatorError(f"--account {name}: {len(found)} accounts match; there are: {names or 'none'}")
    return found[0]


async def _migrate(settings: Settings) -> int:
    names = await migrate(settings.database)
    click.echo("\n".join(f"applied {name}" for name in names) or "nothing to do")
    return 0


def _tell(table: str, done: int, total: int) -> None:
    """Progress on stderr; may be called from another thread."""
    if done and (done == total or done % 50_000 == 0):
        click.echo(f"{table}: {done} of {total} rows", err=True)


async def _backup(settings: Settings, file: Path) -> int:
    try:
        await backup(settings.database, file, _tell)
    except BackupError as error:
        raise OperatorError(str(error)) from None
    click.echo(f"saved to {file}", err=True)
    return 0


async def _restore(settings: Settings, file: Path, force: bool) -> int:
    try:
        await restore(settings.database, file, force=force, progress=_tell)
    except BackupError as error:
        raise OperatorError(str(error)) from None
    click.echo(f"restored from {file}", err=True)
    return 0


async def _export(settings: Settings, account: str | None, since: str | None, as_csv: bool) -> int:
    async with opened(settings) as services:
        owner = await account_named(services, account) if account else None
        try:
            start = parse_since(since, services.now()) if since else None
            await write_export(services, sys.stdout, account=owner, since=start, as_csv=as_csv)
            sys.stdout.flush()
        except ExportError as error:
            raise OperatorError(str(error)) from None
        except BrokenPipeError:
            raise  # `export | head`: who reads has enough
        except OSError as error:
            # What is still in the buffer must not fail once more at the end of the process.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OperatorError(f"the export could not be written to its end ({error.strerror})") from None
    return 0


async def _import(settings: Settings, file: Path, account: str | None, as_json: bool) -> int:
    async with opened(settings) as services:
        owner = await account_named(services, account)
        done = failed = 0
        async for row in import_list(services, owner, file):
            if row.error is not None:
                failed += 1
                click.echo(f"line {row.line}: {row.error}", err=True)
                continue
            done += 1
            if as_json:
                click.echo(json.dumps(row.fields, ensure_ascii=False))
            if done % 1000 == 0:
                click.echo(f"{done} mails", err=True)
        click.echo(f"{plural(done, 'mail')} tracked, {plural(failed, 'line')} skipped", err=True)
    return 1 if failed else 0


async def _reclassify(
    settings: Settings, account: str | None, since: str | None, dry_run: bool, anew: bool
) -> int:
    async with opened(settings) as services:
        owner = await account_named(services, account) if account else None
        try:
            start = to_micros(parse_since(since, services.now())) if since else None
            span = Span(owner.id if owner else None, start, since)
            await replay(services, span, dry_run=dry_run, anew=anew)
        except ExportError as error:
            raise OperatorError(str(error)) from None
        except WriterDownError as error:
            text = f"the database does not answer ({error}); run it again, and it goes on where it stopped"
            raise OperatorError(text) from None
    return 0


def _print_manifest(base_url: str | None, socket_mode: bool) -> None:
    from bot.slack.manifest import manifest

    click.echo(json.dumps(manifest(base_url or "https://mailbell.example.com", socket_mode), indent=2))


def add_commands(main: click.Group, finish: Finish) -> None:
    """Adds every short command to the command line; `finish` runs one with the settings."""
    file_to_write = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
    file_to_read = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
    account = click.option("--account", help="Name or number of the account; the console's by default.")

    @main.command("migrate", help="Bring the database to the newest schema, with a backup before.")
    def migrate_command() -> None:
        finish(_migrate)

    @main.command("backup", help="Save everything to FILE while the services run.")
    @file_to_write
    def backup_command(file: Path) -> None:
        finish(lambda settings: _backup(settings, file))

    @main.command("restore", help="Fill an empty database from FILE, of either engine.")
    @file_to_read
    @click.option("--force", is_flag=True, help="Replace what the database holds.")
    def restore_command(file: Path, force: bool) -> None:
        finish(lambda settings: _restore(settings, file, force))

    @main.command("export", help="Write every hit to stdout, also what is still in the journal.")
    @click.option("--account", help="Name or number of an account; all by default.")
    @click.option("--since", help="7d, 12h, or a date and time in ISO 8601.")
    @click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
    def export_command(account: str | None, since: str | None, form: str) -> None:
        finish(lambda settings: _export(settings, account, since, form == "csv"))

    @main.command("import-list", help="Track one mail for each row of a CSV (columns to, subject, urls).")
    @file_to_read
    @account
    @click.option("--json", "as_json", is_flag=True, help="One JSON line for each mail.")
    def import_command(file: Path, account: str | None, as_json: bool) -> None:
        finish(lambda settings: _import(settings, file, account, as_json))

    @main.command("reclassify", help="Judge every hit anew by the present rules, while the services run.")
    @click.option("--account", help="Name or number of an account; all by default.")
    @click.option("--since", help="Only mails with a hit since then: 7d, 12h, or a date in ISO 8601.")
    @click.option("--dry-run", is_flag=True, help="Change nothing; say what would change.")
    @click.option("--anew", is_flag=True, help="Begin at the first mail, also after one that was cut off.")
    def reclassify_command(account: str | None, since: str | None, dry_run: bool, anew: bool) -> None:
        finish(lambda settings: _reclassify(settings, account, since, dry_run, anew))

    @main.command("slack-manifest", help="Print the manifest to create the Slack app from.")
    @click.option("--base-url", help="Your BASE_URL, for the HTTP way.")
    @click.option("--socket-mode/--http", default=True, show_default=True, help="How Slack reaches mailbell.")
    def manifest_command(base_url: str | None, socket_mode: bool) -> None:
        _print_manifest(base_url, socket_mode)
