"""`settings here`: whether it rings in the chat where that is typed, and what for."""

from __future__ import annotations

import re
from dataclasses import replace

from bot.access import find_destination, private_place, ring_at
from bot.chat import Place, Reply
from bot.commands.registry import CommandError, Request
from bot.words import listed, one_line
from models import Destination
from models.wake import OUTBOX
from tracker.destinations import PURPOSES


async def change_here(request: Request, value: str) -> Reply:
    """`settings here on|off|opens|replies…`: whether this chat is one of the account's, and what for."""
    word = value.strip().lower()
    purpose = None if word in ("on", "off") else read_purpose(word)
    incoming, now = request.incoming, request.services.now()
    place: Place = private_place(incoming) if incoming.place.private else incoming.place
    if not place.private and not place.title:
        place = replace(place, title="a group")
    if word != "off":
        await ring_at(request.account, place, now)
        home = await find_destination(request.account, place)
        if home is not None and word != "on":
            await Destination.filter(id=home.id).update(purpose=purpose)
        request.services.wake.ring(OUTBOX)
        return Reply(title=_on_text(place, home.purpose if word == "on" and home else purpose), private=False)
    here = await find_destination(request.account, place)
    if here is None or here.off_at is not None:
        return Reply(title="It does not ring here anyway.", private=False)
    await Destination.filter(id=here.id).update(off_at=now, off_reason="switched off by you")
    others = await Destination.filter(account_id=request.account.id, off_at__isnull=True).count()
    warning = () if others else ("Now nothing rings anywhere. To change that: settings here on",)
    return Reply(title="I ring here no longer.", lines=warning, private=False)


async def tell_here(request: Request) -> str:
    """Whether it rings in this chat, and what for."""
    incoming = request.incoming
    here = await find_destination(
        request.account, private_place(incoming) if incoming.place.private else incoming.place
    )
    if here is None or here.off_at is not None:
        return "off – it does not ring in this chat"
    return f"on – it rings in this chat for {tell_purpose(here.purpose)}"


def _on_text(place: Place, purpose: str | None) -> str:
    what = f" for {tell_purpose(purpose)}" if purpose else ""
    if place.private:
        return f"I ring here{what}."
    sees = "everybody here sees it" if purpose else "everybody here sees who opens your mails"
    return f"I ring here{what} from now on, and {sees}. To stop: settings here off"


def read_purpose(text: str) -> str | None:
    """What a chat is for, from "opens", "replies and reminders", "all"; None for everything."""
    words = [one for one in re.split(r"[\s,]+", text.lower()) if one and one != "and"]
    if words in (["all"], ["everything"], ["on"]):
        return None
    unknown = [one for one in words if one not in PURPOSES]
    if unknown or not words:
        said = f"“{one_line(unknown[0], 20)}” is none of them" if unknown else "one word is missing"
        raise CommandError(
            f"{said}. Choose of {', '.join(PURPOSES)}, all, on and off, such as: settings here on"
        )
    chosen = [one for one in PURPOSES if one in words]
    return None if len(chosen) == len(PURPOSES) else ",".join(chosen)


def tell_purpose(purpose: str | None) -> str:
    """What a chat is for, in words."""
    return listed(purpose.split(","), 4) if purpose else "everything"
