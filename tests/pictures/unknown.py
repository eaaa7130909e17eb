"""What both looks say to a part of a message that they cannot draw."""

from __future__ import annotations

from collections.abc import Mapping


class UnknownPartError(Exception):
    """The payload holds something that the picture would not show."""


def check_keys(what: str, part: Mapping[str, object], known: set[str]) -> None:
    """Raises UnknownPartError for a key that is not among those known."""
    if more := set(part) - known:
        raise UnknownPartError(f"{what} with {', '.join(sorted(more))}")
