"""One process of mailbell, from the first row to the last: opens, starts, waits for the signal, drains.

`run` is called by `__main__` with the parts of a role. Everything that starts here is stopped in reverse;
what was accepted is on disk before the process ends.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import click
from aiohttp import web

from bot.access import attach_terminal, open_claim_code
from bot.chat import Chat
from bot.conversation import Conversation
from bot.deliver import Courier
from bot.words import plural
from models.database import hold_service_lock, open_database, why_read_only
from models.migrate import pending
from models.migrate_apart import migrate_apart
from models.postgres_wake import PostgresWake
from models.postgres_writer import PostgresWriter
from models.sqlite_writer import SqliteWriter
from models.wake import Wake
from models.writer import Writer
from tracker.hits.journal import Journal
from tracker.hits.judge import Judge
from tracker.hits.record import Recorder
from tracker.known_key import tell_of_another_key
from tracker.schedule import run_schedule
from tracker.services import Services
from tracker.settings import Settings
from tracker.web.app import build_app
from tracker.web.server import serve

log = logging.getLogger(__name__)

DRAIN_SECONDS = 15  # platforms kill after 20 to 30


class StartRefusedError(Exception):
    """The process must not start like this; the text says why and what to do."""


@dataclass(frozen=True)
class Parts:
    """What a role consists of."""

    web: bool = False  # pixel, redirect, pages, the chats' webhooks
    smtp: bool = False  # the capture server, the submission server, the way to the providers
    worker: bool = False  # judge, deliver, the chats' own connections, periodic work
    console: bool = False  # a chat in the terminal while no chat token is set

    @property
    def said(self) -> str:
        names = {
            "web": "pixels, links and pages",
            "smtp": "mail that comes in by BCC or is sent through",
            "worker": "judging, chats and periodic work",
        }
        return ", ".join(text for name, text in names.items() if getattr(self, name))


@dataclass(frozen=True)
class Options:
    """How the console behaves."""

    as_json: bool = False
    exit_when_done: bool = False
    console_wanted: bool = True


def _allow_many_connections() -> None:
    """Every reader needs a descriptor, and most systems begin a process with 1,024 of them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def run(settings: Settings, parts: Parts, options: Options) -> int:
    """Serves until SIGTERM or SIGINT, or until the console's `--exit` is done; the exit code."""
    _allow_many_connections()
    for name in settings.idle:
        log.warning("%s: is set, and does nothing yet", name)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        await _prepare_database(settings, parts, stack)
        services = await _open_services(settings, stack)
        await tell_of_another_key(services)
        conversation = Conversation(services)
        if parts.worker:
            await _tell_claim_code(services)  # before the console, whose prompt it would land on
        await _start_chats_and_web(services, conversation, parts, options, stack, stopping)
        await stopping.wait()
        log.info("stopping")
    return 0


async def _prepare_database(settings: Settings, parts: Parts, stack: AsyncExitStack) -> None:
    """Refuses a second SQLite process and an old schema; `all` on SQLite migrates by itself."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        _ = settings.key  # in a trial without one, it is made there now
    except OSError as error:
        raise StartRefusedError(
            f"DATA_DIR: {error.filename or settings.data_dir} cannot be used ({error.strerror}); "
            "name a directory that this process may read and write"
        ) from None
    url = settings.database
    if url.is_sqlite:
        if not (parts.web and parts.worker):
            raise StartRefusedError(
                "DATABASE_URL: SQLite serves one process; run `python -m bot`, or put postgres://… "
                "to divide the work"
            )
        assert url.path is not None
        try:
            stack.enter_context(hold_service_lock(url.path))
        except OSError as error:
            raise StartRefusedError(
                f"DATABASE_URL: {url.path} cannot be written beside ({error.strerror}); "
                "name a file in a directory that this process may write"
            ) from None
        for name in await migrate_apart(url):
            log.info("migrated to %s", name)
        if why := why_read_only(url.path):
            raise StartRefusedError(
                f"DATABASE_URL: {url.path} cannot be written ({why}); let this process write it"
            )
    elif names := await pending(url):
        raise StartRefusedError(
            f"the database lacks {plural(len(names), 'migration')}, first {names[0]}: "
            "run `python -m bot migrate`"
        )
    try:
        await stack.enter_async_context(open_database(url))
    except OSError as error:
        raise StartRefusedError(f"DATABASE_URL: the database does not answer ({error})") from None


async def _open_services(settings: Settings, stack: AsyncExitStack) -> Services:
    url = settings.database
    wake: Wake
    writer: Writer
    if url.is_sqlite:
        assert url.path is not None
        wake, writer = Wake(), SqliteWriter(url.path)
    else:
        wake = PostgresWake(url.credentials)
        writer = PostgresWriter(url.credentials, wake)
    await wake.start()
    stack.push_async_callback(wake.stop)
    await writer.start()
    stack.push_async_callback(writer.stop)
    return Services(settings=settings, writer=writer, wake=wake)


async def _start_chats_and_web(
    services: Services,
    conversation: Conversation,
    parts: Parts,
    options: Options,
    stack: AsyncExitStack,
    stopping: asyncio.Event,
) -> None:
    """Listeners, then the chats' own connections, then judge and courier."""
    settings = services.settings
    chats = _build_chats(services, conversation) if settings.has_chats else {}
    console = None
    if parts.console and options.console_wanted and (options.as_json or not settings.has_chats):
        from bot.console import ConsoleChat

        console = ConsoleChat(
            services, conversation, as_json=options.as_json, exit_when_done=options.exit_when_done
        )
        chats[console.platform] = console
    if parts.web:
        recorder = Recorder(services, Journal(settings.data_dir / "journal"))
        app = build_app(
            services,
            recorder,
            chat_health=lambda: {name: chat.health() for name, chat in chats.items()},
            more=lambda app: _mount(app, chats),
        )
        await stack.enter_async_context(_listening(app, settings))
    if parts.smtp:
        await stack.enter_async_context(_taking_mail(services, alone=not parts.web))
        await stack.enter_async_context(_sending_mail(services, stopping))
    if parts.worker:
        await attach_terminal(services, attached=console is not None)
        # Stopped in reverse: the courier finishes its calls while the chats still take them.
        for chat in chats.values():
            await chat.start()
            stack.push_async_callback(chat.stop)
        courier = Courier(services, chats)
        works = (Judge(services).run(), courier.run(), run_schedule(services), _watch_mailboxes(services))
        for work in works:
            await stack.enter_async_context(_in_background(work, stopping))
    if console is not None and options.exit_when_done:
        await stack.enter_async_context(_in_background(console.done(), stopping))


async def _watch_mailboxes(services: Services) -> None:
    """Replies that come into people's mailboxes."""
    from tracker.replies.watcher import Watcher  # the web role never needs it

    await Watcher(services).run()


def _build_chats(services: Services, conversation: Conversation) -> dict[str, Chat]:
    """The chats that have a token. Their SDKs cost a second and 40 MB: who has no token pays neither."""
    chats: dict[str, Chat] = {}
    if services.settings.slack_bot_token is not None:
        from bot.slack import SlackChat

        chats["slack"] = SlackChat(services, conversation)
    if services.settings.telegram_bot_token is not None:
        from bot.telegram import TelegramChat

        chats["telegram"] = TelegramChat(services, conversation)
    return chats


def _mount(app: web.Application, chats: Mapping[str, Chat]) -> None:
    """The webhook routes of those chats that have any."""
    for chat in chats.values():
        add_routes = getattr(chat, "add_routes", None)
        if add_routes is not None:
            add_routes(app)


@asynccontextmanager
async def _listening(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    if settings.port is None:
        raise StartRefusedError("PORT: is empty, and the web role has nothing to listen on; put 8080")
    async with AsyncExitStack() as stack:
        host, port = settings.listen_host, settings.port
        try:
            await stack.enter_async_context(serve(app, host, port))
        except (socket.gaierror, UnicodeError):
            raise StartRefusedError(_no_address(host)) from None
        except OSError as error:
            raise StartRefusedError(_why_deaf(host, port, error)) from error
        log.info("listening on %s:%s", host, port)
        yield


@asynccontextmanager
async def _taking_mail(services: Services, *, alone: bool) -> AsyncIterator[None]:
    """The capture server, unless its port is empty; a process that is nothing else must have one."""
    from tracker.mail.smtp import capture_mail  # the web role never needs it
    from tracker.sending.tls import CertificateError

    settings = services.settings
    host, port = settings.listen_host, settings.capture_port
    if alone and (port, settings.submission_port, settings.submissions_port) == (None, None, None):
        raise StartRefusedError(
            "CAPTURE_PORT: is empty as SUBMISSION_PORT and SUBMISSIONS_PORT are, and the smtp role has "
            "nothing to listen on; put 2525"
        )
    async with AsyncExitStack() as stack:
        if port is not None:
            try:
                await stack.enter_async_context(capture_mail(services, host, port))
            except CertificateError as error:
                raise StartRefusedError(str(error)) from None
            except (socket.gaierror, UnicodeError):
                raise StartRefusedError(_no_address(host)) from None
            except OSError as error:
                raise StartRefusedError(_why_deaf(host, port, error, "CAPTURE_PORT")) from error
            log.info("taking mail on %s:%s", host, port)
        yield


@asynccontextmanager
async def _sending_mail(services: Services, stopping: asyncio.Event) -> AsyncIterator[None]:
    """The submission server and, also without it, the relay for what waits in the spool."""
    from tracker.sending.relay import Relay
    from tracker.sending.spool import Spool
    from tracker.sending.submission import ListenError, submit_mail
    from tracker.sending.tls import CertificateError

    settings = services.settings
    ports = settings.submission_port, settings.submissions_port
    async with AsyncExitStack() as stack:
        spool = Spool(settings.data_dir / "spool")
        stack.callback(spool.close)
        relay = Relay(services, spool)
        await stack.enter_async_context(_in_background(relay.run(), stopping))
        try:
            await stack.enter_async_context(
                submit_mail(services, spool, relay.hurry, settings.listen_host, *ports)
            )
        except CertificateError as error:
            raise StartRefusedError(str(error)) from None
        except (socket.gaierror, UnicodeError):
            raise StartRefusedError(_no_address(settings.listen_host)) from None
        except ListenError as error:
            raise StartRefusedError(
                _why_deaf(settings.listen_host, error.port, error, error.setting)
            ) from error
        yield


def _no_address(host: str) -> str:
    return f"HOST: {host} is no address of this machine; put 127.0.0.1 or 0.0.0.0"


def _why_deaf(host: str, port: int, error: OSError, name: str = "PORT") -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return _no_address(host)
    why = os.strerror(error.errno) if error.errno else str(error)
    other = port ^ 1  # its neighbour, never past the last one
    return f"{name}: cannot listen on {host}:{port} ({why}); put another port, such as {name}={other}"


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None], stopping: asyncio.Event) -> AsyncIterator[None]:
    """Runs `work` beside everything else; at the end of the process it gets time to finish what it holds.

    None of it ever ends by itself: a worker that does has a fault, and the process ends rather than go on
    without it; whoever started it starts it anew.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: stopping.set())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, TimeoutError):
            await asyncio.wait_for(task, DRAIN_SECONDS)


async def _tell_claim_code(services: Services) -> None:
    code = await open_claim_code(services)
    if code is not None:
        click.echo(f"claim code: {code}", file=sys.stderr)
