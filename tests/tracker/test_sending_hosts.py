"""Which servers people may name, and whose an address probably is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Clock
from tests.tracker.page_services import services
from tracker.internet import is_public
from tracker.sending import hosts
from tracker.sending.credentials import Server
from tracker.sending.hosts import (
    OpenServerError,
    PrivateHostError,
    UnknownHostError,
    check_host,
    check_server,
)
from tracker.sending.providers import PROVIDERS, guess_provider, servers_for

PRIVATE = (
    "127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fd00:ec2::254", "ff02::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "2001:0:7f00:1::", "", "localhost",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_leads_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2a00:1450:4001:81b::2003", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST.", "::1", "0", "127.1", "2130706433", "0x7f000001"]
)
async def test_this_machine_is_refused_however_it_is_written(host: str, clock: Clock, tmp_path: Path) -> None:
    with pytest.raises((PrivateHostError, UnknownHostError)):
        await check_host(services(clock, tmp_path).settings, host)


async def test_the_operator_can_permit_it(clock: Clock, tmp_path: Path) -> None:
    await check_host(services(clock, tmp_path, allow_private_upstream=True).settings, "127.0.0.1")


async def test_one_private_address_among_public_ones_refuses_the_host(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two(name: str) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    monkeypatch.setattr(hosts, "_resolve", two)
    with pytest.raises(PrivateHostError, match="ALLOW_PRIVATE_UPSTREAM"):
        await check_host(services(clock, tmp_path).settings, "rebound.example")


@pytest.mark.parametrize(
    "host", ["", " ", "no such", "a/b", "user@host", "x" * 300, "a\x00b", "xn--\udcff", "é" * 80]
)
async def test_what_is_no_server_name_is_told(host: str, clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(UnknownHostError):
        await check_host(services(clock, tmp_path).settings, host)


async def test_without_encryption_only_this_machine_is_asked(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = services(clock, tmp_path, allow_private_upstream=True).settings
    await check_server(settings, Server("127.0.0.1", 25, "none"))

    async def elsewhere(name: str) -> list[str]:
        return ["8.8.8.8"]

    monkeypatch.setattr(hosts, "_resolve", elsewhere)
    await check_server(settings, Server("smtp.example", 465, "tls"))
    with pytest.raises(OpenServerError, match="encryption"):
        await check_server(settings, Server("smtp.example", 25, "none"))


@pytest.mark.parametrize(
    ("address", "exchangers", "key"),
    [
        ("ana@gmail.com", (), "gmail"),
        ("ana@GoogleMail.com", (), "gmail"),
        ("ana@acme.com", ("aspmx.l.google.com.",), "gmail"),
        ("ana@acme.com", ("smtp.google.com",), "gmail"),
        ("ana@hotmail.com", (), "microsoft"),
        ("ana@acme.com", ("acme-com.mail.protection.outlook.com",), "microsoft"),
        ("ana@me.com", (), "icloud"),
        ("ana@acme.com", ("mx01.mail.icloud.com",), "icloud"),
        ("ana@yahoo.de", (), "yahoo"),
        ("ana@acme.com", ("in1-smtp.messagingengine.com",), "fastmail"),
        ("ana@acme.eu", ("mx.zoho.eu",), "zoho"),
        ("ana@acme.com", (), "other"),
        ("ana@acme.com", ("mx.notgoogle.com", "google.com.evil.example"), "other"),
        ("nothing", (), "other"),
    ],
)
def test_the_provider_is_guessed_by_domain_and_exchanger(
    address: str, exchangers: tuple[str, ...], key: str
) -> None:
    assert guess_provider(address, exchangers).key == key


def test_a_region_has_its_own_servers() -> None:
    zoho = guess_provider("ana@zoho.eu")
    smtp, imap = servers_for(zoho, "ana@zoho.eu")
    assert smtp is not None
    assert smtp.host == "smtp.zoho.eu"
    assert imap is not None
    assert servers_for(zoho, "ana@acme.com", ("mx.zoho.in",))[0] == Server("smtp.zoho.in", 465, "tls")


def test_a_private_outlook_address_has_another_server_than_a_company() -> None:
    microsoft = guess_provider("ana@outlook.com")
    own, company = (
        servers_for(microsoft, "ana@outlook.com")[0],
        servers_for(microsoft, "ana@acme.com", ("acme-com.mail.protection.outlook.com",))[0],
    )
    assert own == Server("smtp-mail.outlook.com", 587, "starttls")
    assert company == Server("smtp.office365.com", 587, "starttls")


def test_every_provider_is_used_with_encryption_and_says_how_to_get_in() -> None:
    assert len({one.key for one in PROVIDERS}) == len(PROVIDERS)
    for one in PROVIDERS:
        assert len(one.key) <= 16
        assert one.steps
        for server in (one.smtp, one.imap):
            assert server is None or server.security in ("starttls", "tls")
        assert one.made_at is None or one.made_at.startswith("https://")
