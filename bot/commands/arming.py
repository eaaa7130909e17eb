"""`sent`: tells that a composed mail has left, so that it counts from now on."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands.arguments import own_mail
from bot.commands.registry import Command, CommandError, Request
from bot.words import quoted
from models import Card, Message
from models.wake import OUTBOX
from tracker.hits.arming import arm


async def answer_sent(request: Request) -> Reply:
    """`sent CODE`; without a code the newest mail that was not sent yet."""
    code = request.arguments.partition(" ")[0]
    message = await (own_mail(request, code) if code else _newest_waiting(request))
    now = request.services.now()
    counts = message.armed_at is not None or message.arms_at <= now
    # A mail that armed itself goes on counting from then: what rang since stays right.
    await arm(request.services, message, now, "sent")
    await Card.filter(message_id=message.id).update(dirty_at=now)  # its rows say "sent" now
    request.services.wake.ring(OUTBOX)
    name = f"{quoted(message.subject)} ({message.code})"
    if message.mode == "off":
        title = f"{name} is sent. Tracking is off for it, so nothing is recorded."
    elif message.mode == "watch":
        title = (
            f"{name} has left: I watch it for a reply only, since there is no pixel or link of mine in it."
        )
    else:
        said = "counts already" if counts else "counts from now on"
        seen = "clicked" if message.mode == "clicks" else "opened or clicked"
        title = f"{name} {said}. I ring when it is {seen}."
    return Reply(title=title, data={"message": message.code})  # its card has the buttons


async def _newest_waiting(request: Request) -> Message:
    found = (
        await Message.filter(account_id=request.account.id, armed_at__isnull=True, origin="compose")
        .order_by("-created_at", "-id")
        .first()
    )
    if found is None:
        raise CommandError(
            "no mail of yours waits to be sent. To make one, type: track ana@acme.com Q3 proposal"
        )
    return found


SENT = Command(
    verb="sent",
    summary="Say that a tracked mail has left: it counts from then on",
    usage="[CODE]",
    handler=answer_sent,
    details=("Opens before that are yours, composing. Without a code it is your newest mail that waits.",),
    examples=("sent", "sent k7m2qx"),
)
