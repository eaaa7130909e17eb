"""`reminders`, `done` and `snooze`: what waits, what rang and was not dealt with, and putting it off."""

from __future__ import annotations

import datetime as dt
import re

from bot.chat import Button, Reply
from bot.commands.arguments import own_mail
from bot.commands.registry import Command, CommandError, Request
from bot.words import moment, one_line, plural, quoted, zone_of
from models import Message, Reminder
from models.wake import OUTBOX
from tracker.reminders.conditions import ended_by
from tracker.reminders.ordering import finish, snooze
from tracker.reminders.orders import CONDITIONS
from tracker.reminders.states import load_state
from tracker.reminders.times import WhenError, parse_when

MOST = 10
MOST_BUTTONS = 4  # rows
MOST_ACTION = 64  # bytes of a button's action
RANG_KEPT = dt.timedelta(days=14)  # rang and not dealt with: listed that long
_NUMBER = re.compile(r"#?(\d{1,15})")


async def answer_reminders(request: Request) -> Reply:
    """`reminders`: those that rang first, then by when they are due."""
    return await list_reminders(request)


async def list_reminders(request: Request) -> Reply:
    """The list with its buttons; also the answer to `remind` alone."""
    rang, waiting, total = await _find(request)
    rows = [*rang, *waiting][:MOST]
    now, zone = request.services.now(), zone_of(request.account.timezone)
    lines = [f"{number}. {_line(one, now, zone)}" for number, one in enumerate(rows, 1)]
    if total > len(rows):
        lines.append(f"and {total - len(rows)} more, later")
    if not rows:
        return Reply(title="No reminders wait.", data={"reminders": []})
    if not request.account.timezone:
        lines.append("Times are UTC: settings timezone Europe/Madrid sets yours.")
    buttons = tuple(
        (
            Button(f"{number} Done", f"done #{one.id}"),
            Button(f"{number} in 1d", f"snooze #{one.id} 1d"),
            Button(f"{number} Details", f"show {one.message.code}"),
        )
        for number, one in enumerate(rows[:MOST_BUTTONS], 1)
    )
    return Reply(
        title=f"{plural(total, 'reminder')}:",
        lines=tuple(lines),
        buttons=buttons,
        data={"reminders": [one.id for one in rows]},
    )


async def _find(request: Request) -> tuple[list[Reminder], list[Reminder], int]:
    """What rang and was not dealt with, what waits, and how many there are in all.

    A condition that cannot hold any more is none to list, whether or not its row was ended already.
    """
    own = Reminder.filter(account_id=request.account.id, done_at__isnull=True).select_related("message")
    since = request.services.now() - RANG_KEPT
    rang = await own.filter(fired_at__gt=since).order_by("-fired_at").limit(MOST)
    waits = own.filter(fired_at__isnull=True)
    total = await waits.count()
    waiting = await waits.order_by("due_at", "id").limit(MOST)
    live = [one for one in waiting if await _holds(one)]
    rang = [one for one in rang if await _holds(one)]
    return rang, live, len(rang) + total - (len(waiting) - len(live))


async def _holds(one: Reminder) -> bool:
    return ended_by(one.kind, await load_state(one, one.message)) is None


async def reminders_of(mail: Message, now: dt.datetime, zone: dt.tzinfo) -> list[str]:
    """What waits for one mail, in lines for `show`."""
    waiting = Reminder.filter(message_id=mail.id, done_at__isnull=True, fired_at__isnull=True)
    found = []
    for one in await waiting.order_by("due_at").limit(MOST):
        if ended_by(one.kind, await load_state(one, mail)) is None:
            words = f" – “{one_line(one.text, 60)}”" if one.text else ""
            condition = CONDITIONS.get(one.kind, "")
            found.append(f"Reminder: {condition}{moment(one.due_at, now, zone)}{words} (#{one.id})")
    return found


def _line(one: Reminder, now: dt.datetime, zone: dt.tzinfo) -> str:
    mail = one.message
    at = f"rang {moment(one.fired_at, now, zone)}" if one.fired_at else moment(one.due_at, now, zone)
    condition = CONDITIONS.get(one.kind, "").rstrip(", ")
    words = f"“{one_line(one.text, 60)}”" if one.text else ""
    parts = (f"{quoted(mail.subject, 50)} ({mail.code})", condition, at, words, f"#{one.id}")
    return " · ".join(filter(None, parts))


async def answer_done(request: Request) -> Reply:
    """`done #12`, `done CODE`; alone what rang last."""
    rows = await _named(request, request.arguments, "done")
    await finish(request.services, request.account, [one.id for one in rows])
    mail = rows[0].message
    return Reply(
        title=f"Done: {plural(len(rows), 'reminder')} of {quoted(mail.subject)} ({mail.code}).",
        buttons=((Button("Bring it back in 1d", f"snooze #{rows[0].id} 1d"),),),
        data={"message": mail.code, "reminders": [one.id for one in rows]},
    )


async def answer_snooze(request: Request) -> Reply:
    """`snooze #12 1d`, `snooze CODE monday 9am`; without a time a day."""
    which, _, rest = request.arguments.partition(" ")
    try:
        when = parse_when(rest.strip() or "1d")
        rows = await _named(request, which, "snooze")
        mail = rows[0].message
        if not [one for one in rows if await _holds(one)]:
            raise CommandError(
                f"that is settled: {mail.code} was answered, or opened. To be reminded in any case, type: "
                f"remind {mail.code} {one_line(rest, 40) or '1d'}"
            )
        rows = await snooze(request.services, request.account, [one.id for one in rows], when)
    except WhenError as error:
        raise CommandError(str(error)) from None
    request.services.wake.ring(OUTBOX)
    now, zone = request.services.now(), zone_of(request.account.timezone)
    at = moment(rows[0].due_at, now, zone) + ("" if request.account.timezone else " UTC")
    return Reply(
        title=f"I come back to {quoted(mail.subject)} ({mail.code}) {at}.",
        buttons=((Button("Done", f"done #{rows[0].id}"), Button("Reminders", "reminders")),),
        data={"message": mail.code, "reminders": [one.id for one in rows]},
    )


async def _named(request: Request, word: str, verb: str) -> list[Reminder]:
    """By number; by a mail's code those that rang, else those that wait; alone the one that rang last."""
    own = Reminder.filter(account_id=request.account.id).select_related("message")
    undone = own.filter(done_at__isnull=True)
    word = word.strip()
    number = _NUMBER.fullmatch(word)
    if not word:
        last = await undone.filter(fired_at__not_isnull=True).order_by("-fired_at", "-id").first()
        if last is None:
            raise CommandError(f"nothing rang that is not done. Type reminders, then such as: {verb} #12")
        return [last]
    if number is not None:
        one = await own.filter(id=int(number[1])).first()
        if one is None:
            raise CommandError(f"I find no reminder #{number[1]} of yours. Type reminders to see yours.")
        return [one]
    mail = await own_mail(request, word.partition(" ")[0])
    of_mail = undone.filter(message_id=mail.id).order_by("id")
    rows = await of_mail.filter(fired_at__not_isnull=True) or await of_mail
    if not rows:
        raise CommandError(f"no reminder of {mail.code} waits. To order one: remind {mail.code} 3d")
    return rows


REMINDERS = Command(
    verb="reminders",
    summary="What I come back to, and when",
    usage="",
    handler=answer_reminders,
    details=(
        "To put one off: snooze #12 1d, snooze k7m2qx monday 9am. To end it: done #12.",
        "replied k7m2qx: it was answered, nothing waits for a reply any more; replied k7m2qx off undoes it.",
    ),
    examples=("reminders",),
)
DONE = Command(
    verb="done",
    summary="A reminder is dealt with",
    usage="[#NUMBER | CODE]",
    handler=answer_done,
    details=("Alone it is the one that rang last.",),
    examples=("done", "done #12", "done k7m2qx"),
)
SNOOZE = Command(
    verb="snooze",
    summary="Put a reminder off",
    usage="[#NUMBER | CODE] [TIME]",
    handler=answer_snooze,
    details=("Without a time it is a day. Times: 2h, 1d, monday 9am, 24 Dec.",),
    examples=("snooze #12 1d", "snooze k7m2qx monday 9am"),
    hidden=True,
)
