"""What handlers find in the application, by typed key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from tracker.hits.record import Recorder
from tracker.services import Services
from tracker.web.intake import Intake

SERVICES = web.AppKey("SERVICES", Services)
RECORDER = web.AppKey("RECORDER", Recorder)
INTAKE = web.AppKey("INTAKE", Intake)
# Name of each chat and "ok", or what is wrong with it in a few words.
ChatHealth = Callable[[], Mapping[str, str]]
CHAT_HEALTH: web.AppKey[ChatHealth] = web.AppKey("CHAT_HEALTH")


class UnderWay:
    """How many requests are being answered now: a stop waits for them."""

    def __init__(self) -> None:
        self.count = 0


UNDER_WAY = web.AppKey("UNDER_WAY", UnderWay)
