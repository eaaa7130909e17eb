"""Fetching a list over real TLS: only https, only public hosts, only so much."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tracker.hits import network_fetch
from tracker.hits.network_fetch import FetchError, fetch


def certificate(folder: Path) -> Path:
    """Key and certificate of "localhost" and 127.0.0.1 in one file, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def _list(_request: web.Request) -> web.Response:
    return web.Response(body=b"5.9.0.0/16\n")


async def _huge(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    try:
        for _ in range(100):
            await answer.write(b"x" * 65_536)
    except ConnectionError:
        pass  # the other side had enough
    return answer


async def _elsewhere(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def _circle(_request: web.Request) -> web.Response:
    return web.Response(status=307, headers={"Location": "/circle"})


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    app = web.Application()
    app.router.add_get("/list.txt", _list)
    app.router.add_get("/huge.txt", _huge)
    app.router.add_get("/elsewhere", _elsewhere)
    app.router.add_get("/circle", _circle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    yield f"https://localhost:{port}"
    await runner.cleanup()


async def test_a_list_is_fetched(server: str) -> None:
    assert await fetch(f"{server}/list.txt", allow_private=True) == b"5.9.0.0/16\n"


async def test_a_redirect_is_followed_as_long_as_it_stays_on_https(server: str) -> None:
    assert await fetch(f"{server}/elsewhere?to=/list.txt", allow_private=True) == b"5.9.0.0/16\n"
    with pytest.raises(FetchError, match="does not stay on https"):
        await fetch(f"{server}/elsewhere?to=http://localhost/list.txt", allow_private=True)
    with pytest.raises(FetchError, match="does not stay on https"):
        await fetch(f"{server}/elsewhere?to=file:///etc/passwd", allow_private=True)
    with pytest.raises(FetchError, match="redirected more than 5"):
        await fetch(f"{server}/circle", allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost:1/x", "https://127.0.0.1:1/x", "https://[::1]:1/x", "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data", "https://[::ffff:127.0.0.1]:1/x", "https://127.1:1/x",
        "https://2130706433:1/x", "https://[fe80::1%25lo]/x",
    ],
)  # fmt: skip
async def test_nothing_private_is_contacted(url: str) -> None:
    with pytest.raises(FetchError, match=r"private|cannot be fetched"):
        await fetch(url, allow_private=False)


async def test_what_an_operator_permits_is_contacted(server: str) -> None:
    with pytest.raises(FetchError, match="ALLOW_PRIVATE_UPSTREAM"):
        await fetch(f"{server}/list.txt", allow_private=False)
    literal = server.replace("localhost", "127.0.0.1")
    with pytest.raises(FetchError, match="ALLOW_PRIVATE_UPSTREAM"):
        await fetch(f"{literal}/list.txt", allow_private=False)
    assert await fetch(f"{literal}/list.txt", allow_private=True) == b"5.9.0.0/16\n"


async def test_an_answer_that_does_not_end_is_cut(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_fetch, "MAX_BYTES", 1_000_000)
    with pytest.raises(FetchError, match="larger than"):
        await fetch(f"{server}/huge.txt", allow_private=True)


async def test_an_error_says_what_came_back(server: str) -> None:
    with pytest.raises(FetchError, match="404, not 200"):
        await fetch(f"{server}/none.txt", allow_private=True)


async def test_a_certificate_of_nobody_known_is_refused(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(FetchError, match="cannot be fetched"):
        await fetch(f"{server}/list.txt", allow_private=True)


async def test_a_host_that_takes_too_long_is_given_up(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_fetch, "SECONDS", 0.000_001)
    with pytest.raises(FetchError, match="longer than"):
        await fetch(f"{server}/list.txt", allow_private=True)
