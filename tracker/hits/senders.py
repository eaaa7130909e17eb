"""What is known of the senders of mails: their own devices, what they said of hits, where they read mail.

Read with the hits that are judged (tracker/hits/reading.py); pure rules ask it. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tracker.hits.cases import among, listed
from tracker.hits.evidence import OwnDevices
from tracker.hits.own_proxy import SENDERS, OwnProxies, proxy_of
from tracker.hits.taught import Lesson, Lessons
from tracker.services import Services


class Senders(NamedTuple):
    """By account."""

    devices: Mapping[int, OwnDevices]
    lessons: Mapping[int, Lessons]  # where there are any
    proxies: Mapping[int, OwnProxies]  # of those with answered mail


async def known_of(services: Services, accounts: set[int], answered: set[int]) -> Senders:
    """Of these accounts; how those with `answered` mail read their own is asked, too."""
    return Senders(
        await _own_devices(services, accounts),
        await _lessons(services, accounts),
        await _own_proxies(services, answered),
    )


async def _own_devices(services: Services, accounts: set[int]) -> Mapping[int, OwnDevices]:
    """The sender's own devices. In a trial none: there one's own look must ring."""
    own: dict[int, dict[str, int]] = {account: {} for account in accounts}
    if services.settings.is_trial:
        return own
    sql = f"SELECT account_id, device, seen_at FROM own_device WHERE {among('account_id')}"  # noqa: S608
    for account, device, seen_at in await services.writer.fetch(sql, (listed(sorted(accounts)),)):
        own[account][device] = seen_at
    return own


async def _lessons(services: Services, accounts: set[int]) -> Mapping[int, Lessons]:
    """What it taught, where it taught anything. Also in a trial: there it was meant so."""
    sql = (
        "SELECT account_id, uid, answer, device, network, agent_id, at FROM taught "  # noqa: S608
        f"WHERE undone_at IS NULL AND {among('account_id')}"
    )
    found: dict[int, list[Lesson]] = {}
    for account, *lesson in await services.writer.fetch(sql, (listed(sorted(accounts)),)):
        found.setdefault(account, []).append(Lesson(*lesson))
    return {account: Lessons.of(lessons) for account, lessons in found.items()}


async def _own_proxies(services: Services, accounts: set[int]) -> Mapping[int, OwnProxies]:
    """Through which image proxies it reads its own mail."""
    found: dict[int, OwnProxies] = {}
    if accounts:
        sql = SENDERS.format(accounts=among("o.account_id"))
        for account, address, provider in await services.writer.fetch(sql, (listed(sorted(accounts)),)):
            own = found.setdefault(account, OwnProxies())
            own.of_address[address] = proxy_of(address, provider)
    return found
