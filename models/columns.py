"""Column types that both engines store alike.

A moment is a whole number of microseconds since 1970 in UTC: it compares, sorts and subtracts the same in
SQLite, in PostgreSQL and in raw SQL. (Tortoise's own datetime column is compared as text on SQLite, which
gives wrong results for any other zone than UTC.)
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from tortoise import fields

T = TypeVar("T")

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def to_micros(moment: dt.datetime) -> int:
    """Aware datetime → microseconds since 1970 UTC; a naive one raises ValueError."""
    if moment.tzinfo is None:
        raise ValueError(f"a moment needs a time zone: {moment!r}")
    return (moment - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> dt.datetime:
    """Microseconds since 1970 → aware datetime in UTC."""
    return EPOCH + dt.timedelta(microseconds=micros)


class Instant(fields.Field[T], int):
    """An aware datetime, stored as BIGINT microseconds since 1970 UTC."""

    SQL_TYPE = "BIGINT"

    if TYPE_CHECKING:

        @overload
        def __new__(cls, *, null: Literal[True]) -> Instant[dt.datetime | None]: ...
        @overload
        def __new__(cls) -> Instant[dt.datetime]: ...
        def __new__(cls, **_: Any) -> Any: ...

    def to_db_value(self, value: Any, instance: Any) -> int | None:  # noqa: ARG002, the library's signature
        return to_micros(value) if isinstance(value, dt.datetime) else value

    def to_python_value(self, value: Any) -> Any:
        return from_micros(value) if isinstance(value, int) else value


def clean_text(text: str, limit: int | None = None) -> str:
    """Outside text made storable: no NUL and no lone surrogate (PostgreSQL refuses both), cut to `limit`."""
    storable = text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return storable if limit is None else storable[:limit]
