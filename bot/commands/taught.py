"""`me`, `machine` and `taught`: people say what a request was, see what they said, and take it back.

What follows from it, in this mail and in all others of the account, is tracker/hits/teaching.py's.
"""

from __future__ import annotations

import datetime as dt
import re

from bot.chat import Button, Reply
from bot.commands.arguments import own_mail
from bot.commands.registry import Command, CommandError, Request
from bot.words import moment, one_line, plural, quoted, zone_of
from models import Hit, Message, OwnDevice, Recipient, Taught
from tracker.hits import teaching
from tracker.hits.reasons import sentence
from tracker.hits.taught import MACHINE, ME
from tracker.hits.teaching import Progress
from tracker.hits.verdicts import Verdict
from tracker.insights.timeline import newest_counted, numbered

SECONDS = 2.0  # of judging history anew while somebody waits; a duty does the rest
PAGE = 8
_UID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"#?(\d{1,9})")
_PAGE = re.compile(r"page:(\d{1,6})")
_LASTS = dt.timedelta(days=1)


async def answer_me(request: Request) -> Reply:
    """`me CODE [N]`: that was me."""
    return await _tell(request, ME, {Verdict.SENDER: "I took that one for yours already"})


async def answer_machine(request: Request) -> Reply:
    """`machine CODE [N]`: that was not a person."""
    machines = (Verdict.BOT, Verdict.SCANNER, Verdict.UNFURLER, Verdict.PREFETCH)
    return await _tell(request, MACHINE, dict.fromkeys(machines, "I took that one for no person already"))


async def _tell(request: Request, answer: str, known: dict[Verdict, str]) -> Reply:
    hit = await _find_hit(request, answer)
    message = await Message.get(id=hit.message_id)
    said = known.get(Verdict(hit.verdict)) if hit.verdict else None
    if said is not None:
        return Reply(title=f"{said}: {one_line(sentence(hit), 200)}", buttons=_ways(message))
    lesson = await teaching.teach(request.services, request.account, hit, answer)
    progress = await teaching.apply(request.services, lesson, SECONDS)
    return Reply(
        title=f"{await _thanks(hit, answer)} {quoted(message.subject)} ({message.code}) is put right.",
        lines=(_reach(request, lesson), *_also(progress)),
        buttons=_ways(message, lesson),
        data={"message": message.code, "taught": lesson.id, "changed": progress.hits, "done": progress.done},
    )


async def _find_hit(request: Request, verb: str) -> Hit:
    """By the id on a button, by code and number, or the newest of the mail that counts."""
    words = request.arguments.split()
    if not words:
        raise CommandError(f"which one? Type a mail's code and the number that why shows: {verb} k7m2qx 3")
    if _UID.fullmatch(words[0]):
        hit = await Hit.filter(uid=words[0], message__account_id=request.account.id).first()
        if hit is None:
            raise CommandError("that one is not kept any more, or is not yours")
    else:
        hit = await _numbered(await own_mail(request, words[0]), words[1:], verb)
    if hit.folded_into:  # what it repeats says what it is
        return await Hit.get_or_none(uid=hit.folded_into) or hit
    return hit


async def _numbered(message: Message, words: list[str], verb: str) -> Hit:
    code = message.code
    if not words:
        hit = await newest_counted(message)
        if hit is None:
            raise CommandError(f"no open or click of {code} counts. To see what came: why {code}")
        return hit
    number = _NUMBER.fullmatch(words[0])
    hit = await numbered(message, int(number[1])) if number else None
    if hit is None:
        raise CommandError(
            f"there is no request number {one_line(words[0], 12)} of {code}. Type why {code} to see all, "
            f"then such as: {verb} {code} 3"
        )
    return hit


async def _thanks(hit: Hit, answer: str) -> str:
    person = await Recipient.get_or_none(id=hit.recipient_id) if hit.recipient_id else None
    who = one_line(person.address, 64) if person else "somebody else"
    return (
        f"Thank you: that was you, not {who}."
        if answer == ME
        else f"Thank you: that was no person, not {who}."
    )


def _reach(request: Request, lesson: Taught) -> str:
    """What else is concerned."""
    if lesson.device is None and lesson.network is None:
        return "That one only: many people's requests look just the same, so nothing else is concerned."
    if lesson.answer == MACHINE:
        return "The same goes for whatever comes from that device, or from that program in the same network."
    now, zone = request.services.now(), zone_of(request.account.timezone)
    return f"I know that device and address as yours until {moment(lesson.at + _LASTS, now, zone)}."


def _also(progress: Progress) -> list[str]:
    lines = []
    if progress.mails > 1 or progress.hits > 1:
        lines.append(f"{plural(progress.hits, 'event')} in {plural(progress.mails, 'mail')} changed with it.")
    if not progress.done:
        lines.append("Your other mails are many: I go on judging them anew, and tell you when it is done.")
    return lines


def _ways(message: Message, lesson: Taught | None = None) -> tuple[tuple[Button, ...], ...]:
    undo = (Button("Undo", f"taught undo {lesson.id}"),) if lesson else ()
    return ((*undo, Button("Why?", f"why {message.code}"), Button("Details", f"show {message.code}")),)


async def answer_taught(request: Request) -> Reply:
    """`taught` lists, `taught undo N` takes one back."""
    word, _, rest = request.arguments.partition(" ")
    if word.lower() in ("undo", "remove", "forget"):
        return await _undo(request, rest)
    if word and not _PAGE.fullmatch(word):
        raise CommandError("type taught to see what you told me, or taught undo 3 to take number 3 back")
    return await _list(request, int(word.partition(":")[2] or 1))


async def _undo(request: Request, text: str) -> Reply:
    number = _NUMBER.fullmatch(text.strip())
    lesson = await teaching.undo(request.services, request.account, int(number[1])) if number else None
    if lesson is None:
        raise CommandError(f"there is no number {one_line(text, 12) or '…'} to take back; type taught")
    progress = await teaching.apply(request.services, lesson, SECONDS)
    message = await Message.get_or_none(id=lesson.message_id) if lesson.message_id else None
    changed = f"{plural(progress.hits, 'event')} in {plural(progress.mails, 'mail')}"
    are = "is" if progress.hits == 1 else "are"
    return Reply(
        title=f"Taken back: {_said(lesson)}. {changed} {are} judged anew.",
        lines=tuple(line for line in _also(progress) if "many" in line),
        buttons=_ways(message) if message else (),
        data={"taught": lesson.id, "changed": progress.hits, "done": progress.done},
    )


async def _list(request: Request, page: int) -> Reply:
    rows = Taught.filter(account_id=request.account.id, undone_at=None)
    total = await rows.count()
    pages = max(1, -(-total // PAGE))
    page = min(max(1, page), pages)
    shown = await rows.order_by("-at", "-id").offset((page - 1) * PAGE).limit(PAGE)
    codes = {one.id: one for one in await Message.filter(id__in=[row.message_id or 0 for row in shown])}
    lines = [_line(request, row, codes.get(row.message_id or 0)) for row in shown]
    devices = await OwnDevice.filter(account_id=request.account.id).count()
    if devices:
        lines.append(f"Besides, I know {plural(devices, 'device')} of yours from the copy page.")
    undo = tuple(Button(f"Undo {row.id}", f"taught undo {row.id}") for row in shown)
    steps = [Button("Newer", f"taught page:{page - 1}")] if page > 1 else []
    steps += [Button("Older", f"taught page:{page + 1}")] if page < pages else []
    title = f"You told me {plural(total, 'thing')}:" if total else "You told me nothing yet."
    rows_of_buttons = (undo[:4], undo[4:], tuple(steps))
    return Reply(
        title=title,
        lines=tuple(lines or ["Press “That was me” or “Not a person” under a ring, and I learn from it."]),
        buttons=tuple(row for row in rows_of_buttons if row),
        data={"taught": [row.id for row in shown], "pages": pages},
    )


def _line(request: Request, lesson: Taught, message: Message | None) -> str:
    now, zone = request.services.now(), zone_of(request.account.timezone)
    where = f"{quoted(message.subject, 40)} ({message.code})" if message else "a forgotten mail"
    reach = "that one only" if lesson.device is None and lesson.network is None else "and what is like it"
    waits = "" if lesson.applied_at else ", still looking through your mails"
    return f"{lesson.id}. {_said(lesson)}: {where}, told {moment(lesson.at, now, zone)} ({reach}{waits})"


def _said(lesson: Taught) -> str:
    what = one_line(lesson.client or "", 60) or "an unknown program"
    return f"{what} was you" if lesson.answer == ME else f"{what} was not a person"


ME_COMMAND = Command(
    verb="me",
    summary="That was me: it does not count, nor does what else comes from there",
    usage="CODE [NUMBER]",
    handler=answer_me,
    details=(
        "NUMBER is the one that why shows; without it, it is the newest that counts.",
        "Your device and address are known for a day, and all your mails are put right.",
        "Where a provider hides who looks (Gmail, Apple), only that one changes. To take it back: taught",
    ),
    examples=("me k7m2qx", "me k7m2qx 3"),
)
MACHINE_COMMAND = Command(
    verb="machine",
    summary="Not a person: it does not count, nor does what looks just like it",
    usage="CODE [NUMBER]",
    handler=answer_machine,
    details=(
        "NUMBER is the one that why shows; without it, it is the newest that counts.",
        "The same device, and the same program in the same network, are no person from then on.",
    ),
    examples=("machine k7m2qx", "machine k7m2qx 3"),
)
TAUGHT = Command(
    verb="taught",
    summary="What you said was you, or no person; and taking it back",
    usage="[undo NUMBER]",
    handler=answer_taught,
    examples=("taught", "taught undo 3"),
)
