"""Many rings in one message: each is named, the same thing again and again on one line.

A digest too long for a chat is cut into parts; every part knows which rings it names, so that each is marked
only after its own part was taken. After a few parts the rest is counted: nobody reads a hundred messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.chat import Kind, Reply
from bot.render.rings import Ring, sentence
from bot.words import nth_time, plural

DIGEST_LIMIT = 3000  # characters: what the strictest chat takes in one section
MOST_PARTS = 5


_Line = tuple[str, tuple[int, ...]]  # a text, and the positions of the rings that it names


@dataclass(frozen=True)
class Part:
    """One message of a digest, and the positions of the rings it names."""

    reply: Reply
    named: tuple[int, ...]


def digests(rings: Sequence[Ring], limit: int = DIGEST_LIMIT) -> list[Part]:
    """The messages that name `rings`, each at most `limit` characters long and at most MOST_PARTS of them."""
    pages: list[list[_Line]] = []
    room = used = limit - len(_title(len(rings))) - len(_rest(len(rings)))
    for line, named in _lines(rings):
        used += len(line) + 1
        if used > room:
            pages.append([])
            used = len(line) + 1
        pages[-1].append((line[: room - 1], named))
    uncounted = tuple(position for page in pages[MOST_PARTS:] for _, named in page for position in named)
    if uncounted:
        pages[MOST_PARTS - 1].append((_rest(len(uncounted)), uncounted))
    return [_part(rings, page) for page in pages[:MOST_PARTS]]


def _title(count: int) -> str:
    return f"{plural(count, 'more ring')}, in one message because there are so many:"


def _rest(count: int) -> str:
    return f"and {plural(count, 'ring')} more; type list to see your mails"


def _part(rings: Sequence[Ring], lines: list[_Line]) -> Part:
    named = tuple(sorted(position for _, positions in lines for position in positions))
    reply = Reply(
        title=_title(len(named)),
        lines=tuple(text for text, _ in lines),
        kind=Kind.DIGEST,
        data={"alerts": [rings[position].data for position in named]},
    )
    return Part(reply, named)


def _lines(rings: Sequence[Ring]) -> list[_Line]:
    """One line for each thing that happened, in the order of its first time."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for position, one in enumerate(rings):
        text = one.fixed or sentence(one)
        # What was corrected, and what has no count, stands alone.
        alone = position if one.fixed or not one.ordinal else None
        groups.setdefault((one.code, one.event, text, alone), []).append(position)
    return [(_line(rings, positions), tuple(positions)) for positions in groups.values()]


def _line(rings: Sequence[Ring], positions: list[int]) -> str:
    first = rings[positions[0]]
    if first.fixed:
        return first.fixed
    ordinals = [rings[position].ordinal or 1 for position in positions]
    low, high = min(ordinals), max(ordinals)
    if first.event not in ("open", "click") or high == 1:
        return sentence(first)
    return f"{sentence(first)} ({_times(low, high)})"


def _times(low: int, high: int) -> str:
    """Such as "3rd time", "3rd and 4th time", "3rd to 5th time"."""
    if low == high:
        return nth_time(high)
    between = "and" if high == low + 1 else "to"
    return f"{nth_time(low).removesuffix(' time')} {between} {nth_time(high)}"
