"""What mails showed of each recipient's side: gathered from judged hits, kept with the person.

`known` is asked by `show` and `track`; `learn` is a duty that keeps what was seen in Person.learned, so that
it outlasts the hits and tells something of a whole domain. Always scoped by the account.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tortoise.functions import Count

from models import Account, Hit, InstanceState, Person, Recipient
from tracker.insights.trackability import Side, Signs, side_of, side_of_domain
from tracker.services import Services

MAILS = 30  # the newest to one person: habits change
PEOPLE = 300  # of one domain
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
    for address in addresses:
        side = side_of(await signs_of(account.id, address))
        if side != Side():
            found.append(Known(address, side))
        elif (domain := address.rpartition("@")[2]) not in domains:
            domains.append(domain)
    for domain in domains:
        people = Person.filter(account_id=account.id, address__endswith=f"@{domain}", learned__isnull=False)
        rows = await people.order_by("-id").limit(PEOPLE)
        side = side_of_domain([Signs.of(row.learned) for row in rows])
        if side != Side():
            found.append(Known(domain, side))
    return found


async def signs_of(account_id: int, address: str) -> Signs:
    """Of the newest mails to this address; what was learned before, where that is of more of them."""
    seen = await _gather(account_id, address)
    person = await Person.get_or_none(account_id=account_id, address=address)
    learned = Signs.of(person.learned) if person else Signs()
    return seen if seen.mails >= learned.mails else learned


async def _gather(account_id: int, address: str) -> Signs:
    copies = (
        await Recipient.filter(address=address, message__account_id=account_id)
        .order_by("-id")
        .limit(MAILS)
        .values("id", "message_id", "replied_at", "message__mode")
    )
    ids = [int(one["id"]) for one in copies]
    rows = await (
        Hit.filter(message_id__in=[int(one["message_id"]) for one in copies], recipient_id__in=ids)
        .annotate(count=Count("id"))
        .group_by("recipient_id", "kind", "verdict", "client")
        .values("recipient_id", "kind", "verdict", "client", "count")
    )
    hits: defaultdict[int, set[tuple[str, str]]] = defaultdict(set)
    providers: Counter[str] = Counter()
    for row in rows:
        hits[int(row["recipient_id"])].add((row["kind"], row["verdict"]))
        if row["verdict"] == "proxied" and row["client"]:
            providers[row["client"]] += 1
    made: Counter[str] = Counter()
    for copy in copies:
        made.update(_signs_of_mail(hits[copy["id"]], copy["replied_at"] is not None, copy["message__mode"]))
    return Signs(**made, via=max(providers, key=lambda name: providers[name]) if providers else None)


def _signs_of_mail(hits: set[tuple[str, str]], replied: bool, mode: str) -> list[str]:
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


async def learn(services: Services) -> int:
    """Notes what is new of everybody whose hits were judged since the last time; how many people."""
    state = await InstanceState.get_or_none(key=_KEY)
    last = int(state.value) if state else 0
    # Up to the first hit that waits to be judged: what comes after it is for the next time.
    rows = await services.writer.fetch(
        "SELECT COALESCE((SELECT MIN(id) - 1 FROM hit WHERE judged_at IS NULL), (SELECT MAX(id) FROM hit), 0)"
    )
    until = int(rows[0][0])
    if until <= last:
        return 0
    people = await services.writer.fetch(
        "SELECT DISTINCT m.account_id, r.address FROM hit h JOIN recipient r ON r.id = h.recipient_id "
        "JOIN message m ON m.id = h.message_id WHERE h.id > ? AND h.id <= ?",
        (last, until),
    )
    for account_id, address in people:
        signs = await signs_of(account_id, address)
        await Person.filter(account_id=account_id, address=address).update(learned=signs.row)
    await InstanceState.update_or_create(defaults={"value": str(until)}, key=_KEY)
    return len(people)
