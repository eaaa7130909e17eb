"""The alerts of counted hits: who is told what, when, by which policy. Rows only; bot/deliver sends them.

Called by the judge for new hits and by rescore for hits that turn out to count. Clicks are held for ten
seconds: a burst of links that shows a security scan is complete by then.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tracker.destinations import wants, wants_cards
from tracker.hits import past
from tracker.hits.cases import Case
from tracker.hits.evidence import SECOND
from tracker.hits.ringing import HOT_OPENS, HOT_WITHIN, Call, Occasion, call, policy
from tracker.hits.sitting import Sitting
from tracker.hits.verdicts import Verdict
from tracker.services import Services

HOLD_CLICKS = 10 * SECOND
MOST_OPENS = 50  # of one recipient; further ones are not asked about where all of them ring anyway


@dataclass(slots=True)
class Outbox:
    alerts: list[Sequence[Any]] = field(default_factory=list)  # as writing.add_alerts takes them
    cards: set[tuple[int, int]] = field(default_factory=set)  # (mail, destination)


async def fill(services: Services, sitting: Sitting, cases: Sequence[Case], now: int) -> Outbox:
    """What these counted hits ring; and the cards that a mail with a counted hit has in each destination."""
    outbox = Outbox()
    if not cases:
        return outbox
    places = await past.destinations(services, {case.mail.account_id for case in cases})
    recent = await _recent_opens(services, cases)
    calls = [(case, made) for case in cases if (made := _call(sitting, case, recent)) is not None]
    who = await past.who_shares(services, (case.mail.id for case, _ in calls if case.person is None))
    for case in cases:
        of_account = places[case.mail.account_id]
        outbox.cards.update((case.mail.id, place) for place, purpose in of_account if wants_cards(purpose))
    for case, made in calls:
        for place, purpose in places[case.mail.account_id]:
            if wants(purpose, made.event):
                outbox.alerts.append(_alert(case, made, place, who, now))
    return outbox


def setting_of(case: Case) -> str:
    """The policy that holds for this hit: the mail's, the person's, the account's."""
    which = 0 if case.entry.kind == "open" else 1
    person = None if case.person is None else case.person.rings[which]
    return policy(case.mail.rings[which], person, case.mail.account_rings[which])


Recent = dict[tuple[int, int | None], list[int]]


async def _recent_opens(services: Services, cases: Sequence[Case]) -> Recent:
    """By mail and recipient: opens of the last days, where somebody may be getting hot."""
    wanted = [case for case in cases if _may_be_hot(case)]
    found: defaultdict[tuple[int, int | None], list[int]] = defaultdict(list)
    if wanted:
        for mail_id, opens in (await past.recent_opens(services, wanted)).items():
            for recipient_id, at in opens:
                found[mail_id, recipient_id].append(at)
        for case in cases:
            if case.entry.kind == "open":
                found[case.mail.id, case.entry.copy].append(case.entry.at)
    return found


def _may_be_hot(case: Case) -> bool:
    """Whether the opens before this one matter. Where all rings, hot is worth a word only for a while.

    They do not where all of them are of one day and enough without this one: it was hot already.
    """
    entry, ordinal = case.entry, case.ordinal or 1
    if entry.kind != "open" or ordinal < HOT_OPENS:
        return False
    first = None if case.person is None else case.person.tally.opens.first
    if ordinal > HOT_OPENS and first is not None and entry.at - first <= HOT_WITHIN:
        return False
    setting = setting_of(case)
    few = case.person is not None and ordinal <= MOST_OPENS
    return setting == "important" or (setting == "all" and few)


def _call(sitting: Sitting, case: Case, recent: Recent) -> Call | None:
    entry = case.entry
    setting = setting_of(case)
    if setting == "none":
        return None
    opens: list[int] = []
    if _may_be_hot(case):
        opens = sorted(at for at in recent[case.mail.id, entry.copy] if at <= entry.at)
        opens.remove(entry.at)
    occasion = Occasion(entry.kind, entry.at, case.ordinal or 1, sitting.before.get(entry.uid), opens)
    return call(setting, occasion)


def _alert(case: Case, made: Call, place: int, who: dict[int, str], now: int) -> tuple[Any, ...]:
    entry, mail, person = case.entry, case.mail, case.person
    is_click = entry.kind == "click"
    ordinal = made.opens or (case.nth_of_link if is_click else case.ordinal)
    client = case.judgement.client
    facts: dict[str, Any] = {
        "who": who.get(mail.id, "someone") if person is None else person.address,
        "client": client,
        "via": client if entry.verdict is Verdict.PROXIED else None,
        "after": max(0, (entry.at - mail.sent) // SECOND),
        "label": case.token.label or None,
    }
    if made.hot:
        facts["hot"] = True
    if made.silent_days is not None:
        facts["silent_days"] = made.silent_days
    return (
        mail.account_id, place, mail.id, entry.copy, entry.link_id if is_click else None, entry.uid,
        made.event, ordinal, entry.at, json.dumps(facts), now + (HOLD_CLICKS if is_click else 0),
    )  # fmt: skip
