"""What mails showed of each recipient's side: gathered from judged hits, kept with the person.

`known` is asked by `show` and `track`; `learn` is a duty that keeps what was seen in Person.learned, so that
it outlasts the hits and tells something of a whole domain. Always scoped by the account.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models import Account, InstanceState, Person
from models.select import as_list, domain_of, from_json, one_of, select
from tracker.insights.trackability import Side, Signs, side_of, side_of_domain
from tracker.services import Services

MAILS = 30  # the newest to one person: habits change
PEOPLE = 300  # of one domain
HITS = 20_000  # whose people are learned of in one step
AT_ONCE = 100  # people
SECONDS = 10.0  # of one run of the duty
_KEY = "sides"
_LOADS = ("human", "proxied", "privacy", "unknown", "duplicate")


@dataclass(frozen=True)
class Known:
    """`who` is an address or a domain."""

    who: str
    side: Side


async def known(account: Account, addresses: Sequence[str]) -> list[Known]:
    """What is known of these people, and where nothing is, of their domains; each domain once."""
    found, domains = [], []
    signs = await signs_of(account.id, addresses)
    for address in dict.fromkeys(addresses):
        side = side_of(signs[address])
        if side != Side():
            found.append(Known(address, side))
        elif (domain := address.rpartition("@")[2]) not in domains:
            domains.append(domain)
    for domain in domains:
        side = side_of_domain(await _learned_at(account.id, domain))
        if side != Side():
            found.append(Known(domain, side))
    return found


async def signs_of(account_id: int, addresses: Sequence[str]) -> dict[str, Signs]:
    """Of the newest mails to each address; what was learned before, where that is of more of them."""
    learned = await _learned(account_id, addresses)
    return await _newer(account_id, addresses, learned)


async def _newer(account_id: int, addresses: Sequence[str], learned: Mapping[str, Signs]) -> dict[str, Signs]:
    seen = await _gather(account_id, addresses)
    found = {}
    for address in addresses:
        now, before = seen.get(address, Signs()), learned.get(address, Signs())
        found[address] = now if now.mails >= before.mails else before
    return found


async def _learned(account_id: int, addresses: Sequence[str]) -> dict[str, Signs]:
    """What is kept with those of them who have a row."""
    rows = await select(
        f"SELECT address, learned FROM person WHERE account_id = ? AND {one_of('address', 'text')}",  # noqa: S608
        (account_id, as_list(addresses)),
    )
    return {address: Signs.of(from_json(learned)) for address, learned in rows}


async def _learned_at(account_id: int, domain: str) -> list[Signs]:
    rows = await select(
        f"SELECT learned FROM person WHERE account_id = ? AND {domain_of('address')} = ? "  # noqa: S608
        "AND learned IS NOT NULL ORDER BY id DESC LIMIT ?",
        (account_id, domain, PEOPLE),
    )
    return [Signs.of(from_json(row[0])) for row in rows]


# Each copy with each kind of hit that it has: one row without any for those that were never looked at.
_GATHER = """
SELECT c.address, c.id, c.replied_at IS NOT NULL, c.mode, h.kind, h.verdict, h.client FROM (
    SELECT r.address, r.id, r.message_id, r.replied_at, m.mode,
        ROW_NUMBER() OVER (PARTITION BY r.address ORDER BY r.id DESC) AS place
    FROM recipient r JOIN message m ON m.id = r.message_id WHERE {addresses} AND m.account_id = ?
) c LEFT JOIN hit h ON h.message_id = c.message_id AND h.recipient_id = c.id
WHERE c.place <= ? GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


async def _gather(account_id: int, addresses: Sequence[str]) -> dict[str, Signs]:
    """What the newest mails to each of these people show; nobody who has none."""
    rows = await select(
        _GATHER.format(addresses=one_of("r.address", "text")), (as_list(addresses), account_id, MAILS)
    )
    copies: dict[tuple[str, int], _Copy] = {}
    providers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for address, number, replied, mode, kind, verdict, client in rows:
        copy = copies.setdefault((address, number), _Copy(bool(replied), mode, set()))
        copy.hits.add((kind, verdict))
        if verdict == "proxied" and client:
            providers[address][client] += 1
    made: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (address, _), copy in copies.items():
        made[address].update(_signs_of_mail(copy.hits, copy.replied, copy.mode))
    return {address: Signs(**counts, via=_most(providers[address])) for address, counts in made.items()}


class _Copy(NamedTuple):
    """One mail to one person, with what kinds of hits it has and what they were."""

    replied: bool
    mode: str
    hits: set[tuple[str | None, str | None]]


def _most(counts: Counter[str]) -> str | None:
    """The most frequent, the first by name among several."""
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def _signs_of_mail(hits: set[tuple[str | None, str | None]], replied: bool, mode: str) -> list[str]:
    """The names of the Signs that one mail shows."""
    opens = {verdict for kind, verdict in hits if kind == "open"}
    engaged = replied or not {("click", "human"), ("click", "proxied")}.isdisjoint(hits)
    shown = {
        "seen": not opens.isdisjoint(("human", "proxied")),
        "privacy": "privacy" in opens,
        "proxied": "proxied" in opens,
        "scanned": any(verdict == "scanner" for _, verdict in hits),
        "engaged": engaged,
        "blind": engaged and mode == "full" and opens.isdisjoint(_LOADS),
    }
    names = [name for name, holds in shown.items() if holds]
    return ["mails", *names] if names else []


async def learn(_services: Services) -> int:
    """Notes what is new of everybody whose hits were judged since the last time; how many people.

    Many hits wait after a stop, or where this is new: the rest of them for the next time.
    """
    began, learned = time.monotonic(), 0
    while time.monotonic() - began < SECONDS and (found := await _learn_some()) is not None:
        learned += found
    return learned


async def _learn_some() -> int | None:
    """How many people the next hits tell something of; None where no hit is left."""
    state = await InstanceState.get_or_none(key=_KEY)
    last = int(state.value) if state else 0
    # Up to the first hit that waits to be judged: what comes after it is for the next time.
    rows = await select(
        "SELECT COALESCE((SELECT MIN(id) - 1 FROM hit WHERE judged_at IS NULL), (SELECT MAX(id) FROM hit), 0)"
    )
    until = min(int(rows[0][0]), last + HITS)
    if until <= last:
        return None
    people: defaultdict[int, list[str]] = defaultdict(list)
    for account_id, address in await select(
        "SELECT DISTINCT m.account_id, r.address FROM hit h JOIN recipient r ON r.id = h.recipient_id "
        "JOIN message m ON m.id = h.message_id WHERE h.id > ? AND h.id <= ?",
        (last, until),
    ):
        people[account_id].append(address)
    for account_id, addresses in people.items():
        for start in range(0, len(addresses), AT_ONCE):
            await _learn(account_id, addresses[start : start + AT_ONCE])
    await InstanceState.update_or_create(defaults={"value": str(until)}, key=_KEY)
    return sum(map(len, people.values()))


async def _learn(account_id: int, addresses: Sequence[str]) -> None:
    """Mostly nothing is new."""
    people = await Person.filter(account_id=account_id, address__in=addresses)
    before = {one.address: Signs.of(one.learned) for one in people}
    signs = await _newer(account_id, list(before), before)
    changed = [one for one in people if signs[one.address] != before[one.address]]
    for one in changed:
        one.learned = signs[one.address].row
    if changed:
        await Person.bulk_update(changed, ["learned"])
