"""`invite`, and the codes that it gives: `claim CODE` and Telegram's `start CODE`.

The first claim makes the owner. Invitations and the list of people are the owner's (and the terminal's, which
belongs to whoever runs this instance); linking one's own second chat is everybody's.
"""

from __future__ import annotations

from bot.access import (
    CONSOLE,
    CodeError,
    Entry,
    bot_name,
    make_code,
    private_place,
    redeem,
    remove_account_access,
    ring_at,
)
from bot.chat import Button, Incoming, Reply
from bot.commands.registry import Command, CommandError, Request
from bot.words import ago, one_line, plural
from models import Account, Identity, Message
from tracker.settings import Settings


async def answer_invite(request: Request) -> Reply:
    """`invite`, `invite me`, `invite list`, `invite remove NAME`."""
    word, _, rest = request.arguments.partition(" ")
    if word.lower() in ("me", "myself"):
        return await _link_own_chat(request)
    _check_owner(request)
    if not word:
        return await _invite_somebody(request)
    if word.lower() in ("list", "people"):
        return await _list_people(request)
    if word.lower() == "remove":
        return await _remove(request, rest.strip())
    raise CommandError(
        f"I cannot invite “{one_line(word, 30)}” myself: type invite alone, and send on what I answer"
    )


def _check_owner(request: Request) -> None:
    if not (request.account.is_owner or request.incoming.place.platform == CONSOLE):
        raise CommandError(
            "only the owner of this mailbell lets people in; to use your own account in a second chat, "
            "type: invite me"
        )


async def _invite_somebody(request: Request) -> Reply:
    settings = request.services.settings
    code = await make_code(request.services, request.account, "invite")
    return Reply(
        title="Send the text below to the person you invite. It works once, for 7 days.",
        copyable=(("Invitation", await _invitation(settings, "You are invited to mailbell.", code)),),
        lines=(
            "They get an account of their own: you do not see their mails, they do not see yours.",
            *_nowhere(settings),
        ),
        buttons=((Button("Who is in", "invite list"),),),
        data={"code": code},
    )


async def _link_own_chat(request: Request) -> Reply:
    settings = request.services.settings
    code = await make_code(request.services, request.account, "link")
    return Reply(
        title="Send me the code below from your other chat. It works once, for 7 days; keep it to yourself.",
        copyable=(("Code", await _invitation(settings, "", code)),),
        lines=("Both chats then act for the same account, and both ring.", *_nowhere(settings)),
        data={"code": code},
    )


def _nowhere(settings: Settings) -> tuple[str, ...]:
    """A code is of no use before there is a chat to send it in."""
    if settings.slack_bot_token is not None or settings.telegram_bot_token is not None:
        return ()
    return (
        "Neither Slack nor Telegram is set up here yet, so there is no chat to send it in: put "
        "SLACK_BOT_TOKEN or TELEGRAM_BOT_TOKEN into .env (.env.example and README say how) and start anew.",
    )


async def _invitation(settings: Settings, opening: str, code: str) -> str:
    """What to send on: a link for Telegram where the bot's name is known, words for the others."""
    name = await bot_name("telegram")
    ways = []
    if settings.telegram_bot_token is not None:
        link = f"https://t.me/{name}?start={code}" if name else f"/start {code}"
        ways.append(f"Telegram: {link}")
    if settings.slack_bot_token is not None:
        ways.append(f"Slack: /track claim {code}")
    return f"{opening} {' · '.join(ways) or f'claim {code}'}".strip()


async def _list_people(request: Request) -> Reply:
    lines = []
    for account in await Account.all().order_by("id"):
        identities = await Identity.filter(account_id=account.id).order_by("id")
        if not identities:
            continue
        mails = await Message.filter(account_id=account.id).count()
        where = ", ".join(sorted({one.platform for one in identities}))
        who = " (owner)" if account.is_owner else ""
        since = ago(account.created_at, request.services.now())
        name = one_line(account.name, 40)
        lines.append(f"{name}{who} – {where}, {plural(mails, 'mail')}, came {since}")
    hint = ("To show somebody out: invite remove NAME",) if len(lines) > 1 else ()
    return Reply(
        title=plural(len(lines), "person", "people"),
        lines=(*lines, *hint),
    )


async def _remove(request: Request, name: str) -> Reply:
    sure = name.lower().endswith(" yes")
    if sure:
        name = name[: -len(" yes")].strip()
    account = await _find_person(name)
    if account.is_owner or account.id == request.account.id:
        raise CommandError("the owner stays; to stop all rings here, type: settings here off")
    shown = one_line(account.name, 40)
    if not sure:
        return Reply(
            title=f"Show {shown} out?",
            lines=(
                "They can no longer talk to me and nothing rings for them. The links in their mails go on.",
            ),
            buttons=((Button("Yes, show them out", f"invite remove #{account.id} yes"),),),
        )
    await remove_account_access(account, request.services.now())
    return Reply(title=f"{shown} is out. To let them in again, type: invite")


async def _find_person(name: str) -> Account:
    """By name, or by #number where a button names it."""
    if not name:
        raise CommandError("whom? Type a name from invite list, such as: invite remove bob")
    inside = await Identity.all().distinct().values_list("account_id", flat=True)
    people = [one for one in await Account.filter(id__in=list(inside)) if _is_called(one, name)]
    if len(people) > 1:
        choices = ", ".join(f"#{one.id}" for one in people)
        raise CommandError(f"{plural(len(people), 'person', 'people')} have that name: type one of {choices}")
    if not people:
        raise CommandError(f"nobody here is called {one_line(name, 40)}; type invite list to see who is in")
    return people[0]


def _is_called(account: Account, name: str) -> bool:
    return name == f"#{account.id}" or account.name.casefold() == name.casefold().lstrip("@")


async def answer_claim(request: Request) -> Reply:
    """A code from somebody who is known already: a second chat to link, or the claim."""
    if not request.arguments:
        raise CommandError("the code is missing; type it after the word, such as: claim abcd2345efgh")
    try:
        entry = await redeem(request.services, request.incoming, request.arguments)
    except CodeError as error:
        raise CommandError(str(error)) from error
    return welcome(entry, request.incoming)


async def answer_start(request: Request) -> Reply:
    """Telegram's first word; a chat that was blocked before rings again."""
    if request.arguments:
        return await answer_claim(request)
    await ring_at(request.account, private_place(request.incoming), request.services.now())
    return _greeting("Hello again. I ring here when your mail is opened or clicked.")


def welcome(entry: Entry, incoming: Incoming) -> Reply:
    """What somebody reads who was just let in."""
    name = one_line(incoming.user_name, 40) or "you"
    if entry.kind == "claim":
        return _greeting(f"Welcome, {name}: this mailbell is yours now. Type invite to let others in.")
    if entry.kind == "link":
        return _greeting(
            f"This chat belongs to the account {one_line(entry.account.name, 40)} now, and rings too."
        )
    return _greeting(f"Welcome, {name}: you are in. Your mails are yours alone.")


def _greeting(title: str) -> Reply:
    return Reply(
        title=title,
        lines=("Write me an address, a subject and a link: ana@acme.com Q3 proposal https://acme.com/deck",),
        buttons=((Button("See a demo", "demo"), Button("Help", "help")),),
    )


INVITE = Command(
    verb="invite",
    summary="Let somebody in, or link your own second chat",
    usage="[me | list | remove NAME]",
    handler=answer_invite,
    details=(
        "invite gives a text to send to somebody new; it works once, for 7 days.",
        "invite me gives a code that links your own Slack and Telegram to one account.",
        "invite list and invite remove NAME are the owner's.",
    ),
    examples=("invite", "invite me", "invite remove bob"),
    personal=True,
)
CLAIM = Command(
    verb="claim",
    summary="Use a code that lets you in",
    usage="CODE",
    handler=answer_claim,
    examples=("claim abcd2345efgh",),
    hidden=True,
    personal=True,
)
START = Command(
    verb="start",
    summary="Say hello, or use a code",
    usage="[CODE]",
    handler=answer_start,
    hidden=True,
    personal=True,
)
