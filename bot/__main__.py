"""`python -m bot`: every role of mailbell as one table, and the short commands of who operates it.

The only place that knows all parts: it opens the database, starts what the role needs, mounts the chats'
routes into the web role, and drains everything at SIGTERM.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import click

from bot import connect_cli, doctor_cli, operate, records, update_networks
from bot.process import Options, Parts, StartRefusedError, run
from models.database import ServiceRunningError
from models.migrate import MigrationError
from tracker import logs
from tracker.settings import Settings, SettingsError, load

# What each process does. The Procfile's lines are these names.
ROLES: dict[str, Parts] = {
    "all": Parts(web=True, smtp=True, worker=True, console=True),
    "web": Parts(web=True),
    "smtp": Parts(smtp=True),
    "worker": Parts(worker=True),
}

WRONG_USE = 2
_STDERR = 2  # the last of the three descriptors that every process begins with


def _settings() -> Settings:
    try:
        settings = load(os.environ)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(WRONG_USE)
    at_terminal = sys.stdin is not None and sys.stdin.isatty() and not settings.has_chats
    logs.configure(settings, at_terminal=at_terminal)
    return settings


def _fill_standard_descriptors() -> None:
    """Opens what whoever started us closed of stdin, stdout and stderr.

    Else a file or socket of ours gets that number, and is read and written as if it were the terminal.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """That of uvloop where it is installed: half as many pixels again a second over new connections."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def collect_less() -> None:
    """What was imported stays: looking through all of it takes 50 ms, in which no reader is answered.

    What is young is looked at less often, too: a tenth of judging was spent on that.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _finish(work: Callable[[Settings], Coroutine[Any, Any, int]]) -> None:
    """Runs `work` with the settings and ends the process with its exit code."""
    _fill_standard_descriptors()
    settings = _settings()
    collect_less()
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            sys.exit(runner.run(work(settings)))
    except (StartRefusedError, ServiceRunningError) as error:
        click.echo(str(error), err=True)
        sys.exit(WRONG_USE)
    except (MigrationError, operate.OperatorError) as error:
        click.echo(str(error), err=True)
        sys.exit(1)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Console: JSON lines on stdout, one for each message.")
@click.option("--exit", "exit_when_done", is_flag=True, help="Console: end once every command is answered.")
@click.pass_context
def main(context: click.Context, as_json: bool, exit_when_done: bool) -> None:
    """Ring in Slack, Telegram or this terminal when an email that you sent is opened or clicked.

    Without a command: everything in one process, with a chat in the terminal while no chat token is set.
    """
    if context.invoked_subcommand is None:
        options = Options(as_json=as_json, exit_when_done=exit_when_done)
        _finish(lambda settings: run(settings, ROLES["all"], options))


def _add_role(name: str, parts: Parts) -> None:
    @main.command(name, help=f"Serve as {name}: {parts.said}.")
    def role() -> None:
        _finish(lambda settings: run(settings, parts, Options(console_wanted=False)))


for _name, _parts in ROLES.items():
    _add_role(_name, _parts)
operate.add_commands(main, _finish)
records.add_commands(main, _finish)
update_networks.add_command(main, _finish)
connect_cli.add_command(main, _finish)
doctor_cli.add_command(main, _finish)


if __name__ == "__main__":
    main()
