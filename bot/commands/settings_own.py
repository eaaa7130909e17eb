"""`settings CODE …` and `settings ADDRESS …`: what rings for one mail or person, and what a mail records.

A mail's own mode can only get stricter: what its recipients were spared stays spared. Part of `settings`
(bot/commands/settings.py).
"""

from __future__ import annotations

from tortoise.expressions import F

from bot.chat import Reply
from bot.commands.arguments import MODES, POLICIES, read_choice
from bot.commands.mutes import ensure_person
from bot.commands.registry import CommandError, Request
from bot.words import one_line, quoted
from models import Card, Link, Message, Person
from models.columns import to_micros
from models.database import atomically
from models.wake import OUTBOX

_RINGS = {"opens": "ring_opens", "clicks": "ring_clicks"}
_SHOWN = frozenset({*_RINGS, "mode"})
_STRICTNESS = tuple(MODES)


def _own(name: str, of: str, row: Message | Person | None, more: str = "") -> Reply:
    """What is set for one mail or person, and how to change it."""
    opens, clicks = (row.ring_opens, row.ring_clicks) if row is not None else (None, None)
    return Reply(
        title=f"{name}: opens {opens or 'as for all'}, clicks {clicks or 'as for all'}{more}.",
        lines=(f"To change it, such as: settings {of} opens first",),
    )


async def change_mail(request: Request, message: Message, rest: str) -> Reply:
    """`settings CODE [opens|clicks|mode VALUE]`; without a value what is set."""
    name, _, value = rest.partition(" ")
    name, code = name.lower(), message.code
    if not rest or (name in _SHOWN and not value.strip()):
        mode = f"; it records {MODES[message.mode]}" if message.mode in MODES else ""
        return _own(f"{quoted(message.subject)} ({message.code})", message.code, message, mode)
    if name == "mode":
        return await _change_mail_mode(request, message, value)
    column, policy = _read_own_policy(name, value, code)
    await Message.filter(id=message.id).update(**{column: policy})
    return Reply(
        title=f"{quoted(message.subject)} ({code}): {name} {policy or 'as for all'}.", data={"message": code}
    )


def _read_own_policy(name: str, value: str, of: str) -> tuple[str, str | None]:
    """Column and policy of `opens first`; "default" gives None, so that the account's policy holds again."""
    of = one_line(of, 40)
    if name not in _RINGS:
        raise CommandError(f"say what to change for {of}, such as: settings {of} opens first")
    if value.strip().lower() in ("default", "reset"):
        return _RINGS[name], None
    choices = {**POLICIES, "default": ""}
    return _RINGS[name], read_choice(value, choices, f"settings {of} {name} first")


async def _change_mail_mode(request: Request, message: Message, value: str) -> Reply:
    mode = read_choice(value, MODES, f"settings {message.code} mode clicks")
    if message.mode == "watch" and mode != "off":
        raise CommandError(
            f"there is no pixel or link of mine in {message.code}: I watch it for a reply only. "
            "For more, make a new one with track"
        )
    if message.mode in _STRICTNESS and _STRICTNESS.index(mode) < _STRICTNESS.index(message.mode):
        raise CommandError(
            f"that mail records {MODES[message.mode]}, and a mail's mode only gets stricter; "
            "for more, make a new one with track"
        )

    now = request.services.now()

    async def work() -> None:
        # What came before stays counted, however often it is judged anew (tracker/hits/rules.py).
        locked = await Message.filter(id=message.id).select_for_update().get()
        kept = locked.details if isinstance(locked.details, dict) else {}
        await Message.filter(id=message.id).update(
            mode=mode, details={**kept, "mode_since": to_micros(now)}, revision=F("revision") + 1
        )
        links = Link.filter(message_id=message.id)
        if mode == "clicks":
            links = links.filter(kind="open")
        if mode != "full":
            await links.update(recording=False)
        await Card.filter(message_id=message.id).update(dirty_at=now)

    await atomically(work)
    request.services.wake.ring(OUTBOX)
    return Reply(
        title=f"{quoted(message.subject)} ({message.code}) records {MODES[mode]} from now on.",
        lines=("Its links go on working.",),
        data={"message": message.code},
    )


async def change_person(request: Request, address: str, rest: str) -> Reply:
    """`settings ADDRESS [opens|clicks VALUE]`; without a value what is set."""
    name, _, value = rest.partition(" ")
    if not rest or (name.lower() in _RINGS and not value.strip()):
        known = await Person.get_or_none(account_id=request.account.id, address=address)
        return _own(one_line(address, 64), one_line(address, 64), known)
    column, policy = _read_own_policy(name.lower(), value, address)
    person = await ensure_person(request, address)
    await Person.filter(id=person.id).update(**{column: policy})
    return Reply(title=f"{one_line(address, 64)}: {name.lower()} {policy or 'as for all'}.")
