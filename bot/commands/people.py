"""`people`: who is hot, who reads and never answers, who went silent; and all that is known of one person."""

from __future__ import annotations

import datetime as dt

from bot.chat import Button, Reply
from bot.commands.best import name_of, said_time
from bot.commands.registry import Command, CommandError, Request
from bot.words import ago, duration, moment, one_line, plural, quoted, zone_of
from models import Account, Message
from models.columns import from_micros, to_micros
from tracker.insights.best import NotEnough
from tracker.insights.habits import habits_of
from tracker.insights.people import Reading, Standing, lists, person, standing
from tracker.insights.reading import Copy
from tracker.insights.sides import known
from tracker.insights.trackability import tell
from tracker.mail.draft import read_address

SHOWN = 5  # of each list, and mails of one person
ALL = 20  # of one list
ENOUGH = 5  # mails; under that a percentage says more than is known
MOST_ACTION = 64  # bytes of a button's action

_LISTS: dict[str, Standing] = {"hot": "hot", "ignores": "ignores", "silent": "silent", "new": "new"}
_TITLES: dict[Standing, str] = {
    "hot": "Hot now (3 opens of one mail within a day; call them):",
    "ignores": "Read often, never answer (spend the time elsewhere):",
    "silent": "Went silent (they used to read; nothing seen for two weeks):",
    "new": "Newest readers:",
}


async def answer_people(request: Request) -> Reply:
    """`people`, `people hot|ignores|silent|new`, `people ana@acme.com`."""
    word = request.arguments.strip()
    only = _LISTS.get(word.lower())
    if not word or only:
        return await _lists(request, only)
    address = read_address(word)
    if not address:
        raise CommandError(
            f"“{one_line(word, 40)}” is no address; type people, or: people ana@acme.com. "
            "Lists are: people hot, people ignores, people silent, people new"
        )
    return await _person(request, address)


async def _lists(request: Request, only: Standing | None) -> Reply:
    now = request.services.now()
    found = await lists(request.services, request.account, ALL if only else SHOWN + 1)
    lines: list[str] = []
    shown: list[Reading] = []
    more: list[Button] = []
    for name, ones in found.people.items():
        if not ones or (only and name != only):
            continue
        part = ones if only else ones[:SHOWN]
        lines += [_TITLES[name], *(f"  {_line(one, name, now)}" for one in part)]
        shown += part
        if len(ones) > len(part):
            more.append(Button(_TITLES[name].partition(" (")[0].rstrip(":"), f"people {name}"))
    if not found.answers_seen and found.readers and only in (None, "ignores"):
        lines.append(
            "I have seen no answer yet, so I cannot say who never answers. How I see them: help capture"
        )
    if not lines:
        return Reply(title=_nothing(found.readers, only), buttons=((Button("Best time", "best"),),))
    rows = [_about(shown[start : start + 2]) for start in range(0, min(len(shown), 6), 2)]
    return Reply(
        title=f"{plural(found.readers, 'person reads', 'people read')} your mail." if not only else "",
        lines=tuple(lines),
        buttons=(*(row for row in rows if row), *((tuple(more),) if more else ())),
        data={name: [one.address for one in ones] for name, ones in found.people.items()},
    )


def _nothing(readers: int, only: Standing | None) -> str:
    if only:
        return "Nobody, just now."
    if readers:
        return f"{plural(readers, 'person reads', 'people read')} your mail; nobody stands out just now."
    return "I have seen nobody read your mail yet. Once somebody does, they stand here."


def _about(people: list[Reading]) -> tuple[Button, ...]:
    buttons = [Button(one_line(one.address, 30), f"people {one.address}") for one in people]
    return tuple(one for one in buttons if len(one.action.encode()) <= MOST_ACTION)


def _line(one: Reading, name: Standing, now: dt.datetime) -> str:
    seen = f"last seen {ago(from_micros(one.seen), now)}" if one.seen else ""
    said = {
        "hot": f"{plural(one.opens, 'open')}, {seen}",
        "ignores": f"opened {one.opened} of {plural(one.tracked, 'mail')}, no answer; {seen}",
        "silent": f"{plural(one.unseen, 'mail')} since without an open seen; {seen}",
        "new": f"first seen {ago(from_micros(one.first or 0), now)}, {plural(one.opens, 'open')}",
    }[name]
    return f"{one_line(one.address, 64)}: {said}"


async def _person(request: Request, address: str) -> Reply:
    services, account = request.services, request.account
    reading, copies = await person(services, account, address)
    if not copies:
        raise CommandError(await _unknown(account, address))
    now, zone = services.now(), zone_of(account.timezone)
    name = await name_of(request, address)
    lines = [
        *_standing(reading, now),
        _rates(reading),
        *_seen(reading, now, zone),
        *await _hours(request, address),
        *await _side(account, address),
        *await _mails(copies, now),
    ]
    title = name if name == address else f"{name} ({one_line(address, 64)})"
    return Reply(
        title=title, lines=tuple(lines), buttons=_buttons(address, await _newest(copies)), data=_data(reading)
    )


async def _unknown(account: Account, address: str) -> str:
    name = one_line(address, 64)
    mail = await Message.filter(account_id=account.id, recipients__address=address).order_by("-id").first()
    if mail is None:
        return f"I know no mail of yours to {name}. Type people to see whom I know"
    return f"your mail to {name} ({mail.code}) does not count yet. When it has left, type: sent {mail.code}"


def _standing(one: Reading, now: dt.datetime) -> list[str]:
    said: dict[Standing | None, str] = {
        "hot": "Hot: opened one mail three times within a day. A good moment to call.",
        "ignores": "Reads often, never answers: perhaps spend the time elsewhere.",
        "silent": f"Went silent: {plural(one.unseen, 'mail')} without an open seen since they last read.",
    }
    found = standing(one, to_micros(now))
    return [said[found]] if found in said else []


def _rates(one: Reading) -> str:
    parts = [plural(one.mails, "mail")]
    if one.tracked:
        share = f" ({one.open_rate:.0%})" if one.tracked >= ENOUGH else ""
        of = "" if one.tracked == one.mails else f" of {one.tracked} where opens can be seen"
        parts.append(f"opened: {one.opened}{of}{share} – {plural(one.opens, 'open')}")
    else:
        parts.append("opens cannot be seen here")
    if one.clicks:
        parts.append(plural(one.clicks, "click"))
    share = f" ({one.answer_rate:.0%})" if one.mails >= ENOUGH and one.answered else ""
    parts.append(f"answered: {one.answered}{share}" if one.answered else "no answer seen")
    return " · ".join(parts)


def _seen(one: Reading, now: dt.datetime, zone: dt.tzinfo) -> list[str]:
    if one.seen is None:
        return ["Never seen yet."]
    seen = from_micros(one.seen)
    lines = [f"Last seen {moment(seen, now, zone)} ({ago(seen, now)})."]
    if one.delay is not None:
        lines.append(f"First open usually {duration(one.delay / 1e6)} after sending (median).")
    return lines


async def _hours(request: Request, address: str) -> list[str]:
    found = (await habits_of(request.services, request.account, address)).found
    if isinstance(found, NotEnough):
        said = f"{found.opens} of {found.needed} opens" if found.opens < found.needed else "few days"
        return [f"Usual hours: not enough yet ({said})."]
    if found.hour is None:
        return ["Usual hours: none stands out."]
    return [f"Usual hours: {said_time(found)}."]


async def _side(account: Account, address: str) -> list[str]:
    return [
        f"{one_line(one.who, 64)}: {'; '.join(tell(one.side))}." for one in await known(account, [address])
    ]


async def _mails(copies: list[Copy], now: dt.datetime) -> list[str]:
    newest = copies[:SHOWN]
    mails = {one.id: one for one in await Message.filter(id__in=[one.message_id for one in newest])}
    lines = []
    for one in newest:
        mail = mails.get(one.message_id)
        if mail is not None:
            parts = (
                f"{quoted(mail.subject, 50)} ({mail.code})",
                _state(one),
                ago(from_micros(one.sent), now),
            )
            lines.append(f"  {' · '.join(parts)}")
    return ["Last mails:", *lines] if lines else []


def _state(one: Copy) -> str:
    states = [f"opened ×{one.opens}"] if one.opens else []
    if one.clicks:
        states.append(f"clicked ×{one.clicks}")
    if one.replied is not None:
        states.append("answered")
    return " · ".join(states) or ("no open seen" if one.tracked else "not tracked")


async def _newest(copies: list[Copy]) -> str:
    mail = await Message.get_or_none(id=copies[0].message_id)
    return mail.code if mail else ""


def _buttons(address: str, code: str) -> tuple[tuple[Button, ...], ...]:
    first = [Button("Best time", f"best {address}"), Button("Mute", f"mute {address}")]
    if code:
        first.insert(0, Button("Remind me", f"remind {code}"))
    second = [Button("All mails", f"list {address}"), Button("People", "people")]
    return tuple(
        tuple(one for one in row if len(one.action.encode()) <= MOST_ACTION) for row in (first, second)
    )


def _data(one: Reading) -> dict[str, object]:
    return {
        "address": one.address,
        "mails": one.mails,
        "tracked": one.tracked,
        "opened": one.opened,
        "answered": one.answered,
        "opens": one.opens,
        "clicks": one.clicks,
        "open_rate": one.open_rate,
        "answer_rate": one.answer_rate,
        "median_seconds": None if one.delay is None else round(one.delay / 1e6),
        "last_seen": None if one.seen is None else from_micros(one.seen).isoformat(),
    }


PEOPLE = Command(
    verb="people",
    summary="Who reads, who answers, who went silent; or all about one person",
    usage="[ADDRESS | hot | ignores | silent | new]",
    handler=answer_people,
    details=(
        "hot: opened one mail three times within a day. ignores: reads often, never answers.",
        "silent: used to read, and nothing was seen for two weeks. new: first seen lately.",
    ),
    examples=("people", "people ana@acme.com", "people silent"),
)
