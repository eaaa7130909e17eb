"""The morning summary and the weekly digest: what happened, who is hot, what to answer, what is due.

`tell_due` is a duty: at the account's own time each goes out once, whoever looks; a day with nothing to tell
has none. Rows of the outbox only: bot/render says it in words.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tortoise.exceptions import IntegrityError
from tortoise.functions import Count

from models import Account, Alert, Captured, Hit, InstanceState, Message, Recipient, Reminder
from models.columns import from_micros
from models.database import atomically
from models.wake import OUTBOX
from tracker.destinations import places_for
from tracker.insights.stats import Stats, stats
from tracker.mail.traces import leave_alert_traces
from tracker.preferences import read_time, stored
from tracker.quiet import Quiet
from tracker.reminders.conditions import ended_by
from tracker.reminders.states import load_state
from tracker.services import Services
from tracker.wall_clock import DAY, at, zone_of

MORNING, WEEKLY = "morning", "weekly"
LATEST = {MORNING: dt.timedelta(hours=6), WEEKLY: DAY}  # after that it comes no more
LONGEST = 7 * DAY
HOT_OPENS = 3
MOST = 5  # of each kind, by name
MOST_MAILS = 1000  # looked at


@dataclass(frozen=True)
class Plan:
    """One summary that an account wants: the day of the week is None for every day."""

    kind: str
    time: dt.time
    day: int | None
    since: dt.datetime

    def moment(self, now: dt.datetime, zone: dt.tzinfo) -> dt.datetime | None:
        """The last time it was due, where that is not too long ago and not before it was ordered."""
        today = now.astimezone(zone).date()
        for back in range(8):
            date = today - back * DAY
            if self.day is None or date.weekday() == self.day:
                found = at(date, self.time, zone)
                if found <= now:
                    return found if found >= self.since and now - found < LATEST[self.kind] else None
        return None


def plans_of(account: Account) -> list[Plan]:
    """What the account ordered by `settings morning` and `settings weekly`."""
    kept, found = stored(account), []
    for kind in (MORNING, WEEKLY):
        row = kept.get(kind)
        time = read_time(row.get("at")) if isinstance(row, dict) else None
        if isinstance(row, dict) and time is not None:
            since, day = row.get("since"), row.get("day")
            day = day if kind == WEEKLY and isinstance(day, int) and 0 <= day <= 6 else None
            if kind == WEEKLY and day is None:
                day = 0
            found.append(Plan(kind, time, day, from_micros(since if isinstance(since, int) else 0)))
    return found


async def tell_due(services: Services) -> int:
    """Sends the summaries that are due; how many."""
    now, told = services.now(), 0
    for account in await Account.filter(preferences__isnull=False):
        for plan in plans_of(account):
            zone = zone_of(account.timezone)
            moment = plan.moment(now, zone)
            if moment is None or _sleeps(account, plan, moment, zone):
                continue
            told += await _tell(services, account, plan, moment)
    if told:
        services.wake.ring(OUTBOX)
    return told


def _sleeps(account: Account, plan: Plan, moment: dt.datetime, zone: dt.tzinfo) -> bool:
    """Whether that whole day is quiet: what happened comes with the next one."""
    until = Quiet.of(account.quiet_hours).until(moment, zone)
    return plan.kind == MORNING and until is not None and until - moment > LATEST[MORNING]


async def _tell(services: Services, account: Account, plan: Plan, moment: dt.datetime) -> bool:
    """Claims the day and writes the rows in one transaction."""
    zone = zone_of(account.timezone)
    day, key = moment.astimezone(zone).date(), f"summary:{plan.kind}:{account.id}"
    if await InstanceState.filter(key=key, value__gte=day.isoformat()).exists():
        return False
    # Many hits of many mails: not while a transaction keeps others waiting.
    week = await stats(account, moment - LONGEST, services) if plan.kind == WEEKLY else None

    async def work() -> bool:
        before = await _claim(key, day)
        if before is False:
            return False
        since = moment - (DAY if plan.kind == MORNING else LONGEST)
        if plan.kind == MORNING and isinstance(before, dt.date):
            since = max(min(since, at(before, plan.time, zone)), moment - LONGEST)
        facts = await gather(account, since, services.now(), zone, week)
        if facts is None:
            return False
        places = await places_for(account.id, plan.kind)
        await Alert.bulk_create(
            (
                Alert(
                    account_id=account.id, destination_id=place.id, event=plan.kind, at=moment,
                    event_key=f"{plan.kind}:{account.id}:{day.isoformat()}", due_at=services.now(),
                    facts=facts,
                )
                for place in places
            ),
            ignore_conflicts=True,
        )  # fmt: skip
        return bool(places)

    try:
        return await atomically(work)
    except IntegrityError:  # another worker made the first claim of this account at this moment
        return False


async def _claim(key: str, day: dt.date) -> dt.date | bool:
    """The day of the one before, or True for the first; False when this day has been claimed already."""
    known = await InstanceState.get_or_none(key=key)
    if known is None:
        await InstanceState.create(key=key, value=day.isoformat())
        return True
    claimed = await InstanceState.filter(key=key, value__lt=day.isoformat()).update(value=day.isoformat())
    return dt.date.fromisoformat(known.value) if claimed else False


async def gather(
    account: Account, since: dt.datetime, now: dt.datetime, zone: dt.tzinfo, week: Stats | None
) -> dict[str, Any] | None:
    """What there is to tell, as JSON, of a `week` or of a day; None for nothing."""
    seen = await Message.filter(account_id=account.id, last_event_at__gte=since).limit(MOST_MAILS)
    mails = {one.id: one for one in seen}
    counts = await _counted(mails, since)
    answers = await _captured(account, "reply", since)
    bounces = await _captured(account, "bounce", since)
    due = await _due(account, now, zone)
    facts: dict[str, Any] = {
        "since": int((now - since).total_seconds()),
        "opens": sum(count for (_, _, what), count in counts.items() if what == "open"),
        "clicks": sum(count for (_, _, what), count in counts.items() if what == "click"),
        "mails": _busiest(mails, counts),
        "seen": len({mail for mail, _, _ in counts}),
        "hot": await _hot(mails, now),
        "replies": answers[:MOST],
        "replied": len(answers),
        "bounces": bounces[:MOST],
        "bounced": len(bounces),
        "due": due[:MOST],
        "waiting": len(due),
    }
    if week is not None:
        facts["sent"], facts["opened"], facts["answered"] = week.mails, week.opened, week.replied
    worth_it = ("opens", "clicks", "replied", "bounced", "waiting", "sent")
    return facts if any(facts.get(one) for one in worth_it) else None


_Counts = Counter[tuple[int, int | None, str]]


async def _counted(mails: dict[int, Message], since: dt.datetime) -> _Counts:
    """(mail, recipient, open or click) → how often, of what counts."""
    found: _Counts = Counter()
    if mails:
        rows = await (
            Hit.filter(message_id__in=list(mails), at__gte=since, ordinal__not_isnull=True)
            .annotate(number=Count("id"))
            .group_by("message_id", "recipient_id", "kind")
            .values("message_id", "recipient_id", "kind", "number")
        )
        for row in rows:
            found[row["message_id"], row["recipient_id"], row["kind"]] = row["number"]
    return found


def _busiest(mails: dict[int, Message], counts: _Counts) -> list[dict[str, Any]]:
    by_mail: Counter[int] = Counter()
    opens: Counter[int] = Counter()
    for (mail, _, what), count in counts.items():
        by_mail[mail] += count
        opens[mail] += count if what == "open" else 0
    return [
        {**_named(mails[mail]), "opens": opens[mail], "clicks": count - opens[mail]}
        for mail, count in by_mail.most_common(MOST)
    ]


async def _hot(mails: dict[int, Message], now: dt.datetime) -> list[dict[str, Any]]:
    """Who opened one mail three times within the last day, the most eager first."""
    counts = await _counted(mails, now - DAY)
    eager = [
        (count, mail, who)
        for (mail, who, what), count in counts.items()
        if what == "open" and count >= HOT_OPENS and mails[mail].replied_at is None
    ]
    eager = sorted(eager, key=lambda one: -one[0])[:MOST]
    wanted = [who for _, _, who in eager if who]
    people = {one.id: one.address for one in await Recipient.filter(id__in=wanted)}
    return [
        {**_named(mails[mail]), "who": people.get(who or 0), "opens": count} for count, mail, who in eager
    ]


async def _captured(account: Account, state: str, since: dt.datetime) -> list[dict[str, Any]]:
    """Replies or bounces that came, the newest first; each mail and sender once."""
    rows = Captured.filter(account_id=account.id, state=state, at__gte=since, message_id__not_isnull=True)
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for one in await rows.select_related("message", "recipient").order_by("-at").limit(200):
        mail, person = one.message, one.recipient
        who = one.from_address if state == "reply" else (person.address if person else None)
        if mail is not None:
            found.setdefault((mail.id, who), {**_named(mail), "who": who})
    return list(found.values())


async def _due(account: Account, now: dt.datetime, zone: dt.tzinfo) -> list[dict[str, Any]]:
    """Reminders of today, and those that rang and wait to be dealt with."""
    tomorrow = at(now.astimezone(zone).date() + DAY, dt.time(), zone)
    open_ones = Reminder.filter(account_id=account.id, done_at__isnull=True).select_related("message")
    rang = await open_ones.filter(fired_at__gte=now - LONGEST).order_by("-fired_at").limit(50)
    today = await open_ones.filter(fired_at__isnull=True, due_at__lt=tomorrow).order_by("due_at").limit(50)
    return [
        {
            **_named(one.message), "kind": one.kind, "own": one.text,
            "at": None if one.fired_at else f"{one.due_at.astimezone(zone):%H:%M}",
        }
        for one in (*rang, *today)
        if ended_by(one.kind, await load_state(one, one.message)) is None
    ]  # fmt: skip


def _named(mail: Message) -> dict[str, Any]:
    return {"code": mail.code, "subject": mail.subject}


async def erase_from_summaries(account_id: int, codes: Sequence[str], now: dt.datetime) -> None:
    """Takes summaries away that name these mails: what stands in chats is replaced.

    Call it in the transaction that forgets the mails.
    """
    rows = await Alert.filter(account_id=account_id, event__in=(MORNING, WEEKLY))
    ids = [one.id for one in rows if _names(one.facts, codes)]
    if ids:
        await leave_alert_traces(now, id__in=ids)
        await Alert.filter(id__in=ids, event__in=(MORNING, WEEKLY)).delete()


def _names(facts: Any, codes: Sequence[str]) -> bool:
    lists = [one for one in facts.values() if isinstance(one, list)] if isinstance(facts, dict) else []
    return any(isinstance(row, dict) and row.get("code") in codes for rows in lists for row in rows)
