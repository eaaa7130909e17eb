"""`list`: one's own mails, newest first, ten a page, filtered by what happened to them and by words."""

from __future__ import annotations

import datetime as dt

from bot.chat import Button, Reply
from bot.commands.registry import Command, Request
from bot.words import ago, listed, one_line, plural, quoted
from models import Message
from tracker.insights.lists import FILTERS, Which, count_messages, list_messages

PAGE = 10
MOST_ACTION = 64  # bytes of a button's action
_PAGE_MARK = "page:"
_NOTHING = {"off": "not tracked", "clicks": "no click seen", "watch": "watched for a reply"}


async def answer_list(request: Request) -> Reply:
    """`list [unopened|unclicked|opened|clicked|muted] [words] [page:2]`."""
    which, words, page = read_filters(request.arguments)
    account, now = request.account, request.services.now()
    total = await count_messages(account, which, words, now=now)
    mails = await list_messages(account, which, words, PAGE, (page - 1) * PAGE, now=now)
    if not mails:
        return _nothing(which, words, page)
    more = total - page * PAGE
    named = f"list {which} {words}".replace("list all", "list").strip()
    action = f"{named} {_PAGE_MARK}{page + 1}"
    numbered = list(enumerate(mails, (page - 1) * PAGE + 1))
    lines = [f"{number}. {_line(one, now)}" for number, one in numbered]
    show = tuple(Button(str(number), f"show {one.code}") for number, one in numbered)
    rows = [show[:5], show[5:]]
    if more > 0:
        if len(action.encode()) <= MOST_ACTION:
            rows.append((Button(f"{more} more", action),))
        lines.append(f"{more} more: {one_line(action, 200)}")
    title = _title(which, words, total)
    return Reply(
        title=title,
        lines=tuple(lines),
        buttons=tuple(row for row in rows if row),
        data={"messages": [one.code for one in mails], "total": total},
    )


def read_filters(arguments: str) -> tuple[Which, str, int]:
    """What to show, words to look for, and the page from 1. Words after the filter are searched for."""
    which: Which = "all"
    page, words = 1, []
    for position, word in enumerate(arguments.split()):
        plain = word.lower().strip(",")
        number = plain.removeprefix(_PAGE_MARK)
        if plain.startswith(_PAGE_MARK) and number.isdecimal() and number.isascii():
            page = min(max(int(number[:6]), 1), 100_000)
        elif position == 0 and plain in FILTERS:
            which = _WHICH[plain]
        else:
            words.append(word)
    return which, " ".join(words)[:200], page


_WHICH: dict[str, Which] = {
    "all": "all",
    "unopened": "unopened",
    "unclicked": "unclicked",
    "opened": "opened",
    "clicked": "clicked",
    "muted": "muted",
}


def _title(which: Which, words: str, total: int) -> str:
    kind = "" if which == "all" else f"{which} "
    found = f" with “{one_line(words, 40)}”" if words else ""
    return f"{plural(total, f'{kind}mail')}{found}:"


def _nothing(which: Which, words: str, page: int) -> Reply:
    if page > 1:
        return Reply(title="That was the last page.", buttons=((Button("From the start", "list"),),))
    if which == "all" and not words:
        return Reply(
            title="You track no mail yet.",
            lines=(
                "Write me an address, a subject and a link: ana@acme.com Q3 proposal https://acme.com/deck",
            ),
            buttons=((Button("See a demo", "demo"),),),
        )
    return Reply(title=_title(which, words, 0).replace("0 ", "No ").rstrip(":") + ".")


def _line(message: Message, now: dt.datetime) -> str:
    people = listed([one_line(one.address, 40) for one in message.recipients], 2)
    parts = [
        f"{quoted(message.subject, 50)} ({message.code}){f' to {people}' if people else ''}",
        _state(message, now),
        ago(message.sent_at or message.armed_at or message.created_at, now),
    ]
    return " · ".join(filter(None, parts))


def _state(message: Message, now: dt.datetime) -> str:
    """The counts, and never "not read": nobody knows that."""
    states = [f"opened ×{message.opens}"] if message.opens else []
    if message.clicks:
        states += [] if message.opens else ["opened"]
        states.append(f"clicked ×{message.clicks}")
    if message.replied_at:
        states.append("replied")
    if not states and message.armed_at is None and message.arms_at > now:
        states.append("not sent yet")
    if not states:
        states.append(_NOTHING.get(message.mode, "no open seen"))
    if message.muted:
        states.append("muted")
    return " · ".join(states)


LIST = Command(
    verb="list",
    summary="Your mails, newest first",
    usage="[unopened | unclicked | opened | clicked | muted] [WORDS]",
    handler=answer_list,
    details=("Words look in subjects and recipients.",),
    examples=("list", "list unopened", "list clicked acme.com"),
)
