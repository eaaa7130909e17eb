"""`replied`: somebody answered on a way that I cannot see; or that was not so."""

from __future__ import annotations

from bot.chat import Button, Reply
from bot.commands.arguments import own_mail
from bot.commands.registry import Command, CommandError, Request
from bot.words import plural, quoted
from models import Message
from models.wake import OUTBOX
from tracker.mail.by_hand import mark_replied, unmark_replied

_OFF = frozenset({"off", "no", "undo"})


async def answer_replied(request: Request) -> Reply:
    """`replied CODE`, `replied CODE off`."""
    code, _, rest = request.arguments.partition(" ")
    if not code:
        raise CommandError("which mail was answered? Type its code, such as: replied k7m2qx")
    mail = await own_mail(request, code)
    if rest.strip().lower() in _OFF:
        return await _undo(request, mail)
    if rest.strip():
        raise CommandError(f"type replied {mail.code}, or replied {mail.code} off to take it back")
    ended = await mark_replied(request.services, mail)
    request.services.wake.ring(OUTBOX)
    name = f"{quoted(mail.subject)} ({mail.code})"
    if ended is None:
        return Reply(title=f"{name} is answered already.", data={"message": mail.code})
    lines = (f"{plural(ended, 'reminder')} ended.",) if ended else ()
    return Reply(
        title=f"{name} is answered.",
        lines=lines,
        buttons=((Button("Undo", f"replied {mail.code} off"),),),
        data={"message": mail.code, "ended": ended},
    )


async def _undo(request: Request, mail: Message) -> Reply:
    back = await unmark_replied(request.services, mail)
    request.services.wake.ring(OUTBOX)
    name = f"{quoted(mail.subject)} ({mail.code})"
    if back is None:
        seen = "I saw the reply itself, so I cannot take it back" if mail.replied_at else "no reply is known"
        return Reply(title=f"{name}: {seen}.", data={"message": mail.code})
    lines = (f"{plural(back, 'reminder')} waits again." if back == 1 else f"{back} reminders wait again.",)
    return Reply(
        title=f"{name} waits for a reply again.", lines=lines if back else (), data={"message": mail.code}
    )


REPLIED = Command(
    verb="replied",
    summary="Somebody answered: mark the mail, and end its reminders",
    usage="CODE [off]",
    handler=answer_replied,
    details=("For answers that I cannot see, such as a call. off takes it back.",),
    examples=("replied k7m2qx", "replied k7m2qx off"),
    hidden=True,
)
