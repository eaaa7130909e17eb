"""MX records, asked of a real name server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tracker import exchangers
from tracker.exchangers import NoExchangerError, mail_exchangers

ZONE = {
    "acme.com.": ("20 backup.acme.com.", "10 Mail.Acme.com."),
    "quiet.example.": ("0 .",),
    "empty.example.": (),
}


class NameServer(asyncio.DatagramProtocol):
    """Answers MX questions from ZONE; says nothing for silent.example."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        asked = dns.message.from_wire(data)
        name = asked.question[0].name.to_text().lower()
        if name == "silent.example.":
            return
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA
        if name not in ZONE:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif ZONE[name]:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "MX", *ZONE[name]))
        self.transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def name_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], object]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))

    def resolver() -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(configure=False)
        made.nameservers, made.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
        return made

    monkeypatch.setattr(exchangers, "_resolver", resolver)
    monkeypatch.setattr(exchangers, "SECONDS", 0.3)
    yield resolver
    transport.close()


async def test_the_preferred_server_comes_first(name_server: object) -> None:
    assert await mail_exchangers("Acme.com") == ["mail.acme.com", "backup.acme.com"]


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("nowhere.example", "has no MX record"),
        ("empty.example", "has no MX record"),
        ("quiet.example", "takes no mail"),
        ("silent.example", "do not say"),
        ("", "do not say|has no MX"),
        ("a..b", "do not say"),
        ("é" * 100, "do not say"),
        ("x\x00y", "do not say|has no MX"),
    ],
)
async def test_a_domain_without_one_is_told(name_server: object, domain: str, words: str) -> None:
    with pytest.raises(NoExchangerError, match=words):
        await mail_exchangers(domain)
