"""What several commands understand in their arguments: codes of mails, addresses, lengths of time, policies.

Every look-up is scoped by the account. What cannot be understood is a CommandError that says what to type.
"""

from __future__ import annotations

import datetime as dt
import re

from bot.commands.registry import CommandError, Request
from bot.words import one_line, zone_of
from models import Account, Message
from tracker.insights.lists import find_message
from tracker.quiet import Quiet

POLICIES = {
    "all": "every open",
    "important": "what matters: the first time, and when somebody gets hot or comes back",
    "first": "only the first time",
    "none": "never",
}
MODES = {
    "full": "opens and clicks",
    "clicks": "clicks only, no pixel",
    "off": "no tracking",
}

# At most four digits: "22222h" may be a mail's code.
_LENGTH = re.compile(r"(\d{1,4})\s*(minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)", re.IGNORECASE)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


async def own_mail(request: Request, code: str) -> Message:
    """The account's mail with this code. Nobody learns here whether another one's mail exists."""
    plain = code.strip().lower().strip("#.,:")
    message = await find_message(request.account, plain) if plain else None
    if message is None:
        raise CommandError(
            f"I find no mail {one_line(plain, 20)} of yours. Type list to see yours with their codes."
        )
    return message


def read_length(text: str) -> dt.timedelta | None:
    """The length that "1h", "30 minutes", "2d", "1 week" say; None for anything else, and for none at all."""
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        return None
    length = dt.timedelta(**{_UNITS[found[2][0].lower()]: int(found[1])})
    return length or None


def next_morning(now: dt.datetime, account: Account) -> dt.datetime:
    """When the account's next night is over: its quiet hours end, else at 8 o'clock; UTC without a zone."""
    return Quiet.of(account.quiet_hours).next_morning(now, zone_of(account.timezone))


def read_choice(text: str, choices: dict[str, str], example: str) -> str:
    """One of the words in `choices`, or a CommandError that lists them."""
    word = text.strip().lower()
    if word not in choices:
        said = f"“{one_line(word, 30)}” is none of them" if word else "one word is missing"
        raise CommandError(f"{said}. Choose one of {', '.join(choices)}, such as: {example}")
    return word
