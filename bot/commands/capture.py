"""`capture`: the addresses to put into BCC and Cc, new ones, and which addresses are one's own."""

from __future__ import annotations

from bot.chat import Reply
from bot.commands.registry import Command, CommandError, Request
from bot.words import listed, one_line, plural
from models import Captured
from tracker.mail.addresses import add_own_address, capture_addresses, own_addresses, renew_addresses
from tracker.mail.held import ignore_held, release_held

_WHAT_TO_TYPE = "type capture, capture new, or capture mine alice@acme.com"


async def answer_capture(request: Request) -> Reply:
    """`capture`, `capture new`, `capture mine ADDRESS`; `capture take` and `ignore` are buttons' words."""
    if await capture_addresses(request.services, request.account) is None:
        raise CommandError(
            "no mail comes in here: whoever runs this mailbell has CAPTURE_PORT empty. "
            "Press Sent, or type sent, when your mail has left"
        )
    word, _, rest = request.arguments.partition(" ")
    if not word:
        return await _show(
            request, "Put the secret address into BCC, and I know when your mail left, and to whom."
        )
    if word.lower() == "new" and not rest:
        await renew_addresses(request.account)
        return await _show(request, "These are new. Mail to the ones before is refused from now on.")
    if word.lower() in ("mine", "my") and rest:
        return await _take_as_own(request, rest)
    if word.lower() in ("take", "ignore") and rest.isascii() and rest.isdigit() and len(rest) < 19:
        return await _settle_held(request, int(rest), is_mine=word.lower() == "take")
    raise CommandError(f"I do not understand “{one_line(request.arguments, 30)}”: {_WHAT_TO_TYPE}")


async def _show(request: Request, title: str) -> Reply:
    both = await capture_addresses(request.services, request.account)
    assert both is not None
    secret, public = both
    known = [one_line(one, 64) for one in await own_addresses(request.account.id)]
    name, _, domain = secret.partition("@")
    lines = [
        f"A tag: {name}+off@{domain} does not track; +noopen2d.noreply5d (or +3d, +mon9am) reminds you.",
        "The other one is for Cc and forwarding rules: it takes answers to tracked mail and bounces only.",
        f"Your own addresses that I know: {listed(known, 5)}."
        if known
        else "I learn your own address from the first mail that comes in.",
        "Did the secret one get around? Type: capture new",
    ]
    return Reply(
        title=title,
        lines=tuple(lines),
        copyable=(("For BCC (secret)", secret), ("For Cc and forwarding", public)),
        data={"capture_address": secret, "public_address": public},
    )


async def _settle_held(request: Request, row_id: int, *, is_mine: bool) -> Reply:
    """What to do with a mail that is held: its sender is the account's, or the mail is nothing."""
    row = await Captured.get_or_none(id=row_id, account_id=request.account.id, state="held")
    if row is None:
        raise CommandError("that mail is not held any more. Your addresses: type capture")
    if is_mine:
        return await _take_as_own(request, row.from_address or "")
    await ignore_held(request.account, row_id)
    sender = one_line(row.from_address or "somebody", 64)
    return Reply(title=f"I let the mail from {sender} go. Another one from there I ask about again.")


async def _take_as_own(request: Request, text: str) -> Reply:
    address = await add_own_address(request.services, request.account.id, text)
    if address is None:
        raise CommandError(f"“{one_line(text, 40)}” is no mail address: {_WHAT_TO_TYPE}")
    taken = await release_held(request.services, request.account, address)
    more = (
        f" {plural(taken, 'mail')} that I held from there {'is' if taken == 1 else 'are'} taken."
        if taken
        else ""
    )
    return Reply(title=f"I take {one_line(address, 64)} as yours.{more}", data={"taken": taken})


CAPTURE = Command(
    verb="capture",
    summary="Your address for BCC: I learn from it when a mail left, and to whom",
    usage="[new | mine ADDRESS]",
    handler=answer_capture,
    details=(
        "A mail with my pixel or links in it counts from its Date on; any other is watched for a reply only.",
        "After a + in the address: +3d, +noopen2d, +noreply5d, +click1d, +mon9am, +off, with dots between.",
        "new: makes new addresses. mine: takes mail from one more address as yours.",
        "For replies: connect watch, or a rule of your mail program that redirects them to the public one.",
    ),
    examples=("capture", "capture new", "capture mine alice@acme.com"),
    personal=True,
)
