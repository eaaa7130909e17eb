"""What the tests with real mail programs share: the provider, and a gate on its way to the capture port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.clients.letters import Outgoing
from tests.clients.senders import SENDERS, Send
from tests.processes.mailbell import free_port
from tests.servers.postfix import PASSWORD, USER, Postfix, postfix


@dataclass
class Gate:
    """A line to a port that stays silent until it is opened, as a provider's queue may."""

    port: int
    to: int
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.is_open.wait()
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
            await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def gate(to: int) -> AsyncIterator[Gate]:
    made = Gate(free_port(), to)
    server = await asyncio.start_server(made.pass_through, "127.0.0.1", made.port)
    try:
        yield made
    finally:
        server.close()


@dataclass
class Post:
    """A provider, the gate between it and mailbell, and the port at which mailbell shall take copies."""

    provider: Postfix
    gate: Gate
    capture_port: int

    def as_outgoing(self, security: str = "starttls") -> Outgoing:
        """The provider's server, as its user types it into a mail program."""
        port = self.provider.port_tls if security == "tls" else self.provider.port
        return Outgoing(port, security, USER, PASSWORD, self.provider.certificates.authority)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    capture_port = free_port()
    async with gate(capture_port) as between, postfix("localhost", between.port) as provider:
        yield Post(provider, between, capture_port)


@pytest.fixture(params=sorted(SENDERS))
def send(request: pytest.FixtureRequest) -> Send:
    """Each test that asks for it runs with every mail program."""
    return SENDERS[request.param]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home for a mail program."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder
