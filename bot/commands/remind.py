"""`remind`: orders a reminder for a mail, or for somebody's newest mail; alone it explains and lists."""

from __future__ import annotations

from dataclasses import dataclass

from bot.chat import Button, Kind, Reply
from bot.commands.arguments import own_mail
from bot.commands.registry import Command, CommandError, Request
from bot.commands.reminders import MOST_ACTION, list_reminders
from bot.words import moment, one_line, quoted, zone_of
from models import Account, Captured, Mailbox, Message, Recipient, Reminder
from tracker.insights.lists import find_message, list_messages
from tracker.mail.draft import read_address
from tracker.reminders.ordering import order_reminder
from tracker.reminders.orders import CONDITIONS, Order, parse_order
from tracker.reminders.times import WhenError

CHOICES = (
    ("No reply in 3 working days", "noreply 3 working days"),
    ("No open in 2 days", "noopen 2 days"),
    ("Tomorrow 9:00", "tomorrow 9am"),
    ("In 3 days", "3 days"),
    ("Monday 9:00", "monday 9am"),
    ("In a week", "1 week"),
)


@dataclass(frozen=True)
class _Target:
    mail: Message
    person: Recipient | None = None  # whom of several recipients it is about


async def answer_remind(request: Request) -> Reply:
    """`remind CODE|ADDRESS [CONDITION] TIME [WORDS]`; a code alone offers choices."""
    if not request.arguments:
        return await _explain(request)
    target, rest = await _find_target(request)
    if target is None:
        return await _ask_which(request)
    if not rest:
        return _offer(target)
    try:
        order = parse_order(rest)
        row = await order_reminder(
            request.services, request.account, target.mail, order,
            recipient_id=target.person.id if target.person else None,
        )  # fmt: skip
    except WhenError as error:
        raise CommandError(str(error)) from None
    return await _ordered(request, target, order, row)


async def _find_target(request: Request) -> tuple[_Target | None, str]:
    """The mail that the first word or the last one names, and what else was typed."""
    first, _, rest = request.arguments.partition(" ")
    address = read_address(first)
    if address:
        return await _newest_to(request, address), rest.strip()
    for word, others in ((first, rest), request.arguments.rpartition(" ")[::-2]):
        mail = await find_message(request.account, word.strip("#.,:"))
        if mail is not None:
            return _Target(mail), others.strip()
    try:
        parse_order(request.arguments)
    except WhenError:
        return _Target(await own_mail(request, first)), rest  # says that there is none
    return None, request.arguments


async def _newest_to(request: Request, address: str) -> _Target:
    person = (
        await Recipient.filter(address=address, message__account_id=request.account.id)
        .order_by("-message_id")
        .select_related("message")
        .first()
    )
    if person is None:
        raise CommandError(
            f"no mail of yours went to {one_line(address, 64)}. Type list to see your mails with their codes"
        )
    alone = await Recipient.filter(message_id=person.message_id).count() == 1
    return _Target(person.message, None if alone else person)


async def _ask_which(request: Request) -> Reply:
    """A time without a mail: nothing is guessed, the newest is offered."""
    newest = next(iter(await list_messages(request.account, limit=1)), None)
    if newest is None:
        raise CommandError("you have no mail yet. To make one, type: track ana@acme.com Q3 proposal")
    action = f"remind {newest.code} {request.arguments}"
    fits = len(action.encode()) <= MOST_ACTION
    return Reply(
        title=f"Of which mail? Type: remind CODE {one_line(request.arguments, 60)}",
        lines=(f"Your newest is {quoted(newest.subject)} ({newest.code}).",),
        buttons=((Button(f"Of {quoted(newest.subject, 25)}", action),),) if fits else (),
        kind=Kind.ERROR,
    )


def _offer(target: _Target) -> Reply:
    mail = target.mail
    which = target.person.address if target.person else mail.code
    buttons = [Button(text, f"remind {which} {order}") for text, order in CHOICES]
    if any(len(one.action.encode()) > MOST_ACTION for one in buttons):
        buttons = [Button(text, f"remind {mail.code} {order}") for text, order in CHOICES]
    return Reply(
        title=f"When shall I remind you of {quoted(mail.subject)} ({mail.code})?",
        lines=(f"Or type it: remind {mail.code} friday 9am, remind {mail.code} noreply 5 working days",),
        buttons=(tuple(buttons[:2]), tuple(buttons[2:4]), tuple(buttons[4:])),
        data={"message": mail.code},
    )


async def _ordered(request: Request, target: _Target, order: Order, row: Reminder) -> Reply:
    now, zone = request.services.now(), zone_of(request.account.timezone)
    mail = target.mail
    at = moment(row.due_at, now, zone) + ("" if request.account.timezone else " UTC")
    about = f" to {one_line(target.person.address, 64)}" if target.person else ""
    title = (
        f"I remind you of {quoted(mail.subject)}{about} ({mail.code}): {CONDITIONS[row.kind]}{at} "
        f"({order.when.said})."
    )
    lines = [f"With your words: {one_line(row.text, 200)}"] if row.text else []
    if row.was_kind:
        why = one_line(str((row.details or {}).get("doubt") or ""), 200)
        lines.append(f"Not if no open is seen, as you asked: {why}. So I watch for a reply.")
    if row.kind != "always":
        lines += await told_of_replies(request.account)
    if not request.account.timezone:
        lines.append("Times are UTC until you set yours: settings timezone Europe/Madrid")
    return Reply(
        title=title,
        lines=tuple(lines),
        buttons=((Button("Never mind", f"done #{row.id}"), Button("Reminders", "reminders")),),
        data={"message": mail.code, "reminder": row.id, "due": row.due_at.isoformat()},
    )


async def told_of_replies(account: Account) -> list[str]:
    """How I learn of replies, for whoever has given me no way to see them."""
    watched = await Mailbox.filter(account_id=account.id, imap_on=True).exists()
    if watched or await Captured.filter(account_id=account.id, state="reply").exists():
        return []
    return ["I see replies that reach your second capture address (type capture); else press Replied."]


async def _explain(request: Request) -> Reply:
    found = await list_reminders(request)
    ways = (
        "To order one: remind CODE 3d · remind CODE noreply 5 working days · remind ana@acme.com friday 9am",
        "For every mail: settings remind noreply 3 working days",
    )
    return Reply(title=found.title, lines=(*found.lines, *ways), buttons=found.buttons, data=found.data)


REMIND = Command(
    verb="remind",
    summary="Come back to a mail: at a time, or if nobody opens or replies",
    usage="[CODE | ADDRESS] [noreply | noopen | opened | clicked] [TIME] [WORDS]",
    handler=answer_remind,
    details=(
        "Times: 3h, 3d, 5 working days, friday 9am, tomorrow, 24 Dec 9:00, 2026-12-24 9:00.",
        "noreply: if nobody replies by then. noopen: if no open is seen. opened, clicked: and no reply came.",
        "A reply or a bounce ends it. With an address it is about your newest mail there.",
        "Alone it lists them; a code alone offers choices.",
    ),
    examples=("remind k7m2qx 3d", "remind k7m2qx noreply 5 working days", "remind ana@acme.com friday 9am"),
)
