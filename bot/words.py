"""Wording that commands, cards and rings share: ordinals, durations, moments, one-line texts.

Pure: the clock and the zone are arguments. Never escapes anything; each chat does that in its own way.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import humanize

# Characters that reorder what stands beside them (Unicode's bidi controls), and the zero-width ones.
_INVISIBLE = frozenset("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")


def nth_time(number: int) -> str:
    """2 → "2nd time"."""
    return f"{humanize.ordinal(number)} time"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """(1, "mail") → "1 mail", (1200, "mail") → "1,200 mails"."""
    return f"{humanize.intcomma(number)} {noun if number == 1 else nouns or noun + 's'}"


def duration(length: dt.timedelta | float) -> str:
    """Such as "3 minutes", "an hour"; of seconds or a timedelta. What is negative counts as nothing."""
    if not isinstance(length, dt.timedelta):
        length = dt.timedelta(seconds=length)
    return humanize.naturaldelta(max(length, dt.timedelta()))


def span(length: dt.timedelta | float) -> str:
    """A length as cards have room for it, in its two largest units: "2 d 3 h", "45 min", "3 h"."""
    if not isinstance(length, dt.timedelta):
        length = dt.timedelta(seconds=length)
    minutes = max(0, int(length.total_seconds()) // 60)
    sizes = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"))
    first = next((place for place, (count, _) in enumerate(sizes) if count), 2)
    shown = [f"{count} {unit}" for count, unit in sizes[first : first + 2] if count]
    return " ".join(shown) or "0 min"


def ago(moment: dt.datetime, now: dt.datetime) -> str:
    """Such as "5 minutes ago", "just now"."""
    passed = now - moment
    return "just now" if passed < dt.timedelta(seconds=10) else f"{duration(passed)} ago"


def zone_of(name: str | None) -> dt.tzinfo:
    """The time zone with this name; UTC when there is none, or when this machine does not know it."""
    try:
        return ZoneInfo(name) if name else dt.UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return dt.UTC


def moment(at: dt.datetime, now: dt.datetime, zone: dt.tzinfo = dt.UTC) -> str:
    """Such as "today 14:05", "Mon 2 Mar 14:05", "2 Mar 2025 14:05" in the reader's zone."""
    here, today = at.astimezone(zone), now.astimezone(zone).date()
    if here.date() == today:
        return f"today {here:%H:%M}"
    if here.date() == today - dt.timedelta(days=1):
        return f"yesterday {here:%H:%M}"
    if here.year == today.year:
        return f"{here:%a} {here.day} {here:%b %H:%M}"
    return f"{here.day} {here:%b %Y %H:%M}"


def units(text: str) -> int:
    """Length in UTF-16 units, as Slack and Telegram count: an emoji outside the basic plane is two."""
    return len(text) + sum(ord(character) > 0xFFFF for character in text)


def beginning(text: str, limit: int) -> str:
    """The longest beginning of at most `limit` UTF-16 units."""
    if units(text) <= limit:
        return text
    used = 0
    for position, character in enumerate(text):
        used += 2 if ord(character) > 0xFFFF else 1
        if used > limit:
            return text[:position]
    return text


def one_line(text: str, limit: int = 80) -> str:
    """Outside text as one harmless line: no control or reordering characters, cut with an ellipsis."""
    spaced = "".join(
        " " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one
        for one in text[: limit * 8]
        if one not in _INVISIBLE
    )
    line = " ".join(spaced.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def quoted(subject: str, limit: int = 80) -> str:
    """A subject as it stands in sentences: "Q3 proposal" in quotes, or (no subject)."""
    line = one_line(subject, limit)
    return f'"{line}"' if line else "(no subject)"


def listed(items: list[str], most: int = 3) -> str:
    """["a", "b", "c", "d", "e"] → "a, b, c and 2 more"."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""
