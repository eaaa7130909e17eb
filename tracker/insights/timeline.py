"""The hits of one mail for people: newest first, a page at a time, each with the number by which it is named.

Called by `why`, `me` and `machine`. A hit's number is its place by arrival, 1 for the first: it stays the
same when others come after it. Reading only.
"""

from __future__ import annotations

from dataclasses import dataclass

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from models import Hit, Message

_COUNTED = ("human", "proxied")


@dataclass(frozen=True)
class Wanted:
    """Which hits: all those that fit every part that is given."""

    kind: str | None = None  # open | click
    counted: bool | None = None
    recipients: tuple[int, ...] = ()  # of one of these, or of one of the links
    links: tuple[int, ...] = ()


@dataclass(frozen=True)
class Page:
    """`hits` newest first, each with its number; `total` is how many fit, on all pages."""

    hits: tuple[tuple[int, Hit], ...]
    total: int
    number: int
    pages: int


async def page_of(message: Message, wanted: Wanted, number: int, size: int) -> Page:
    """The page with this number, from 1; the last one where there are fewer."""
    query = _fitting(message, wanted)
    total = await query.count()
    pages = max(1, -(-total // size))
    number = min(max(1, number), pages)
    rows = await query.order_by("-at", "-id").offset((number - 1) * size).limit(size)
    return Page(tuple([(await number_of(hit), hit) for hit in rows]), total, number, pages)


def _fitting(message: Message, wanted: Wanted) -> QuerySet[Hit]:
    query = Hit.filter(message_id=message.id)
    if wanted.kind is not None:
        query = query.filter(kind=wanted.kind)
    if wanted.counted is not None:
        counts = Q(verdict__in=_COUNTED)
        query = query.filter(counts if wanted.counted else ~counts | Q(verdict=None))
    if wanted.recipients or wanted.links:
        query = query.filter(Q(recipient_id__in=wanted.recipients) | Q(link_id__in=wanted.links))
    return query


async def number_of(hit: Hit) -> int:
    """The hit's number within its mail."""
    before = Q(at__lt=hit.at) | Q(at=hit.at, id__lt=hit.id)
    return 1 + await Hit.filter(before, message_id=hit.message_id).count()


async def numbered(message: Message, number: int) -> Hit | None:
    """The hit with this number, or None."""
    if not 0 < number < 2**31:
        return None
    return await Hit.filter(message_id=message.id).order_by("at", "id").offset(number - 1).first()


async def newest_counted(message: Message) -> Hit | None:
    """The newest hit that counts; else the newest that may have been a person."""
    hits = Hit.filter(message_id=message.id).order_by("-at", "-id")
    counted = await hits.filter(verdict__in=_COUNTED).first()
    return counted or await hits.filter(verdict__in=("privacy", "unknown")).first()
