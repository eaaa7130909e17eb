"""Logging in to mailboxes at a real server, and what is no such server."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from models import Mailbox
from models.database import DatabaseURL
from tests import builders
from tests.fakes.chat import FakeChat
from tests.flows.conftest import Line
from tests.flows.office import HOME, Office, until, watching
from tests.processes.mailbell import free_port
from tests.servers.dovecot import PASSWORD, Dovecot
from tracker.replies import wire
from tracker.replies.watched import check_imap, set_watching
from tracker.sending.credentials import Credentials, Server
from tracker.sending.upstream import CertificateError, LaterError, LoginError


async def test_a_private_server_is_not_contacted(line: Line, sqlite_database: DatabaseURL, imap: Dovecot):
    async with line(sqlite_database, lambda *_: FakeChat()) as bell:
        office = Office(bell, imap)
        await office.open(imap_on=True)
        async with watching(office):
            await until(lambda: Mailbox.filter(imap_failure__contains="private network").exists())
    assert "Login" not in imap.said


async def test_watching_is_switched_for_ones_own_mailbox_only(office: Office):
    services, bob = office.bell.services, await builders.account("bob", office.bell.clock())
    assert await set_watching(services, bob, HOME, True) is None
    assert await set_watching(services, office.alice, "no address", True) is None
    assert not (await Mailbox.get()).imap_on
    await Mailbox.all().update(imap_host=None)
    with pytest.raises(LookupError):
        await set_watching(services, office.alice, HOME, True)


async def test_a_login_is_checked_for_the_connect_page(imap: Dovecot, monkeypatch: pytest.MonkeyPatch):
    good = Credentials(HOME, PASSWORD)
    for security, port in (("starttls", imap.port), ("tls", imap.port_tls), ("none", imap.port)):
        await check_imap(Server("localhost", port, security), good)
    with pytest.raises(LoginError, match="Authentication failed"):
        await check_imap(Server("localhost", imap.port_tls, "tls"), Credentials(HOME, "wrong"))
    with pytest.raises(LoginError):
        await check_imap(Server("localhost", imap.port_tls, "tls"), Credentials(HOME, "grüße"))
    with pytest.raises(LaterError):
        await check_imap(Server("localhost", free_port(), "tls"), good)
    monkeypatch.undo()
    with pytest.raises(CertificateError):
        await check_imap(Server("localhost", imap.port_tls, "tls"), good)


NO_IMAP = {
    "nothing": [b""],
    "HTTP": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "a goodbye": [b"* BYE too busy\r\n"],
    "a huge literal": [b"* OK hi\r\n", b"* CAPABILITY {4000000000}\r\n"],
    "a line without end": [b"* OK hi\r\n", b"* CAPABILITY " + b"a" * 21_000_000],
    "other tags": [b"* OK hi\r\n", b"x999 OK\r\n"],
    "no capabilities": [b"* OK hi\r\n", b"* \xff\xfe\r\n\x00\r\n"],
    "login without inbox": [b"* PREAUTH hi\r\n", b"* CAPABILITY IMAP4rev1\r\nTAG OK\r\n"],
}


@pytest.mark.parametrize("name", NO_IMAP)
async def test_a_server_that_speaks_no_imap_is_out_of_reach_and_no_more(name: str, monkeypatch):
    monkeypatch.setattr(wire, "COMMAND_SECONDS", 2)
    greeting, *answers = NO_IMAP[name]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(greeting)
            for answer in answers:
                line = await reader.readline()
                writer.write(answer.replace(b"TAG", line.split()[0] if line.split() else b""))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LaterError):
            await check_imap(Server("127.0.0.1", port, "none"), Credentials(HOME, PASSWORD))
    finally:
        server.close()


async def test_a_token_logs_in_as_well_as_a_password(imap: Dovecot):
    server = Server("localhost", imap.port_tls, "tls")
    await check_imap(server, Credentials(HOME, imap.token(HOME), "xoauth2"))
    for bad in (imap.token("eve@home.example"), imap.token(HOME, -60), "garbage"):
        with pytest.raises(LoginError, match="Authentication failed"):
            await check_imap(server, Credentials(HOME, bad, "xoauth2"))
