"""What somebody ordered: a condition, a time, and maybe words of their own. "noreply 5 working days".

Pure; called by the commands, by the account's defaults, and for the tags of capture addresses.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass

from tracker.mail import tags
from tracker.reminders.times import When, WhenError, parse_when

KINDS = ("always", "noopen", "noreply", "open", "click")
MOST_TEXT = 200
_MOST_WORDS = 16  # of a condition with its time


@dataclass(frozen=True)
class Order:
    """One reminder as it was ordered. Kinds: always | noopen | noreply | open | click."""

    kind: str
    when: When
    text: str = ""

    @property
    def said(self) -> str:
        """In words: "if nobody replies, in 5 working days"."""
        return f"{CONDITIONS[self.kind]}{self.when.said}"


CONDITIONS = {
    "always": "",
    "noopen": "if no open is seen, ",
    "noreply": "if nobody replies, ",
    "open": "if it is opened and nobody replies, ",
    "click": "if it is clicked and nobody replies, ",
}

_NOBODY = r"(?:\W*(?:and|but)?\s?(?:no reply|noreply|no answer|not answered|nobody (?:replies|answers)))?"
_KINDS = {
    "noreply": r"no[ -]?(?:reply|answer)|unanswered|not (?:answered|replied)|"
    r"nobody (?:replies|answers|replied)|"
    r"(?:unless|until) (?:they|she|he|somebody|someone) (?:repl(?:y|ies)|answers?)",
    "noopen": r"no[ -]?open(?: is seen)?|unopened|not opened|nobody opens(?: it)?|unless (?:it is )?opened",
    "open": r"open(?:ed)?|it is opened" + _NOBODY,
    "click": r"click(?:ed)?|it is clicked" + _NOBODY,
    "always": r"always|anyway|whatever happens|in any case",
}
_BEFORE = {
    kind: re.compile(rf"(?:if |when |on )?(?:{words})(?:{_NOBODY})?[\s:]*(?=\d|\s|$|in\b|for\b|on\b)(.*)")
    for kind, words in _KINDS.items()
}
_AFTER = {
    kind: re.compile(rf"(.*?)\s(?:if |when )?(?:{words})(?:{_NOBODY})?") for kind, words in _KINDS.items()
}
# A word that looks like one of ours: left over, it was meant and not understood.
_OURS = re.compile(
    r"\d+\W*(?:[a-z]{1,3}|mins?|hours?|days?|weeks?|months?)?|\d.*|no-?\w+|un(?:opened|answered)|"
    r"open(?:ed)?|click(?:ed)?|if|unless|at|on|in|always|(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*|"
    r"tomorrow|today|week|month|am|pm|working|business"
)


def parse_order(text: str) -> Order:
    """The condition and the time that `text` begins with; what follows are the owner's own words.

    The condition may also stand after the time. Raises WhenError: nothing that looks like a time or a
    condition is taken for words of the owner's.
    """
    words = unicodedata.normalize("NFKC", text).split()
    failure: WhenError | None = None
    for count in range(min(len(words), _MOST_WORDS), 0, -1):
        try:
            kind, when = _read(" ".join(words[:count]))
        except WhenError as error:
            failure = error if count == min(len(words), _MOST_WORDS) else failure or error
            continue
        rest = words[count:]
        if rest and _OURS.fullmatch(rest[0].lower().strip(",.;")):
            raise WhenError(f"I understand “{' '.join(words[:count])}”, but not “{rest[0][:30]}” after it")
        own = " ".join(rest).strip(" :-–")
        return Order(kind, when, own[:MOST_TEXT])
    raise failure or WhenError("a time is missing: type for example 3d, or noreply 5 working days")


def _read(text: str) -> tuple[str, When]:
    plain = " ".join(text.lower().replace(",", " ").split()).rstrip(" :;-–")
    try:
        return "always", parse_when(plain)
    except WhenError as error:
        failure = error
    for kind, pattern in _BEFORE.items():
        found = pattern.fullmatch(plain)
        if found is not None:
            return kind, parse_when(found[1].strip())
    for kind, pattern in _AFTER.items():
        found = pattern.fullmatch(plain)
        if found is not None:
            return kind, parse_when(found[1].strip())
    raise failure


def of_tag(order: tags.Order) -> Order:
    """The order of a capture address's tag."""
    if order.after is not None:
        minutes = int(order.after.total_seconds()) // 60
        for unit, size in (("week", 10_080), ("day", 1440), ("hour", 60), ("minute", 1)):
            if minutes % size == 0:
                return Order(order.kind, When(count=minutes // size, unit=unit))
    time = dt.time(order.hour, order.minute)
    if order.weekday is None:
        return Order(order.kind, When(count=1, unit="day", time=time))
    return Order(order.kind, When(weekday=order.weekday, time=time))
