"""`connect`: the mailboxes that somebody sends through, and the one-time page where a new one is connected.

Passwords never pass through here: a chat's history would keep them. What the page does stands in
tracker/web/connect.py.
"""

from __future__ import annotations

from bot.chat import Button, Reply
from bot.commands.registry import Command, CommandError, Request
from bot.words import ago, one_line, plural
from models import Mailbox
from tracker.replies.watched import set_watching
from tracker.sending.credentials import imap_server
from tracker.sending.mailboxes import Stopped, find_own, remove_mailbox, what_waits
from tracker.sending.providers import find_provider
from tracker.sending.tickets import make_ticket

_WHAT_TO_TYPE = "type connect, connect new, or connect remove ana@acme.com"
_MOST = 20
_MOST_CODES = 5
_LONGEST_ACTION = 64  # bytes, of a button


async def answer_connect(request: Request) -> Reply:
    """`connect`, `connect new [ADDRESS]`, `connect renew|remove ADDRESS`, `connect watch ADDRESS [off]`."""
    word, _, rest = request.arguments.partition(" ")
    rest = rest.strip()
    if not word:
        return await _list(request)
    if word.lower() in ("new", "add"):
        return await _new(request, rest)
    if word.lower() in ("renew", "password"):
        return await _link(request, "renew", await _mailbox(request, rest))
    if word.lower() in ("remove", "delete"):
        return await _remove(request, rest)
    if word.lower() in ("watch", "replies"):
        return await _watch(request, rest)
    raise CommandError(f"I do not understand “{one_line(request.arguments, 30)}”: {_WHAT_TO_TYPE}")


async def _list(request: Request) -> Reply:
    """Every mailbox with its state; the page's link where there is none yet."""
    mailboxes = await Mailbox.filter(account_id=request.account.id).order_by("id").limit(_MOST)
    if not mailboxes:
        return await _link(request, "new", None)
    lines, rows = [], []
    for one in mailboxes:
        lines.append(f"{one_line(one.address, 64)} – {_state(request, one)}")
        if one.failed_at is not None:
            lines.append(f"   It said: {one_line(one.failure or '', 150)}")
        rows.append(_buttons(one))
    rows.append((Button("Connect another", "connect new"),))
    return Reply(
        title=f"You send through {plural(len(mailboxes), 'mailbox', 'mailboxes')}.",
        lines=tuple(lines),
        buttons=tuple(row for row in rows if row),
        data={"mailboxes": [_facts(one) for one in mailboxes]},
    )


def _state(request: Request, mailbox: Mailbox) -> str:
    now = request.services.now()
    provider = find_provider(mailbox.provider)
    parts = [provider.name if provider and provider.smtp else mailbox.smtp_host]
    if mailbox.failed_at is not None:
        parts.append(f"lets me in no more since {ago(mailbox.failed_at, now)}: sign in again")
    elif mailbox.checked_at is not None:
        parts.append(f"works, last seen {ago(mailbox.checked_at, now)}")
    if not mailbox.imap_on:
        parts.append("replies are not looked for")
    elif mailbox.imap_failed_at is not None:
        parts.append(f"cannot look for replies: {one_line(mailbox.imap_failure or '', 100)}")
    else:
        parts.append("looks for replies")
    return "; ".join(parts)


def _buttons(mailbox: Mailbox) -> tuple[Button, ...]:
    """The next steps, where the address fits into a button."""
    watching = f"connect watch {mailbox.address}" + (" off" if mailbox.imap_on else "")
    wanted = [
        Button("Sign in again", f"connect new {mailbox.address}") if mailbox.failed_at else None,
        Button("No replies" if mailbox.imap_on else "Look for replies", watching)
        if mailbox.imap_host
        else None,
        Button("New password", f"connect renew {mailbox.address}"),
        Button("Remove", f"connect remove {mailbox.address}"),
    ]
    return tuple(one for one in wanted if one and len(one.action.encode()) <= _LONGEST_ACTION)


def _facts(mailbox: Mailbox) -> dict[str, object]:
    return {
        "address": mailbox.address,
        "works": mailbox.failed_at is None,
        "watches": mailbox.imap_on,
        "submission_user": mailbox.submission_user,
    }


async def _new(request: Request, text: str) -> Reply:
    known = await find_own(request.account, text) if text else None
    return await _link(request, "again" if known else "new", known)


async def _link(request: Request, purpose: str, mailbox: Mailbox | None) -> Reply:
    """The one-time page; where it could be read on its way, what to do first."""
    settings = request.services.settings
    if not settings.is_trial and not settings.public_url.startswith("https://"):
        raise CommandError(
            "passwords are taken over https only: whoever runs this mailbell has to set BASE_URL to an https "
            "address first"
        )
    url = await make_ticket(request.services, request.account, purpose, mailbox)
    titles = {
        "new": "Connect the mailbox you send from, on this page. It works once, for 30 minutes.",
        "again": f"Sign in again for {one_line(mailbox.address, 64) if mailbox else ''} on this page.",
        "renew": f"A new password for {one_line(mailbox.address, 64) if mailbox else ''}, on this page.",
    }
    lines = {
        "new": (
            "Each recipient then gets a pixel of their own, without any copying: your mail program sends "
            "through mailbell, and mailbell through your own provider.",
            "Never type a mailbox password into a chat: its history keeps it.",
        ),
        "again": ("What waits goes out as soon as the login works. Your mail programs stay as they are.",),
        "renew": ("The present one stops working when the page has made the new one.",),
    }
    return Reply(
        title=titles[purpose],
        lines=lines[purpose],
        links=(("Connect a mailbox", url),),
        data={"connect_url": url},
    )


async def _mailbox(request: Request, text: str) -> Mailbox:
    """The mailbox that is meant: by its address, or the only one."""
    if not text:
        found = await Mailbox.filter(account_id=request.account.id).limit(2)
        if len(found) == 1:
            return found[0]
        raise CommandError("which one? Type its address, such as: connect renew ana@acme.com")
    mailbox = await find_own(request.account, text)
    if mailbox is None:
        raise CommandError(f"no mailbox “{one_line(text, 40)}” is connected; type connect to see yours")
    return mailbox


async def _remove(request: Request, text: str) -> Reply:
    sure = text.lower().endswith(" yes")
    mailbox = await _mailbox(request, text[: -len(" yes")].strip() if sure else text)
    shown = one_line(mailbox.address, 64)
    if not sure:
        waiting = await what_waits(mailbox)
        action = f"connect remove {mailbox.address} yes"
        fits = len(action.encode()) <= _LONGEST_ACTION
        lines = [
            "Mail programs that send through me for it get an error from then on, and I forget its login."
        ]
        if waiting.mails:
            lines.append(
                f"{plural(waiting.mails, 'mail')} still waiting to be sent will not be sent{_named(waiting)}."
            )
        if not fits:
            lines.append(f"To do it, type: {action}")
        return Reply(
            title=f"Remove {shown}?",
            lines=tuple(lines),
            buttons=((Button("Yes, remove it", action),),) if fits else (),
        )
    stopped = await remove_mailbox(request.services, mailbox)
    more = f" {plural(stopped.mails, 'mail')} that waited will not be sent" if stopped.mails else ""
    return Reply(
        title=f"{shown} is removed.{more}{_named(stopped)}{'.' if more else ''}",
        lines=("Set your provider's own outgoing server in your mail programs again.",),
        data={"stopped": stopped.mails, "messages": list(stopped.codes)},
    )


def _named(stopped: Stopped) -> str:
    """The codes of the mails, as far as they fit into a sentence."""
    codes = stopped.codes[:_MOST_CODES]
    more = f" and {len(stopped.codes) - len(codes)} more" if len(stopped.codes) > len(codes) else ""
    return f": {', '.join(codes)}{more}" if codes else ""


async def _watch(request: Request, text: str) -> Reply:
    words = text.split()
    is_on = not (words and words[-1].lower() in ("off", "no"))
    if words and words[-1].lower() in ("off", "no", "on", "yes"):
        words.pop()
    mailbox = await _mailbox(request, " ".join(words))
    shown = one_line(mailbox.address, 64)
    if is_on and imap_server(mailbox) is None:
        raise CommandError(
            f"I do not know the server for reading (IMAP) of {shown}: type connect new {shown}, and give it"
        )
    await set_watching(request.services, request.account, mailbox.address, is_on)
    if not is_on:
        return Reply(title=f"I look no more for replies in {shown}.", data={"watches": False})
    return Reply(
        title=f"I look for replies in {shown} now.",
        lines=("Only who answered which mail, and when: never the text. To end it: connect watch off",),
        data={"watches": True},
    )


CONNECT = Command(
    verb="connect",
    summary="Send through mailbell: connect the mailbox that you send from",
    usage="[new | renew ADDRESS | remove ADDRESS | watch ADDRESS [off]]",
    handler=answer_connect,
    details=(
        "Alone it shows your mailboxes, or gives a page to connect the first one. The page works once.",
        "new ADDRESS: sign in again. renew: a new password for your mail programs, on a page.",
        "watch: look for replies in its inbox; off ends that. remove: forget the mailbox and its login.",
    ),
    examples=("connect", "connect new", "connect watch ana@acme.com", "connect remove ana@acme.com"),
    personal=True,
)
