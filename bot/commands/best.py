"""`best`: when to write, to one person or in general: one sentence that says what to do, and a heat map."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bot.chat import Button, Reply
from bot.commands.registry import Command, CommandError, Request
from bot.render.pictures import heat_map, heat_text
from bot.words import listed, one_line, plural
from models import Person, Recipient
from tracker.insights.best import EVERY_DAY, WEEKDAYS, WEEKEND, Best, NotEnough
from tracker.insights.habits import Habits, habits_of, habits_of_all
from tracker.insights.sides import known
from tracker.insights.trackability import tell
from tracker.mail.draft import read_address

MOST_ACTION = 64  # bytes of a button's action
_DAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


async def answer_best(request: Request) -> Reply:
    """`best`, `best ana@acme.com`."""
    word = request.arguments.strip()
    if not word:
        return await _best_of_all(request)
    address = read_address(word)
    if not address:
        raise CommandError(f"“{one_line(word, 40)}” is no address; type best, or: best ana@acme.com")
    return await _best_of(request, address)


async def name_of(request: Request, address: str) -> str:
    """What people call them: the name in the address book of their mails, else the address."""
    person = await Person.get_or_none(account_id=request.account.id, address=address)
    return one_line(person.name, 40) if person and person.name.strip() else one_line(address, 64)


async def _best_of(request: Request, address: str) -> Reply:
    if not await Recipient.exists(address=address, message__account_id=request.account.id):
        raise CommandError(
            f"I know no mail of yours to {one_line(address, 64)}. Type people to see whom I know"
        )
    name = await name_of(request, address)
    habits = await habits_of(request.services, request.account, address)
    found = habits.found
    rows = _buttons(address)
    if isinstance(found, NotEnough):
        sides = await known(request.account, [address])
        side = [f"{one_line(one.who, 64)}: {'; '.join(tell(one.side))}." for one in sides]
        lines = (not_enough(found), *side, *await _in_general(request))
        data = {"address": address, "opens": found.opens, "needed": found.needed}
        return Reply(title=f"When to write to {name}: not enough yet.", lines=lines, buttons=rows, data=data)
    title = f"Write to {name} {said_time(found)}." if found.hour is not None else f"{name}: any time is fine."
    return await _answer(request, title, found, habits, rows, {"address": address})


async def _best_of_all(request: Request) -> Reply:
    habits = await habits_of_all(request.services, request.account)
    found = habits.found
    rows = ((Button("People", "people"), Button("Stats", "stats")),)
    if isinstance(found, NotEnough):
        data = {"opens": found.opens, "needed": found.needed}
        return Reply(
            title="When to write: not enough yet.", lines=(not_enough(found),), buttons=rows, data=data
        )
    people = "most of your readers look then"
    title = (
        f"Write {said_time(found)}: {people}."
        if found.hour is not None
        else "Any time is as good as any other."
    )
    return await _answer(request, title, found, habits, rows, {})


async def _in_general(request: Request) -> list[str]:
    """What holds for everybody, where that is known: better than nothing."""
    found = (await habits_of_all(request.services, request.account)).found
    if isinstance(found, NotEnough) or found.hour is None:
        return []
    return [f"Until then: most of your readers look {said_time(found)}."]


async def _answer(
    request: Request,
    title: str,
    found: Best,
    habits: Habits,
    rows: tuple[tuple[Button, ...], ...],
    data: dict[str, object],
) -> Reply:
    lines = [_evidence(found, habits), f"Hours are in {_zone(habits)}."]
    if found.hour is not None:
        lines.insert(1, _others(found))
    if request.incoming.place.platform == "console":
        lines += heat_text(found.rates)
    picture = await asyncio.to_thread(heat_map, found.rates, marked(found))
    days = [] if found.hour is None else list(found.days)
    return Reply(
        title=title,
        lines=tuple(filter(None, lines)),
        buttons=rows,
        file=("best-time.png", picture),
        data={
            **data,
            "hour": found.hour,
            "days": days,
            "zone": habits.zone,
            "opens": found.grid.opens,
            "rate": round(found.rate, 2),
            "interval": [round(found.low, 2), round(found.high, 2)],
        },
    )


def not_enough(found: NotEnough) -> str:
    """How much is missing: "4 of 15 opens"."""
    if found.opens < found.needed:
        return (
            f"Not enough yet: {found.opens} of {found.needed} opens that count. "
            "What Apple Mail loads by itself says nothing about when somebody looks."
        )
    return f"Not enough yet: opens on {found.days} of {found.needed_days} days; one long evening is no habit."


def said_time(found: Best) -> str:
    """Such as "Tuesdays around 9:00", "on weekdays around 13:00"."""
    return f"{_said_days(found.days)} around {found.hour}:00"


def _said_days(days: Sequence[int]) -> str:
    if tuple(days) == EVERY_DAY:
        return "any day"
    if tuple(days) == WEEKDAYS:
        return "on weekdays"
    if tuple(days) == WEEKEND:
        return "on weekends"
    return listed([_DAYS[day] for day in days])


def marked(found: Best) -> list[int]:
    """The hours of the week that are best."""
    return [] if found.hour is None else [24 * day + found.hour for day in found.days]


def _evidence(found: Best, habits: Habits) -> str:
    """How sure that is."""
    of = f"{plural(found.grid.opens, 'open')} of {plural(habits.mails, 'mail')}"
    if found.hour is None:
        return f"No hour stands out in {of}, set against when mail was there to be opened."
    return (
        f"A mail that lies there is opened {found.rate:.1f} times as often then as on average "
        f"({found.low:.1f} to {found.high:.1f} with 90 % certainty; {of}). "
        "It is set against when mail was there, so your own sending hours do not show."
    )


def _others(found: Best) -> str:
    """The next best hours, for those who sleep then."""
    hourly = [sum(found.rates[hour::24]) / 7 for hour in range(24)]
    near = {(found.hour or 0) + step for step in (-1, 0, 1)}
    order = sorted((hour for hour in range(24) if hour not in near), key=lambda hour: -hourly[hour])
    good = [f"{hour}:00" for hour in order[:2] if hourly[hour] > 1]
    return f"Next best: {' and '.join(good)}." if good else ""


def _zone(habits: Habits) -> str:
    if habits.zone_known:
        return f"their time zone, {habits.zone}"
    if habits.zone == "UTC":
        return "UTC; to change that: settings timezone Europe/Berlin"
    return f"your time zone, {habits.zone}"


def _buttons(address: str) -> tuple[tuple[Button, ...], ...]:
    row = (Button("About them", f"people {address}"), Button("In general", "best"))
    return (tuple(one for one in row if len(one.action.encode()) <= MOST_ACTION),)


BEST = Command(
    verb="best",
    summary="When to write: to somebody, or in general",
    usage="[ADDRESS]",
    handler=answer_best,
    details=(
        "From opens by people, set against when mail lay there to be opened; from 15 opens on.",
        "What Apple Mail and scanners load does not count.",
    ),
    examples=("best", "best ana@acme.com"),
)
