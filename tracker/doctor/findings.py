"""What a check says: one line for a person, and what to do where something is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tracker.services import Services


@dataclass(frozen=True)
class Finding:
    """state: ok | wrong | note (nothing to do, or nothing that can be told from here).

    `key` names the same thing from day to day; `account_id` is whom it concerns, None: whoever runs this.
    """

    key: str
    name: str
    state: str
    said: str
    remedy: str = ""
    account_id: int | None = None


@dataclass(frozen=True)
class Visit:
    """One round of checks. `account_id`: only what concerns this account; None: everything."""

    services: Services
    account_id: int | None = None


Check = Callable[[Visit], Awaitable[Sequence[Finding]]]


@dataclass(frozen=True)
class About:
    """Makes the findings of one check."""

    key: str
    name: str
    account_id: int | None = None

    def ok(self, said: str) -> Finding:
        return Finding(self.key, self.name, "ok", said, account_id=self.account_id)

    def wrong(self, said: str, remedy: str) -> Finding:
        return Finding(self.key, self.name, "wrong", said, remedy, self.account_id)

    def note(self, said: str, remedy: str = "") -> Finding:
        return Finding(self.key, self.name, "note", said, remedy, self.account_id)
