"""The doctor looks at BASE_URL from outside: where it leads, what stands before it, its certificate."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from models.database import DatabaseURL
from models.wake import Wake
from models.writer import Writer
from tests.conftest import Clock
from tests.servers.certificates import make_certificates
from tests.tracker.doctor.findings import moved, states
from tests.tracker.page_services import services as plain_services
from tests.tracker.site import Site, open_site
from tracker.doctor import web as doctor_web
from tracker.doctor.findings import About, Visit
from tracker.doctor.web import check_base_url, check_certificate, judge_certificate
from tracker.services import Services
from tracker.web.probe import probe_path


async def test_base_url_leads_here(site: Site) -> None:
    found = await check_base_url(Visit(site.services))
    assert states(found) == {"base-url": "ok", "proxies": "ok"}
    assert "no proxy" in found[1].said


async def test_an_address_where_nothing_answers_is_told(clock: Clock, tmp_path: Path) -> None:
    visit = Visit(plain_services(clock, tmp_path, base_url=f"http://127.0.0.1:{unused_port()}"))
    (found,) = await check_base_url(visit)
    assert (found.state, "does not answer from here" in found.said) == ("wrong", True)


async def test_an_address_that_leads_to_something_else_is_told(clock: Clock, tmp_path: Path) -> None:
    async with TestServer(web.Application()) as other:
        visit = Visit(plain_services(clock, tmp_path, base_url=str(other.make_url("")).rstrip("/")))
        (found,) = await check_base_url(visit)
    assert "not this mailbell" in found.said


async def test_another_secret_key_there_is_told(site: Site) -> None:
    other = moved(site.services, secret_key=type(site.services.settings.secret_key)("another key of sixteen"))
    other.settings.__dict__.pop("key", None)
    (found,) = await check_base_url(Visit(other))
    assert "not this mailbell" in found.said


async def test_the_probe_answers_nobody_else(site: Site, clock: Clock) -> None:
    path = probe_path(site.services)
    assert (await site.client.get(path)).status == 200
    assert (await site.client.get(path[:-1] + "x")).status == 404
    assert (await site.client.get("/doctor/" + "x" * 500)).status == 404
    clock.advance(minutes=6)
    assert (await site.client.get(path)).status == 404


class Proxy:
    """A reverse proxy on loopback. `how`: append | pass | none, of X-Forwarded-For."""

    def __init__(self, target: str, how: str) -> None:
        self.target, self.how = target, how

    async def handle(self, request: web.Request) -> web.Response:
        from aiohttp import ClientSession

        sent = request.headers.get("X-Forwarded-For")
        headers = {
            "append": {"X-Forwarded-For": f"{sent}, 198.51.100.9" if sent else "198.51.100.9"},
            "pass": {"X-Forwarded-For": sent or "198.51.100.9"},
            "none": {},
        }[self.how]
        async with (
            ClientSession() as session,
            session.get(self.target + request.path, headers=headers) as answer,
        ):
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )


@pytest.mark.parametrize(
    ("how", "trusted", "state", "words"),
    [
        ("append", "127.0.0.0/8", "ok", "is believed"),
        ("append", "", "wrong", "TRUSTED_PROXIES=127.0.0.1"),
        ("pass", "127.0.0.0/8", "wrong", "proxy_add_x_forwarded_for"),
        ("none", "10.0.0.0/8", "note", "X-Forwarded-For"),
        ("none", "", "ok", "no proxy"),
    ],
)
async def test_a_proxy_in_front_is_looked_at(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path, how: str, trusted: str, state: str, words: str
) -> None:
    app = web.Application()
    async with open_site(sqlite_database, clock, tmp_path, trusted_proxies=trusted) as site:
        target = str(site.client.make_url("")).rstrip("/")
        app.router.add_get("/{tail:.*}", Proxy(target, how).handle)
        async with TestServer(app) as server:
            visit = Visit(moved(site.services, base_url=str(server.make_url("")).rstrip("/")))
            visit.services.settings.__dict__.pop("public_url", None)
            found = await check_base_url(visit)
    assert found[0].state == "ok"
    assert found[1].state == state
    assert words in f"{found[1].said} {found[1].remedy}"


async def test_plain_http_on_the_internet_is_told(clock: Clock, tmp_path: Path) -> None:
    (found,) = await check_certificate(Visit(plain_services(clock, tmp_path, base_url="http://mail.example")))
    assert found.state == "wrong"
    assert await check_certificate(Visit(plain_services(clock, tmp_path, base_url="http://localhost"))) == []


async def test_the_certificate_of_base_url_is_looked_at(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificates(tmp_path)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=made.for_server())
    port = server.sockets[0].getsockname()[1]
    settings = plain_services(clock, tmp_path, base_url=f"https://localhost:{port}").settings
    visit = Visit(Services(settings, cast(Writer, None), Wake()))  # by the real clock
    (found,) = await check_certificate(visit)
    assert (found.state, "not valid" in found.said) == ("wrong", True)
    (found,) = await check_base_url(visit)
    assert "no valid certificate" in found.said
    trusting = made.for_client()
    monkeypatch.setattr(doctor_web.ssl, "create_default_context", lambda: trusting)
    (found,) = await check_certificate(visit)
    assert (found.state, "runs out in" in found.said) == ("wrong", True)  # they hold for two days
    server.close()
    (found,) = await check_certificate(visit)
    assert found.state == "note"


@pytest.mark.parametrize(("days", "state"), [(90, "ok"), (11, "ok"), (9, "wrong"), (-3, "wrong")])
def test_a_certificate_that_runs_out_is_told(days: int, state: str, clock: Clock) -> None:
    ends = clock() + dt.timedelta(days=days, hours=1)
    shown = {"notAfter": ends.strftime("%b %d %H:%M:%S %Y GMT")}
    assert judge_certificate(About("x", "X"), shown, clock()).state == state
