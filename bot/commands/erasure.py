"""`forget`: erases a mail with all that was recorded of it, a person, or what was recorded of one link.

Asks first.
"""

from __future__ import annotations

import re

from bot.chat import Button, Reply
from bot.commands.arguments import own_mail
from bot.commands.registry import Command, CommandError, Request
from bot.words import one_line, plural, quoted
from models import Hit, Link, Message, Recipient
from tracker.insights.lists import FORGOTTEN
from tracker.mail.draft import read_address
from tracker.mail.forget import forget_link, forget_message
from tracker.mail.forget_person import StillSendingError, forget_person

_SURE = "yes"
MOST_ACTION = 64  # bytes of a button's action
_REPLACED = (
    "My cards, rings and answers about it are being replaced in the chats. Lists, exports and what you "
    "typed yourself stay until you delete them."
)
_TAKEN_BACK = "My rings about it are being replaced in the chats."
_BY_ID = re.compile(r"link:(\d{1,18})")
_TRACKED = re.compile(r"/(?:c/|o/)([\w-]{22})(?:\.gif)?$")


async def answer_forget(request: Request) -> Reply:
    """`forget CODE`, `forget ADDRESS`, `forget URL [CODE]`; with `yes` behind it, it is done."""
    words = request.arguments.split()
    sure = len(words) > 1 and words[-1].lower() == _SURE
    if sure:
        words.pop()
    if not words:
        raise CommandError(
            "what shall I forget? Type a mail's code, an address or a link: "
            "forget k7m2qx, forget ana@acme.com"
        )
    address = read_address(words[0])
    if address:
        return await (_forget_person(request, address) if sure else _ask_person(request, address))
    link = await _find_link(request, words)
    if link is not None:
        return await (_forget_link(request, link) if sure else _ask_link(link))
    message = await own_mail(request, words[0])
    return await (_forget_mail(request, message) if sure else _ask_mail(message))


async def _find_link(request: Request, words: list[str]) -> Link | None:
    """The account's link that is meant by its own address, its target, or a button's `link:ID`."""
    # What is kept so that the links of somebody forgotten go on leading is nobody's to name.
    own = Link.filter(message__account_id=request.account.id).exclude(message__origin=FORGOTTEN)
    by_id = _BY_ID.fullmatch(words[0])
    if by_id:
        found = await own.filter(id=int(by_id[1])).first()
    elif "://" not in words[0]:
        return None
    elif tracked := _TRACKED.search(words[0]):
        found = await own.filter(token=tracked[1]).first()
    else:
        if len(words) > 1:
            own = own.filter(message_id=(await own_mail(request, words[1])).id)
        links = await own.filter(target=words[0]).limit(5).prefetch_related("message")
        if len(links) > 1:
            codes = ", ".join(sorted({link.message.code for link in links}))
            raise CommandError(f"that link stands in several mails ({codes}); say which: forget URL CODE")
        found = links[0] if links else None
    if found is None:
        raise CommandError("I find no such link in your mails. Type show CODE to see what a mail holds")
    return found


async def _ask_mail(message: Message) -> Reply:
    hits = await Hit.filter(message_id=message.id).count()
    return Reply(
        title=f"Forget {quoted(message.subject)} ({message.code}) for good?",
        lines=(
            f"It goes with its recipients, its links and {plural(hits, 'event')}; the links in the "
            "mail itself lead nowhere from then on. This cannot be undone.",
        ),
        buttons=(
            (
                Button("Forget it", f"forget {message.code} {_SURE}"),
                Button("Keep it", f"show {message.code}"),
            ),
        ),
        data={"message": message.code},
    )


async def _forget_mail(request: Request, message: Message) -> Reply:
    gone = await forget_message(request.services, request.account, message.code)
    if gone is None:
        raise CommandError(f"that mail ({message.code}) is gone already")
    return Reply(
        title=f"{gone.code} is forgotten, with {plural(gone.hits, 'event')}.",
        lines=(_REPLACED,),
        data={"message": gone.code},
    )


async def _ask_person(request: Request, address: str) -> Reply:
    mails = await Recipient.filter(address=address, message__account_id=request.account.id).count()
    name = one_line(address, 64)
    action = f"forget {address} {_SURE}"
    return Reply(
        title=f"Forget {name} for good?",
        lines=(
            f"{plural(mails, 'mail')} went there: those to nobody else go wholly, of the others that part. "
            "With them go opens, clicks, replies and settings. Links in them go on working. "
            "This cannot be undone."
            if mails
            else "No mail of yours went there; what else I have of that address goes. This cannot be undone.",
            "To hand over first what I know: export " + name,
            f"To do it, type: forget {name} {_SURE}",
        ),
        buttons=((Button("Forget", action),),) if len(action.encode()) <= MOST_ACTION else (),
    )


async def _forget_person(request: Request, address: str) -> Reply:
    name = one_line(address, 64)
    try:
        gone = await forget_person(request.services, request.account, address)
    except StillSendingError:
        raise CommandError(
            f"a mail to {name} still waits to be sent; when it has left, or was given up, ask me again"
        ) from None
    if gone.is_nothing:
        title = f"No mail of yours went to {name}; what else I had of that address is gone."
    else:
        lead = "leads where it led" if gone.links == 1 else "lead where they led"
        title = (
            f"{name} is forgotten: {plural(gone.mails, 'mail')} gone, taken out of {gone.parts} more, "
            f"{plural(gone.hits, 'event')} erased; {plural(gone.links, 'link')} still {lead}."
        )
    more = "Backups that you made yourself still hold it, until you delete them."
    return Reply(title=title, lines=(_REPLACED, more))


async def _ask_link(link: Link) -> Reply:
    hits = await Hit.filter(link_id=link.id).count()
    return Reply(
        title=f"Forget what was recorded of {_name(link)}?",
        lines=(f"{plural(hits, 'event')} will be gone and nothing more recorded. The link goes on working.",),
        buttons=((Button("Forget it", f"forget link:{link.id} {_SURE}"),),),
    )


async def _forget_link(request: Request, link: Link) -> Reply:
    gone = await forget_link(request.services, request.account, link)
    if gone is None:
        raise CommandError("that link is gone already")
    return Reply(
        title=f"I forgot {plural(gone.hits, 'event')} of {_name(link)}; nothing more is recorded of it.",
        lines=("It goes on working in the mail.", _TAKEN_BACK),
        data={"message": gone.code},
    )


def _name(link: Link) -> str:
    return "the pixel" if link.kind == "open" else one_line(link.label, 60) or "the link"


FORGET = Command(
    verb="forget",
    summary="Erase a mail, a person, or what was recorded of one link",
    usage="CODE | ADDRESS | URL [CODE]",
    handler=answer_forget,
    details=(
        "I ask before anything goes. A forgotten link goes on working; a forgotten mail's links do not.",
        "A person: every mail to them alone goes, and their part of the others; their links go on working.",
    ),
    examples=("forget k7m2qx", "forget ana@acme.com", "forget https://acme.com/deck"),
)
