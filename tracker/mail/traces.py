"""What stands in chats about something that is forgotten: the rows that have it replaced there.

Called by tracker/mail/forget.py, and by the bot for what it has just shown. A trace is an alert of which
nothing is left but where its message stands and the words to put there: bot/deliver corrects messages in
place anyway. This module only writes rows; it never speaks to a chat.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from tortoise.expressions import Expression, RawSQL, ResolveContext, ResolveResult

from models import Alert, Card, Destination, Message

FORGOTTEN = "This was about something that is forgotten now."
BATCH = 500  # rows of one statement
MOST_ANSWERS = 200
_SAID = "said"  # in Message.details: [destination id, remote id] of each answer about it
_SHOWN = ("sent", "folded")
# Not marked as shown: it may be on its way this very moment, and is corrected if it arrives.
_PERHAPS = ("waiting", "withdrawn")
_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("message_id", "recipient_id", "link_id", "ordinal", "facts", "last_error")),
    "event": "notice",
    "fix_text": FORGOTTEN,
}


class _OwnKey(Expression):
    """An event key that stays unique, and does not say which request it was."""

    def resolve(self, resolve_context: ResolveContext) -> ResolveResult:  # noqa: ARG002
        return ResolveResult(RawSQL("'forgotten:alert:' || id"))


async def leave_alert_traces(now: dt.datetime, **where: Any) -> None:
    """Makes traces of the alerts that fit (a mail's, a link's), one for each message in a chat.

    What waits never rings. The other rows are the caller's to delete. Call it inside a transaction.
    """
    found = Alert.filter(**where)
    shown = found.filter(state__in=_SHOWN, remote_id__isnull=False).order_by("id")
    rows = await shown.values_list("id", "destination_id", "remote_id")
    # A digest names many alerts: one of them is enough to have it drawn anew.
    first: dict[tuple[Any, Any], Any] = {}
    for row, destination, remote in rows:
        first.setdefault((destination, remote), row)
    perhaps = await found.filter(state__in=_PERHAPS).values_list("id", flat=True)
    await _empty(list(first.values()), now)
    await _empty([int(str(one)) for one in perhaps], now, state="withdrawn")


async def leave_card_traces(cards: Sequence[Card], account_id: int, now: dt.datetime) -> None:
    """A trace for each card that was posted. Call it inside a transaction."""
    await Alert.bulk_create(
        _trace(account_id, card.destination_id, card.remote_id, f"forgotten:card:{card.id}", now)
        for card in cards
        if card.remote_id is not None
    )


async def leave_answer_traces(message: Message, now: dt.datetime) -> None:
    """A trace for each answer that was about this mail alone. Call it inside a transaction."""
    homes = set(await Destination.filter(account_id=message.account_id).values_list("id", flat=True))
    await Alert.bulk_create(
        _trace(message.account_id, home, remote, f"forgotten:said:{message.id}:{number}", now)
        for number, (home, remote) in enumerate(_answers(message.details))
        if home in homes
    )


def with_answer(details: Any, destination_id: int, remote_id: str) -> dict[str, Any]:
    """A mail's details with one more answer that stands in a chat; of very many the newest are kept."""
    kept = details if isinstance(details, dict) else {}
    return {**kept, _SAID: [*_answers(kept), [destination_id, remote_id]][-MOST_ANSWERS:]}


def _answers(details: Any) -> list[Any]:
    return list(details.get(_SAID, ())) if isinstance(details, dict) else []


async def leave_late_trace(
    account_id: int, destination_id: int, remote_id: str, card_id: int, now: dt.datetime
) -> None:
    """For a card that was forgotten while the chat was being called: it stands there under `remote_id`."""
    late = _trace(account_id, destination_id, remote_id, f"forgotten:late:{card_id}", now)
    await Alert.bulk_create([late], ignore_conflicts=True)


async def _empty(ids: Sequence[int], now: dt.datetime, **more: str) -> None:
    for begin in range(0, len(ids), BATCH):
        piece = Alert.filter(id__in=ids[begin : begin + BATCH])
        await piece.update(event_key=_OwnKey(), at=now, **_NOTHING, **more)


def _trace(account_id: int, destination_id: int, remote_id: str | None, key: str, now: dt.datetime) -> Alert:
    return Alert(
        account_id=account_id,
        destination_id=destination_id,
        event_key=key,
        event="notice",
        at=now,
        due_at=now,
        state="sent",
        remote_id=remote_id,
        fix_text=FORGOTTEN,
    )
