"""The settings of when it rings: quiet hours, working days, reminders for every mail, summaries.

Parts of `settings` (bot/commands/settings.py).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Awaitable, Callable

from bot.chat import Reply
from bot.commands.days import read_clock, read_weekdays, tell_days
from bot.commands.registry import CommandError, Request
from bot.commands.remind import told_of_replies
from bot.words import one_line
from models import Account, Alert
from models.columns import to_micros
from models.database import atomically
from models.wake import OUTBOX
from tracker.preferences import Stored, change, read_time, stored, workdays
from tracker.quiet import ALL_DAYS, Quiet, Span, is_always
from tracker.reminders.defaults import defaults_of, drop_defaults, set_default
from tracker.reminders.ordering import move_zone
from tracker.reminders.orders import parse_order
from tracker.reminders.times import MORNING, WhenError, parse_when
from tracker.wall_clock import DAYS

_OFF = frozenset({"off", "no", "none", "never"})
_TIMES = re.compile(r"(?:from )?([\d:]+ ?(?:am|pm)?) ?(?:-|–|to|until) ?([\d:]+ ?(?:am|pm)?)(?: (.+))?")


async def change_quiet(request: Request, value: str) -> Reply:
    """`settings quiet 20:00-8:00 [mon-fri]`, `settings quiet weekends [off]`, `settings quiet off`."""
    text = " ".join(value.lower().split())
    account = await Account.get(id=request.account.id)
    quiet = _read_quiet(text, Quiet.of(account.quiet_hours), workdays(account))
    if is_always(quiet.span, quiet.days):
        raise CommandError("then I would never ring. Leave some hours, or type settings opens none")

    async def work() -> None:
        await Account.filter(id=account.id).update(quiet_hours=quiet.stored)
        await release_held(account.id, request)

    await atomically(work)
    request.services.wake.ring(OUTBOX)
    if quiet == Quiet():
        return Reply(title="No quiet hours: I ring at any time.", private=False)
    ask = () if account.timezone else ("That is UTC until you set yours: settings timezone Europe/Madrid",)
    return Reply(
        title=f"Quiet: {tell_quiet(quiet)}, {account.timezone or 'UTC'}.",
        lines=(
            *ask,
            "Counting and cards go on; at the end I tell in one message what happened.",
            "Only what cannot wait rings, such as mail that does not go out.",
        ),
        private=False,
    )


def _read_quiet(text: str, before: Quiet, working: frozenset[int]) -> Quiet:
    if text in _OFF:
        return Quiet()
    if text in ("weekends", "weekend", "weekends on"):
        return Quiet(before.span, before.days | (ALL_DAYS - working))
    if text in ("weekends off", "weekend off"):
        return Quiet(before.span, frozenset())
    found = _TIMES.fullmatch(text)
    if found is None:
        said = f"I do not understand “{one_line(text, 30)}”"
        raise CommandError(f"{said}. Type such as: settings quiet 20:00-8:00")
    begin, end = read_clock(found[1]), read_clock(found[2])
    if begin == end:
        raise CommandError("begin and end are the same. Type such as: settings quiet 20:00-8:00")
    days = ALL_DAYS
    if found[3] and found[3].strip() not in ("daily", "every day"):
        days = read_weekdays(found[3])
    return Quiet(Span(begin, end, days), before.days)


def tell_quiet(quiet: Quiet) -> str:
    """Quiet hours in words, for `settings`."""
    parts = []
    if quiet.span is not None:
        when = "" if quiet.span.days == ALL_DAYS else f" ({tell_days(quiet.span.days)})"
        parts.append(f"{quiet.span.begin:%H:%M} to {quiet.span.end:%H:%M}{when}")
    if quiet.days:
        parts.append(f"all of {tell_days(quiet.days)}")
    return " and ".join(parts) or "off"


async def release_held(account_id: int, request: Request) -> None:
    """What waits for the end of quiet hours is due now: where it is still quiet, it is held again."""
    now = request.services.now()
    waiting = Alert.filter(account_id=account_id, state="waiting", due_at__gt=now)
    held = [one.id for one in await waiting if isinstance(one.facts, dict) and one.facts.get("held")]
    for begin in range(0, len(held), 500):
        await Alert.filter(id__in=held[begin : begin + 500], state="waiting").update(due_at=now)


async def change_workdays(request: Request, value: str) -> Reply:
    """`settings workdays sun-thu`."""
    days = read_weekdays(value)

    async def work() -> None:
        account = await Account.filter(id=request.account.id).select_for_update().get()
        account.preferences = {**stored(account), "workdays": sorted(days)}
        await account.save(update_fields=["preferences"])
        await move_zone(account)

    await atomically(work)
    return Reply(title=f"You work {tell_days(days)}: I count working days by that.", private=False)


async def change_timezone(request: Request, name: str) -> int:
    """Stores the zone, and moves what goes by the wall clock along; how many reminders moved."""

    async def work() -> int:
        account = await Account.filter(id=request.account.id).select_for_update().get()
        account.timezone = name
        await account.save(update_fields=["timezone"])
        await release_held(account.id, request)
        return await move_zone(account)

    moved = await atomically(work)
    request.services.wake.ring(OUTBOX)
    return moved


async def change_defaults(request: Request, value: str) -> Reply:
    """`settings remind noreply 3 working days` for every mail; `settings remind off`."""
    text = value.strip().lower()
    if text in _OFF:
        await drop_defaults(request.account.id)
        return Reply(
            title="New mails get no reminder by themselves.",
            lines=("Those that wait stay: type reminders.",),
            private=False,
        )
    kind, _, rest = text.partition(" ")
    if rest.strip() in _OFF:
        await drop_defaults(request.account.id, kind)
        return Reply(title=f"New mails get no {one_line(kind, 20)} reminder any more.", private=False)
    try:
        order = parse_order(value)
    except WhenError as error:
        raise CommandError(f"{error}. Such as: settings remind noreply 3 working days") from None
    if order.text or order.when.year is not None or order.when.month is not None:
        raise CommandError(
            "for every mail I need a length or a day, such as: settings remind noreply 3 working days"
        )
    await set_default(request.account.id, order, request.services.now())
    return Reply(
        title=f"Every new mail: {order.said}, I remind you.",
        lines=(
            "A mail that has one of that kind, by a tag or by hand, gets no second.",
            "To end it: settings remind off",
            *(await told_of_replies(request.account) if order.kind != "always" else ()),
        ),
        private=False,
    )


async def change_morning(request: Request, value: str) -> Reply:
    """`settings morning 8:30`, `settings morning off`."""
    text = value.strip().lower()
    if text in _OFF:
        await _store(request, "morning", None)
        return Reply(title="No morning summary.", private=False)
    time = dt.time(8, 30) if text == "on" else read_clock(text)
    await _store(request, "morning", {"at": f"{time:%H:%M}"})
    return Reply(
        title=f"Every morning at {time:%H:%M} I tell what happened and what waits for you.",
        lines=("A day on which there is nothing to tell has no message. To end it: settings morning off",),
        private=False,
    )


async def change_weekly(request: Request, value: str) -> Reply:
    """`settings weekly monday 9am`, `settings weekly off`."""
    text = value.strip()
    if text.lower() in _OFF:
        await _store(request, "weekly", None)
        return Reply(title="No weekly digest.", private=False)
    try:
        when = parse_when(text if text.lower() != "on" else "monday 9am")
    except WhenError as error:
        raise CommandError(f"{error}. Such as: settings weekly monday 9am") from None
    if when.weekday is None:
        raise CommandError("I need a day of the week and a time, such as: settings weekly monday 9am")
    time = when.time or MORNING
    await _store(request, "weekly", {"at": f"{time:%H:%M}", "day": when.weekday})
    day = DAYS[when.weekday].capitalize()
    return Reply(
        title=f"Every {day} at {time:%H:%M} I tell how the week was.",
        lines=("To end it: settings weekly off",),
        private=False,
    )


async def _store(request: Request, name: str, value: Stored | None) -> None:
    """What is ordered now begins with the next time that comes."""
    since = to_micros(request.services.now())

    def work(kept: Stored) -> Stored:
        rest = {key: one for key, one in kept.items() if key != name}
        return rest if value is None else {**rest, name: {**value, "since": since}}

    await change(request.account.id, work)


def tell_peace(account: Account) -> dict[str, str]:
    """What is set of what stands here, by the setting's name."""
    kept = stored(account)
    morning, weekly = kept.get("morning"), kept.get("weekly")
    found = {
        "quiet": tell_quiet(Quiet.of(account.quiet_hours)),
        "workdays": tell_days(workdays(account)),
        "remind": "; ".join(f"every mail, {one.order.said}" for one in defaults_of(account)) or "off",
        "morning": "off",
        "weekly": "off",
    }
    if isinstance(morning, dict) and (time := read_time(morning.get("at"))):
        found["morning"] = f"a summary at {time:%H:%M}"
    if isinstance(weekly, dict) and (time := read_time(weekly.get("at"))):
        day = DAYS[int(weekly.get("day", 0)) % 7].capitalize()
        found["weekly"] = f"a digest on {day} at {time:%H:%M}"
    return found


CHANGES: dict[str, Callable[[Request, str], Awaitable[Reply]]] = {
    "quiet": change_quiet,
    "workdays": change_workdays,
    "remind": change_defaults,
    "morning": change_morning,
    "weekly": change_weekly,
}
