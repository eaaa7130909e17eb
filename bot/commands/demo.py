"""`demo`: a sample mail is opened, clicked and answered at once, so that a newcomer sees it ring."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands.registry import Command, Request


async def answer_demo(request: Request) -> Reply:
    """Hands over to the player."""
    from bot.demo import play  # needs an HTTP client: loaded when somebody wants to see it

    return await play(request.services, request.account)


DEMO = Command(
    verb="demo",
    summary="Watch a sample mail being opened, clicked and answered",
    usage="",
    handler=answer_demo,
    details=(
        "A made-up recipient opens it from three networks, clicks its link and answers, on this very "
        "instance; a reminder rings in between.",
    ),
    examples=("demo",),
)
