"""Which mails an account has: by code, by words of subject or recipient, by what happened to them.

Called by the commands. Every query is scoped by the account; nothing here changes anything.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, get_args

from tortoise.expressions import Q, Subquery
from tortoise.query_utils import Prefetch
from tortoise.queryset import QuerySet

from models import Account, Link, Message, Recipient
from models.columns import clean_text
from tracker.services import utc_now

Which = Literal["all", "unopened", "unclicked", "opened", "clicked", "muted"]
FORGOTTEN = "forgotten"  # origin of the row that keeps the links of those who were forgotten
FILTERS: tuple[str, ...] = get_args(Which)


async def find_message(account: Account, code: str) -> Message | None:
    """The account's mail with this code, in any case; None for none, also where it is somebody else's."""
    code = code.strip().lower()
    if not (code.isascii() and code.isalnum() and len(code) <= 12):  # the column refuses longer ones
        return None
    return await Message.filter(account_id=account.id, code=code).exclude(origin=FORGOTTEN).first()


async def search_messages(account: Account, words: str, limit: int = 10) -> list[Message]:
    """The mail with that code, else those with every word in subject or a recipient, newest first."""
    exact = await find_message(account, words)
    return [exact] if exact else await list_messages(account, text=words, limit=limit)


async def list_messages(
    account: Account,
    which: Which = "all",
    text: str = "",
    limit: int = 10,
    offset: int = 0,
    *,
    now: dt.datetime | None = None,
) -> list[Message]:
    """The account's mails, newest first, each with its `recipients` in the order of the To line.

    A clicked mail counts as opened, also where no open was seen; `unclicked` are those with a link to click.
    `text`: words that must all stand in the subject or in one recipient's address or name.
    """
    people = Recipient.all().order_by("position", "id")
    query = _filtered(account, which, text, now or utc_now()).order_by("-created_at", "-id")
    return await query.offset(offset).limit(limit).prefetch_related(Prefetch("recipients", people))


async def count_messages(
    account: Account, which: Which = "all", text: str = "", *, now: dt.datetime | None = None
) -> int:
    """How many mails `list_messages` has in all."""
    return await _filtered(account, which, text, now or utc_now()).count()


def _filtered(account: Account, which: Which, text: str, now: dt.datetime) -> QuerySet[Message]:
    query = Message.filter(account_id=account.id).exclude(origin=FORGOTTEN)
    seen = Q(opens__gt=0) | Q(clicks__gt=0)
    if which == "opened":
        query = query.filter(seen)
    elif which == "unopened":
        query = query.filter(~seen)
    elif which == "clicked":
        query = query.filter(clicks__gt=0)
    elif which == "unclicked":
        links = Link.filter(kind="click", message__account_id=account.id)
        query = query.filter(clicks=0, id__in=Subquery(links.values("message_id")))
    elif which == "muted":
        query = query.filter(Q(muted=True) | Q(muted_until__gt=now))
    for word in clean_text(text, 200).split()[:10]:
        people = Recipient.filter(
            _holds("address", word) | _holds("name", word), message__account_id=account.id
        )
        query = query.filter(_holds("subject", word) | Q(id__in=Subquery(people.values("message_id"))))
    return query


def _holds(column: str, word: str) -> Q:
    """Whether the column has the word in it, in any case.

    SQLite folds the case of ASCII letters only, so a word with others is looked for in its usual spellings.
    """
    spellings = {word} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}
    return Q(*(Q(**{f"{column}__icontains": spelling}) for spelling in sorted(spellings)), join_type="OR")
