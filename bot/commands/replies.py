"""`notreply`: a mail that was taken for a reply by its subject is none. A button under such a ring."""

from __future__ import annotations

from bot.chat import Button, Reply
from bot.commands.registry import Command, CommandError, Request
from bot.words import quoted
from tracker.replies.undoing import undo_reply


async def answer_notreply(request: Request) -> Reply:
    """`notreply NUMBER`, the number of the mail that came in."""
    number = request.arguments.strip()
    message = None
    if number.isascii() and number.isdigit() and len(number) < 19:
        message = await undo_reply(request.services, request.account, int(number))
    if message is None:
        raise CommandError(
            "there is no such reply any more; press Not a reply under the message that told of it"
        )
    said = "It is answered by another mail." if message.replied_at else "I go on watching for a reply."
    return Reply(
        title=f"All right, that was no reply to {quoted(message.subject)}. {said}",
        buttons=((Button("Details", f"show {message.code}"),),),
        data={"message": message.code},
    )


NOTREPLY = Command(
    verb="notreply",
    summary="Say that a mail which I took for a reply is none",
    usage="NUMBER",
    handler=answer_notreply,
    hidden=True,
)
