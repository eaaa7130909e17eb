"""`/healthz` and `/metrics`: the truth about this process, fast even while the database hangs.

Platforms and people poll `/healthz`; it is 200 while the process can answer at all. `/metrics` is for the
machine itself (a direct loopback connection) or for whoever knows METRICS_TOKEN.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.columns import to_micros
from models.writer import Statement, WriterDownError
from tracker.hits.record import Recorder
from tracker.sending.spool import count_waiting
from tracker.services import Services
from tracker.settings import is_loopback
from tracker.web.keys import CHAT_HEALTH, RECORDER, SERVICES

PROBE_SECONDS = 0.3  # how long an answer waits for the database
FRESH_SECONDS = 1.0  # how long what was found holds
UNJUDGED_LIMIT = 100_000  # more are not counted

_WRITE = Statement(
    "INSERT INTO instance_state (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    (("healthz", "written by /healthz"),),
)
# What proxies add to a request: then its loopback connection is theirs.
_BY_PROXIES = ("x-forwarded-", "forwarded", "x-real-ip", "via", "cf-connecting-ip", "true-client-ip")
_UNJUDGED = f"SELECT count(*) FROM (SELECT 1 FROM hit WHERE judged_at IS NULL LIMIT {UNJUDGED_LIMIT}) AS u"  # noqa: S608, a constant
_PACKED = "SELECT COALESCE(SUM(count), 0) FROM pack"  # they come before they are rows
_OLDEST = (
    "SELECT min(a.due_at) FROM alert a JOIN destination d ON d.id = a.destination_id"
    " WHERE a.state = 'waiting' AND d.off_at IS NULL"
)


class Health:
    """What is known of the database, asked at most once a second, by one probe at a time."""

    def __init__(self, services: Services, recorder: Recorder) -> None:
        self._services = services
        self._recorder = recorder
        self._probe: asyncio.Task[None] | None = None
        self._probed_at = float("-inf")
        self._database = "not asked yet"
        self._unjudged: int | None = None
        self._oldest_due: int | None = None
        self._spooled = 0

    async def report(self, chats: dict[str, str]) -> dict[str, Any]:
        """The body of `/healthz`, within PROBE_SECONDS."""
        await self._look()
        waiting = self._recorder.journal.waiting
        sound = self._database == "ok" and not waiting and all(said == "ok" for said in chats.values())
        oldest = None
        now = to_micros(self._services.now())
        if self._oldest_due is not None and self._oldest_due <= now:
            oldest = (now - self._oldest_due) / 1e6
        return {
            "status": "ok" if sound else "degraded",
            "database": self._database,
            "journal": waiting,
            "hits_lost": self._recorder.hits_lost,
            "unjudged": self._unjudged,
            "spool": self._spooled,
            "oldest_alert_seconds": oldest,
            "chats": chats,
        }

    async def _look(self) -> None:
        if time.monotonic() - self._probed_at < FRESH_SECONDS:
            return
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait([self._probe], timeout=PROBE_SECONDS)
        if not done:
            self._database = "does not answer"

    async def _ask(self) -> None:
        writer = self._services.writer
        spool = self._services.settings.data_dir / "spool"
        self._spooled = await asyncio.to_thread(count_waiting, spool)
        try:
            # A write: a locked database and a full disk still let themselves be read.
            await writer.apply([_WRITE])
            packed = int((await writer.fetch(_PACKED))[0][0])
            self._unjudged = packed + int((await writer.fetch(_UNJUDGED))[0][0])
            self._oldest_due = (await writer.fetch(_OLDEST))[0][0]
            self._database = "ok"
        except WriterDownError:
            self._database = "down"
        except Exception as error:
            self._database = f"error: {type(error).__name__}"
        self._probed_at = time.monotonic()


class _Numbers(Collector):
    """Reads the counters when they are asked for: recording itself counts nothing twice."""

    def __init__(self, services: Services, recorder: Recorder) -> None:
        self._services = services
        self._recorder = recorder

    def collect(self) -> Iterator[Metric]:
        recorder = self._recorder
        yield CounterMetricFamily("mailbell_hits", "Requests taken for recording", recorder.hits_recorded)
        yield CounterMetricFamily("mailbell_hits_lost", "Answered, but on no disk", recorder.hits_lost)
        yield GaugeMetricFamily("mailbell_journal_hits", "Waiting in the journal", recorder.journal.waiting)
        queued = self._services.writer.queued
        yield GaugeMetricFamily("mailbell_queued_hits", "Waiting for their commit", queued)


HEALTH = web.AppKey("HEALTH", Health)
REGISTRY = web.AppKey("REGISTRY", CollectorRegistry)


async def healthz(request: web.Request) -> web.Response:
    """Always 200; see DESIGN.md for the fields."""
    report = await request.app[HEALTH].report(dict(request.app[CHAT_HEALTH]()))
    return web.json_response(report, headers={"Cache-Control": "no-store"})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text, for the machine itself or the bearer of METRICS_TOKEN."""
    if not _may_see_metrics(request):
        return web.Response(status=403, text="Ask from the machine itself, or send METRICS_TOKEN.\n")
    text = generate_latest(request.app[REGISTRY]).decode()
    return web.Response(text=text, headers={"Cache-Control": "no-store"})


def _may_see_metrics(request: web.Request) -> bool:
    token = request.app[SERVICES].settings.metrics_token
    given = request.headers.get("Authorization", "").partition(" ")
    if token is not None and given[0].lower() == "bearer":
        secret = token.get_secret_value().encode()
        return hmac.compare_digest(given[2].strip().encode("utf-8", "replace"), secret)
    if any(name.lower().startswith(_BY_PROXIES) for name in request.headers):
        return False
    if not is_loopback(f"http://{request.host}"):  # a proxy on this machine that only keeps the Host
        return False
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    try:
        return isinstance(peer, tuple) and ipaddress.ip_address(peer[0]).is_loopback
    except ValueError:
        return False


def add_routes(app: web.Application) -> None:
    app[HEALTH] = Health(app[SERVICES], app[RECORDER])
    registry = CollectorRegistry()
    registry.register(_Numbers(app[SERVICES], app[RECORDER]))
    app[REGISTRY] = registry
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
