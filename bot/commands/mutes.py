"""`mute` and `unmute`: silence for a while, until morning, for one mail, or for one person.

Counting goes on whatever is muted; only the rings stop. Whether a ring is muted is decided when it is
delivered (bot/deliver), so a mute holds at once, also for what waits already.
"""

from __future__ import annotations

import datetime as dt

from bot.chat import Button, Reply
from bot.commands.arguments import next_morning, own_mail, read_length
from bot.commands.registry import Command, CommandError, Request
from bot.words import duration, moment, one_line, quoted, zone_of
from models import Account, Card, Message, Person, Recipient
from models.database import atomically
from models.wake import OUTBOX
from tracker.mail.draft import read_address

_OFF = frozenset({"off", "no", "never", "stop"})
LONGEST = dt.timedelta(days=366)
FOR_GOOD = "until you type unmute"
MOST_ACTION = 64  # bytes of a button's action


async def answer_mute(request: Request) -> Reply:
    """`mute`, `mute 1h`, `mute morning`, `mute CODE [1h]`, `mute ana@acme.com [1h]`, `mute off`."""
    word, _, rest = request.arguments.partition(" ")
    if not word:
        return await _list_mutes(request)
    if request.arguments.lower() in _OFF:
        return await _unmute_account(request)
    until = _read_until(request, request.arguments)
    if until is not None:
        return await _mute_account(request, until)
    if rest.strip() and _read_until(request, word) is not None:
        word, rest = rest.strip(), word  # "mute 1h k7m2qx"
    if rest.strip().lower() in _OFF:
        return await _unmute_target(request, word)
    until = _read_until(request, rest) if rest.strip() else None
    if rest.strip() and until is None:
        raise CommandError(
            f"“{one_line(rest, 30)}” is no length of time; type 30m, 2h, 3d or morning, "
            f"such as: mute {one_line(word, 30)} 2h"
        )
    address = read_address(word)
    return await (_mute_person(request, address, until) if address else _mute_mail(request, word, until))


def _read_until(request: Request, text: str) -> dt.datetime | None:
    now = request.services.now()
    if text.strip().lower() in ("morning", "until morning", "till morning"):
        return next_morning(now, request.account)
    length = read_length(text)
    return now + min(length, LONGEST) if length else None


def _said(request: Request, until: dt.datetime | None) -> str:
    if until is None:
        return FOR_GOOD
    now = request.services.now()
    zone = zone_of(request.account.timezone)
    longest = ", which is the longest" if until - now > LONGEST - dt.timedelta(hours=1) else ""
    said = f"for {duration(until - now)}{longest}, until {moment(until, now, zone)}"
    return said if request.account.timezone else f"{said} UTC"


async def _mute_account(request: Request, until: dt.datetime) -> Reply:
    await Account.filter(id=request.account.id).update(muted_until=until)
    return Reply(
        title=f"I stay quiet {_said(request, until)}. Counting goes on.",
        buttons=((Button("Ring again", "mute off"),),),
        private=False,
    )


async def _unmute_account(request: Request) -> Reply:
    await Account.filter(id=request.account.id).update(muted_until=None)
    request.services.wake.ring(OUTBOX)
    mails, people = await _muted(request)
    left = ("Single mails or people stay muted; type mute to see them.",) if mails or people else ()
    return Reply(title="I ring again.", lines=left, private=False)


async def _mute_mail(request: Request, code: str, until: dt.datetime | None) -> Reply:
    message = await own_mail(request, code)
    await _store_mail(request, message, muted=until is None, until=until)
    again = Button("Ring again", f"unmute {message.code}")
    shorter = (Button("Only for 1 hour", f"mute {message.code} 1h"),) if until is None else ()
    return Reply(
        title=f"I stay quiet about {quoted(message.subject)} ({message.code}) {_said(request, until)}.",
        lines=("Counting goes on, and the card stays up to date.",),
        buttons=((again, *shorter), *await _whole_person(message)),
        data={"message": message.code},
    )


async def _whole_person(message: Message) -> tuple[tuple[Button, ...], ...]:
    """A button that mutes whoever the mail is for, where that is one person."""
    addresses = [one.address for one in await Recipient.filter(message_id=message.id).limit(2)]
    action = f"mute {addresses[0]}" if len(addresses) == 1 else ""
    if not action or len(action.encode()) > MOST_ACTION:
        return ()
    return ((Button(f"Mute all of {one_line(addresses[0], 40)}", action),),)


async def _store_mail(request: Request, message: Message, *, muted: bool, until: dt.datetime | None) -> None:
    now = request.services.now()

    async def work() -> None:
        await Message.filter(id=message.id).update(muted=muted, muted_until=until)
        await Card.filter(message_id=message.id).update(dirty_at=now)

    await atomically(work)
    request.services.wake.ring(OUTBOX)


async def _mute_person(request: Request, address: str, until: dt.datetime | None) -> Reply:
    person = await ensure_person(request, address)
    await Person.filter(id=person.id).update(muted=until is None, muted_until=until)
    action = f"unmute {address}"
    button = ((Button("Ring again", action),),) if len(action.encode()) <= MOST_ACTION else ()
    return Reply(title=f"I stay quiet about {one_line(address, 64)} {_said(request, until)}.", buttons=button)


async def ensure_person(request: Request, address: str) -> Person:
    """The account's row about this address, made when missing; mails already sent to it are tied to it."""
    now = request.services.now()

    async def work() -> Person:
        person, _ = await Person.get_or_create(
            account_id=request.account.id, address=address, defaults={"created_at": now}
        )
        loose = await Recipient.filter(
            address=address, message__account_id=request.account.id, person_id__isnull=True
        ).values_list("id", flat=True)
        await Recipient.filter(id__in=list(loose)).update(person_id=person.id)
        return person

    return await atomically(work)


async def answer_unmute(request: Request) -> Reply:
    """`unmute` (the account), `unmute CODE`, `unmute ana@acme.com`."""
    word = request.arguments.partition(" ")[0]
    return await (_unmute_target(request, word) if word else _unmute_account(request))


async def _unmute_target(request: Request, word: str) -> Reply:
    address = read_address(word)
    if address:
        await Person.filter(account_id=request.account.id, address=address).update(
            muted=False, muted_until=None
        )
        request.services.wake.ring(OUTBOX)
        return Reply(title=f"I ring again for {one_line(address, 64)}.")
    message = await own_mail(request, word)
    await _store_mail(request, message, muted=False, until=None)
    return Reply(
        title=f"I ring again for {quoted(message.subject)} ({message.code}).", data={"message": message.code}
    )


async def _muted(request: Request) -> tuple[list[Message], list[Person]]:
    """What is silent now, the newest first, at most ten of each."""
    now = request.services.now()
    own = {"account_id": request.account.id}
    mails = await Message.filter(**own, muted=True).order_by("-id").limit(10)
    mails += await Message.filter(**own, muted=False, muted_until__gt=now).order_by("-id").limit(10)
    people = await Person.filter(**own, muted=True).order_by("-id").limit(10)
    people += await Person.filter(**own, muted=False, muted_until__gt=now).order_by("-id").limit(10)
    return mails[:10], people[:10]


async def _list_mutes(request: Request) -> Reply:
    mails, people = await _muted(request)
    until, now = request.account.muted_until, request.services.now()
    lines = [f"everything: {_said(request, until)}"] if until and until > now else []
    lines += [f"{quoted(one.subject, 50)} ({one.code}): {_said(request, one.muted_until)}" for one in mails]
    lines += [f"{one_line(one.address, 64)}: {_said(request, one.muted_until)}" for one in people]
    ways = "To mute: mute 1h, mute morning, mute CODE, mute ana@acme.com. To end it: mute off, unmute CODE."
    buttons = (
        Button("1 hour", "mute 1h"),
        Button("Until morning", "mute morning"),
        Button("Off", "mute off"),
    )
    title = "Muted now:" if lines else "Nothing is muted."
    return Reply(title=title, lines=(*lines, ways), buttons=(buttons,))


MUTE = Command(
    verb="mute",
    summary="Be quiet for a while, about a mail, or about a person",
    usage="[1h | morning | CODE [1h] | ADDRESS [1h] | off]",
    handler=answer_mute,
    details=(
        "Lengths: 30m, 2h, 3d, 1w, a year at the most. Without one, a mail or person stays so until unmute.",
        "morning: until your quiet hours end (settings quiet), else until 8:00.",
    ),
    examples=("mute 1h", "mute k7m2qx", "mute ana@acme.com 3d", "mute off"),
)
UNMUTE = Command(
    verb="unmute",
    summary="Ring again",
    usage="[CODE | ADDRESS]",
    handler=answer_unmute,
    examples=("unmute", "unmute k7m2qx"),
    hidden=True,
)
