"""Hits with everything that is needed to judge them, in one reading of the database.

One SELECT joins a hit with its mail, account, token, recipient and person: what it reads is one moment's
state, so that the mail's `revision` in it guards all the rest. Called by the judge and by rescore; nothing is
written here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from tracker.hits.agents import Agent, agent_of
from tracker.hits.cases import Case, Docket, Mail, Person, Stored, Token, among, listed
from tracker.hits.classify import classify
from tracker.hits.counting import COLUMNS, Tally
from tracker.hits.evidence import HitFacts, MailFacts
from tracker.hits.history import Entry
from tracker.hits.own_proxy import NO_OWN
from tracker.hits.senders import Senders, known_of
from tracker.hits.taught import is_shared
from tracker.services import Services

Row = tuple[Any, ...]

BREATH = 100  # hits that are worked out at one go
PAGE = 5000  # hits that are read at one go
NO_AGENT = Agent.none()

# The columns of a row, in groups: each is read by one function below.
_HIT = (
    "h.id", "h.uid", "h.at", "h.kind", "h.link_id", "h.message_id", "h.recipient_id", "h.method", "h.purpose",
    "h.agent_id", "h.network", "h.network_label", "h.device", "h.headers",
)  # fmt: skip
_STORED = (
    "h.verdict", "h.reason", "h.details", "h.rules", "h.client", "h.ordinal", "h.confirmed_by",
    "h.folded_into", "h.judged_at",
)  # fmt: skip
_TOKEN = ("l.label", "l.hits", "l.counted")
_MAIL = (
    "m.revision", "m.account_id", "m.origin", "m.subject", "m.mode", "m.created_at", "m.arms_at",
    "m.armed_at", "m.handed_over_at", "m.ring_opens", "m.ring_clicks", "a.ring_opens", "a.ring_clicks",
    "m.replied_at", "m.from_address", "m.details",
    *(f"m.{name}" for name in COLUMNS),
)  # fmt: skip
# A person is found by address: rows made before the person was known have no person_id.
_PERSON = (
    "r.address", "r.loaded_at", "r.handed_over_at", "r.replied_at", "p.ring_opens", "p.ring_clicks",
    *(f"r.{name}" for name in COLUMNS),
)  # fmt: skip
_KNOWN_PERSON = "LEFT JOIN person p ON p.account_id = m.account_id AND p.address = r.address"
_SELECT = f"""
SELECT {", ".join(_HIT + _TOKEN + _MAIL + _PERSON)}
FROM {{hits}} h
JOIN link l ON l.id = h.link_id
JOIN message m ON m.id = h.message_id
JOIN account a ON a.id = m.account_id
LEFT JOIN recipient r ON r.id = h.recipient_id
{_KNOWN_PERSON}
"""  # noqa: S608, names of ours
_TO_TOKEN = len(_HIT)
_TO_MAIL = _TO_TOKEN + len(_TOKEN)
_TO_PERSON = _TO_MAIL + len(_MAIL)
_ACCOUNT = _TO_MAIL + 1
_REPLIED = _MAIL.index("m.replied_at")
_TO_ORDINAL = _TO_TOKEN + _STORED.index("h.ordinal")
_AT, _LINK, _MESSAGE, _RECIPIENT, _AGENT = 2, 4, 5, 6, 9

# The same in parts, for all hits of some mails.
_HITS = f"SELECT {', '.join(_HIT + _STORED)} FROM hit h"  # noqa: S608
_TOKENS = f"SELECT l.id, l.message_id, {', '.join(_TOKEN)} FROM link l"  # noqa: S608
_MAILS = f"SELECT m.id, {', '.join(_MAIL)} FROM message m JOIN account a ON a.id = m.account_id"  # noqa: S608
_PERSONS = (
    f"SELECT r.id, r.message_id, {', '.join(_PERSON)} FROM recipient r "  # noqa: S608
    f"JOIN message m ON m.id = r.message_id {_KNOWN_PERSON}"
)

_UNJUDGED = "(SELECT * FROM hit WHERE judged_at IS NULL {mine} ORDER BY id LIMIT ?)"


class Reader:
    """Reads cases; remembers what user agents are, by their id."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._agents: dict[int, Agent] = {}

    async def unjudged(self, limit: int, mine: str = "", arguments: Sequence[Any] = ()) -> Docket:
        """The next hits to judge, in the order of their rows. `mine` narrows them to some mails."""
        sql = _SELECT.format(hits=_UNJUDGED.format(mine=mine)) + " ORDER BY h.id"
        return await self._docket(await self._services.writer.fetch(sql, (*arguments, limit)))

    async def of_mail(self, message_id: int) -> Docket:
        """All judged hits of a mail, in the order in which they were judged."""
        found = await self.of_mails([message_id])
        return found[0] if found else Docket()

    async def of_mails(self, message_ids: Sequence[int]) -> list[Docket]:
        """For each of these mails that has judged hits all of them, as `of_mail`, with everybody it went to.

        Mails come first, and nothing that they share is read again with each hit: whoever writes to one of
        them while the rest is read raises its revision.
        """
        parts: dict[int, Docket] = {}

        async def fetch(sql: str, mail: str) -> Sequence[Row]:
            return await self._services.writer.fetch(f"{sql} WHERE {among(mail)}", (listed(message_ids),))

        mails = [(number, tuple(facts)) for number, *facts in await fetch(_MAILS, "m.id")]
        answered = {facts[1] for _, facts in mails if facts[_REPLIED] is not None}
        senders = await known_of(self._services, {facts[1] for _, facts in mails}, answered)
        for number, mail_facts in mails:
            parts[number] = Docket(mails={number: _mail(number, mail_facts, senders)})
        for number, message_id, *facts in await fetch(_PERSONS, "r.message_id"):
            part = parts[message_id]
            part.persons[number] = _person(number, part.mails[message_id], tuple(facts))
        for number, message_id, *facts in await fetch(_TOKENS, "l.message_id"):
            parts[message_id].tokens[number] = Token(number, *facts)
        async for page in self._pages(message_ids):
            await self._learn_agents({row[_AGENT] for row in page} - {None})
            self._add_cases(parts, page, senders)
        found = [part for part in parts.values() if part.cases]
        for part in found:
            part.cases.sort(key=_judged)
        return found

    async def _pages(self, message_ids: Sequence[int]) -> AsyncIterator[Sequence[Row]]:
        """The judged hits of these mails, in the order of their index: all of them would be too much."""
        after = (0, 0, 0)
        while True:
            rows = await self._services.writer.fetch(
                f"{_HITS} WHERE {among('h.message_id')} AND (h.message_id, h.at, h.id) > (?, ?, ?) "
                "AND h.judged_at IS NOT NULL ORDER BY h.message_id, h.at, h.id LIMIT ?",
                (listed(message_ids), *after, PAGE),
            )
            yield rows
            if len(rows) < PAGE:
                return
            after = rows[-1][_MESSAGE], rows[-1][_AT], rows[-1][0]

    def _add_cases(self, parts: Mapping[int, Docket], rows: Sequence[Row], senders: Senders) -> None:
        once: dict[Any, Any] = {}  # what many hits have in common is held once
        for row in rows:
            part = parts[row[_MESSAGE]]
            if token := part.tokens.get(row[_LINK]):
                mail, person = part.mails[row[_MESSAGE]], part.persons.get(row[_RECIPIENT])
                facts: list[Any] = [once.setdefault(one, one) for one in row[:_TO_ORDINAL]]
                stored = Stored(*facts[_TO_TOKEN:], *row[_TO_ORDINAL:])
                part.cases.append(self._case(facts[:_TO_TOKEN], mail, person, token, senders, stored))

    async def _docket(self, rows: Sequence[tuple[Any, ...]]) -> Docket:
        docket = Docket()
        if not rows:
            return docket
        await self._learn_agents({row[_AGENT] for row in rows} - {None})
        answered = {row[_ACCOUNT] for row in rows if row[_TO_MAIL + _REPLIED] is not None}
        senders = await known_of(self._services, {row[_ACCOUNT] for row in rows}, answered)
        for number, row in enumerate(rows):
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)  # others wait for the loop
            mail, person, token = _shared(docket, row, senders)
            docket.cases.append(self._case(row[:_TO_TOKEN], mail, person, token, senders))
        return docket

    async def _learn_agents(self, ids: set[int]) -> None:
        missing = ids - self._agents.keys()
        if not missing:
            return
        if len(self._agents) > 50_000:
            self._agents.clear()
            missing = ids
        sql = f"SELECT id, text FROM agent WHERE {among('id')}"  # noqa: S608
        for number, text in await self._services.writer.fetch(sql, (listed(sorted(missing)),)):
            self._agents[number] = agent_of(text)

    def _case(
        self,
        row: Sequence[Any],
        mail: Mail,
        person: Person | None,
        token: Token,
        senders: Senders,
        stored: Stored | None = None,
    ) -> Case:
        (
            number, uid, at, kind, link_id, _, recipient_id, method, purpose, agent_id, network, label,
            device, headers,
        ) = row  # fmt: skip
        agent = self._agents.get(agent_id, NO_AGENT)
        told = None
        if mail.taught:
            told = senders.lessons[mail.account_id].told(
                uid, at, device, network, agent_id, shared=is_shared(agent, label)
            )
        facts = HitFacts(uid, at, kind, method, purpose, agent, network, label, device, headers, told)
        own = senders.devices[mail.account_id]
        judgement = classify(facts, mail.facts if person is None else person.facts, own)
        entry = Entry(
            uid, at, kind, link_id, recipient_id, agent_id, network, label,
            judgement.verdict, judgement.reason,
        )  # fmt: skip
        return Case(number, mail, person, token, entry, judgement, stored)


def _judged(case: Case) -> tuple[int, int]:
    assert case.stored is not None
    return case.stored.judged_at, case.id


def _shared(docket: Docket, row: Row, senders: Senders) -> tuple[Mail, Person | None, Token]:
    """What the hit of this row shares with others, made at the first of them."""
    link_id, message_id, recipient_id = row[_LINK], row[_MESSAGE], row[_RECIPIENT]
    mail = docket.mails.get(message_id)
    if mail is None:
        mail = docket.mails[message_id] = _mail(message_id, row[_TO_MAIL:_TO_PERSON], senders)
    person = docket.persons.get(recipient_id)
    if person is None and recipient_id is not None:
        person = docket.persons[recipient_id] = _person(recipient_id, mail, row[_TO_PERSON:])
    token = docket.tokens.get(link_id)
    if token is None:
        token = docket.tokens[link_id] = Token(link_id, *row[_TO_TOKEN:_TO_MAIL])
    return mail, person, token


def _mail(number: int, row: Row, senders: Senders) -> Mail:
    revision, account_id, origin, subject, mode, created_at, arms_at, armed_at, handed_over_at = row[:9]
    replied_at, sender, details = row[13:16]
    own_proxy = None
    if replied_at is not None:
        own_proxy = senders.proxies.get(account_id, NO_OWN).of(sender)
    return Mail(
        id=number,
        revision=revision,
        account_id=account_id,
        origin=origin,
        subject=subject,
        facts=MailFacts(
            origin,
            mode,
            created_at,
            arms_at,
            armed_at,
            handed_over_at,
            replied_at,
            own_proxy,
            mode_since=None if mode == "full" else _mode_since(details),
        ),
        tally=Tally.of_row(row[16:]),
        rings=row[9:11],
        account_rings=row[11:13],
        sent=armed_at or handed_over_at or arms_at,
        taught=account_id in senders.lessons,
    )


def _mode_since(details: Any) -> int | None:
    """JSON columns come as text from SQLite, as text or decoded from PostgreSQL."""
    known = json.loads(details) if isinstance(details, str) else details
    since = known.get("mode_since") if isinstance(known, dict) else None
    return since if isinstance(since, int) else None


def _person(number: int, mail: Mail, row: Row) -> Person:
    address, loaded_at, handed_over_at, replied_at = row[:4]
    facts = mail.facts
    if handed_over_at is not None or facts.replied_at != replied_at:
        facts = facts._replace(handed_over_at=handed_over_at or facts.handed_over_at, replied_at=replied_at)
    return Person(number, mail, address, Tally.of_row(row[6:]), loaded_at, row[4:6], facts)
