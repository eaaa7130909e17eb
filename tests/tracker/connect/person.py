"""Somebody at a connect page: their browser, what they fill in, and how they get a mailbox connected."""

from __future__ import annotations

import re
from typing import Any

from models import Account
from tests.servers.mailhost import MailHost
from tests.tracker.site import Site
from tracker.sending.tickets import make_ticket

BASE = "http://localhost:8080"


class Person:
    """A browser: it keeps the page's cookie and the mark of the last form."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.cookie = ""
        self.mark = ""
        self.text = ""

    async def get(self, url: str, **headers: str) -> Any:
        return await self._note("GET", url, None, headers)

    async def post(self, url: str, headers: dict[str, str] | None = None, **form: str) -> Any:
        return await self._note("POST", url, {"mark": self.mark, **form}, headers or {})

    async def _note(self, method: str, url: str, form: dict[str, str] | None, headers: dict[str, str]) -> Any:
        path = url.removeprefix(BASE)
        sent = {"Cookie": self.cookie, **headers} if self.cookie else headers
        answer = await self.site.client.request(method, path, data=form, headers=sent, allow_redirects=False)
        self.text = await answer.text()
        self.site.client.session.cookie_jar.clear()  # each person has a browser of their own
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        found = re.search(r'name="mark" value="([^"]*)"', self.text)
        self.mark = found[1] if found else self.mark
        return answer


def login(host: MailHost, **more: str) -> dict[str, str]:
    return {
        "step": "login", "provider": "other", "address": "alice@acme.com", "secret": "correct horse",
        "smtp_host": "127.0.0.1", "smtp_port": str(host.port), "smtp_security": "none", **more,
    }  # fmt: skip


async def connect(site: Site, host: MailHost, alice: Account) -> tuple[Person, str]:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    answer = await person.post(url, **login(host, imap_host="127.0.0.1"))
    assert answer.status == 200, person.text
    return person, url
