"""`python -m bot update-networks`: takes a newer list of networks, or shows the lists in use.

One of the short commands, beside those in bot/operate.py: works while services run, which take the new file
over within a minute. A list is checked whole before it replaces the one before, by renaming its file.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import re
import tempfile
from collections.abc import Callable, Coroutine, Sized
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from bot.operate import OperatorError
from tracker.hits.network_fetch import FetchError, fetch
from tracker.hits.network_lists import (
    FOLDER,
    MAX_BYTES,
    NAME,
    OLD,
    ListError,
    NetworkList,
    count_addresses,
    in_use,
    read_file,
    write_blocks,
    write_list,
)
from tracker.hits.network_sources import LabelNeededError, recognise
from tracker.hits.networks import KINDS
from tracker.settings import Settings

Finish = Callable[[Callable[[Settings], Coroutine[Any, Any, int]]], None]


async def _update(settings: Settings, source: str, label: str | None, name: str | None, force: bool) -> int:
    today = dt.datetime.now(dt.UTC).date()
    directory = settings.data_dir / FOLDER
    try:
        data, origin, default_name = await _read(settings, source)
        fresh = recognise(data, label=label, name=name, default_name=default_name, origin=origin, today=today)
    except LabelNeededError as error:
        raise click.UsageError(f"{source}: {error}; add --label {'|'.join(KINDS)}") from None
    except (ListError, FetchError, OSError) as error:
        raise OperatorError(f"{source}: {error}; nothing was changed") from None
    before = [one for one in in_use(directory) if one.key == fresh.key]
    _refuse_shrinking(before, fresh, force)
    try:
        path = await asyncio.to_thread(_write, directory, fresh)
    except (ListError, OSError) as error:
        raise OperatorError(f"{directory}: {error}; nothing was changed") from None
    click.echo(f"{fresh.kind}/{fresh.name}: {_changes(before, fresh)}")
    click.echo(f"saved to {path}; running services take it over within a minute", err=True)
    return 0


async def _read(settings: Settings, source: str) -> tuple[bytes, str, str]:
    """The source's bytes, where they are from, and a name for the list if nothing else gives one."""
    if "://" not in source:
        path = Path(source)
        return await asyncio.to_thread(_read_file, path), path.name, _nameable(path.stem)
    try:
        parts = urlsplit(source)
        host = parts.hostname or ""
    except ValueError:
        raise click.UsageError(f"{source}: is no URL") from None
    if parts.scheme != "https" or not host:
        raise click.UsageError(f"{source}: a URL must begin with https://, else name a file")
    data = await fetch(source, allow_private=settings.allow_private_upstream)
    return data, f"https://{host}{parts.path}", _nameable(host)  # without what may be a secret


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise click.UsageError(f"{path}: there is no such file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)  # one more than a list can have, which is refused


def _nameable(text: str) -> str:
    """`text` as the name of a list."""
    return re.sub(r"[^A-Za-z0-9 .&+-]+", "-", text).strip(" .&+-")[:28] or "own"


def _refuse_shrinking(before: list[NetworkList], fresh: NetworkList, force: bool) -> None:
    """A source that lost half of its networks is more likely broken than right."""
    had = sum(count_addresses(one.blocks) for one in before)
    has = count_addresses(fresh.blocks)
    if has * 2 < had and not force:
        raise OperatorError(
            f"{fresh.kind}/{fresh.name} would shrink to {100 * has // had} % of its addresses; "
            "nothing was changed. If that is right, add --force"
        )


def _write(directory: Path, one: NetworkList) -> Path:
    """Puts the list into its file: written beside it, read back, renamed. Readers see the old or the new."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{one.kind}-{re.sub(r'[^a-z0-9]+', '-', one.name.lower()).strip('-')}.txt"
    descriptor, text = tempfile.mkstemp(dir=directory, prefix=f".{path.stem}-", suffix=".new")
    beside = Path(text)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(write_list(one))
            file.flush()
            os.fsync(file.fileno())
        if [same.key for same in read_file(beside)] != [one.key]:
            raise ListError("the file could not be read back")
        beside.chmod(0o644)  # nothing secret, and the service may run as somebody else
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _changes(before: list[NetworkList], fresh: NetworkList) -> str:
    old = set(write_blocks(block for one in before for block in one.blocks))
    new = set(write_blocks(fresh.blocks))
    if old == new:
        return f"{_number(new)}, the same as before"
    if not old:
        return f"{_number(new)}, all new"
    return f"{len(old):,} → {_number(new)} ({len(new - old):,} new, {len(old - new):,} gone)"


def _number(networks: Sized) -> str:
    return f"{len(networks):,} network{'' if len(networks) == 1 else 's'}"


async def _show(settings: Settings) -> int:
    today = dt.datetime.now(dt.UTC).date()
    for one in sorted(in_use(settings.data_dir / FOLDER), key=lambda one: (KINDS.index(one.kind), one.name)):
        age = (today - one.date).days
        own = one.path is not None and one.path.parent.name == FOLDER
        said = " (old)" if age > OLD.days else ""
        where = one.path.name if own and one.path else "comes with mailbell"
        number = _number(write_blocks(one.blocks))
        click.echo(f"{one.kind:<12} {one.name:<28} {number:>16}  {age:>5} days{said}  {where}")
    return 0


def add_command(main: click.Group, finish: Finish) -> None:
    """Adds `update-networks` to the command line; `finish` runs it with the settings."""

    @main.command("update-networks", help="Take a newer list of networks from SOURCE, a file or https URL.")
    @click.argument("source", required=False)
    @click.option(
        "--label", type=click.Choice(KINDS), help="What the networks are; the clouds' JSON says it."
    )
    @click.option("--name", help="Whose they are; replaces the list of that name.")
    @click.option("--force", is_flag=True, help="Also when the list shrinks by half.")
    @click.option("--show", is_flag=True, help="Show the lists in use and their age.")
    def update_command(
        source: str | None, label: str | None, name: str | None, force: bool, show: bool
    ) -> None:
        if (source is None) != show:
            raise click.UsageError("name a SOURCE, or --show")
        if name is not None and not NAME.fullmatch(name):
            raise click.UsageError(f"--name {name!r}: put up to 28 letters, digits, spaces or . & + -")
        finish(
            lambda settings: (
                _show(settings) if source is None else _update(settings, source, label, name, force)
            )
        )
