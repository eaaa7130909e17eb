"""What can be known of a recipient's side before anyone relies on it: the rule, pure.

Apple Mail loads every picture by itself; some programs load none; some mail goes through a scanner first;
some providers hide who looks. Each is only said after it was seen in several mails (LEAST), and mostly. What
was seen is gathered by tracker/insights/sides.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

LEAST = 2  # mails of one person
LEAST_PEOPLE = 3  # of one domain
MOSTLY = 0.8
OFTEN = 0.5


@dataclass(frozen=True)
class Signs:
    """How many mails to one person showed what. A mail without any sign is not among them."""

    mails: int = 0
    seen: int = 0  # with an open that counts
    privacy: int = 0  # loaded by Apple Mail
    proxied: int = 0  # opened through a provider's proxy
    scanned: int = 0  # a security scanner was there
    engaged: int = 0  # clicked or answered
    blind: int = 0  # clicked or answered, had a pixel, and nothing ever loaded it
    via: str | None = None  # the proxy's provider: "Gmail"

    @classmethod
    def of(cls, stored: Any) -> Signs:
        """From what `stored` holds of `row`, whatever that is."""
        if not isinstance(stored, Mapping):
            return cls()
        numbers = {one.name: stored.get(one.name) for one in fields(cls) if one.name != "via"}
        via = stored.get("via")
        counts = {name: count for name, count in numbers.items() if isinstance(count, int) and count > 0}
        return cls(**counts, via=via if isinstance(via, str) else None)

    @property
    def row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Side:
    """What to expect of a person, or of a domain. Empty where not enough is known."""

    apple: bool = False
    images_blocked: bool = False
    scanner: bool = False
    via: str | None = None

    @property
    def opens_are_reliable(self) -> bool:
        return not (self.apple or self.images_blocked)


def side_of(signs: Signs) -> Side:
    """What several mails to one person say."""
    loaded = max(signs.seen, signs.privacy)
    return Side(
        apple=signs.privacy >= LEAST
        and signs.privacy >= MOSTLY * loaded
        and signs.seen <= OFTEN * signs.privacy,
        images_blocked=signs.blind >= LEAST and not loaded,
        scanner=signs.scanned >= LEAST and signs.scanned >= OFTEN * signs.mails,
        via=signs.via if signs.proxied >= LEAST and signs.proxied >= OFTEN * signs.seen else None,
    )


def side_of_domain(people: Sequence[Signs]) -> Side:
    """What is so for nearly all of the people known there, each by enough mails of their own."""
    known = [one for one in people if one.mails >= LEAST]
    sides = [side_of(one) for one in known]

    def nearly_all(count: int) -> bool:
        return count >= LEAST_PEOPLE and count >= MOSTLY * len(sides)

    providers = {side.via for side in sides if side.via}
    via = next((name for name in sorted(providers) if nearly_all(sum(s.via == name for s in sides))), None)
    return Side(
        apple=nearly_all(sum(side.apple for side in sides)),
        images_blocked=nearly_all(sum(side.images_blocked for side in sides)),
        scanner=nearly_all(sum(side.scanner for side in sides)),
        via=via,
    )


def tell(side: Side) -> list[str]:
    """In sentences, the most important first; none where nothing is known."""
    said = []
    if side.apple:
        said.append(
            "opens are not reliable here, because Apple Mail loads every picture by itself: "
            "watch clicks and replies"
        )
    if side.images_blocked:
        said.append("opens are not reliable here, because pictures are blocked: watch clicks and replies")
    if side.scanner:
        said.append("a security scanner looks at the mail first; what it touches does not count")
    if side.via and not side.apple:
        said.append(f"opens come through {side.via}: they count, and hide place and device")
    return said
