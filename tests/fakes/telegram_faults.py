"""How a call to the fake Telegram fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """How the next call of a method fails. `works`: it is done, and the answer gets lost, or comes late."""

    status: int = 0
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    works: bool = False
    hang: bool = False
    slow: float = 0.0
    raw: bytes | None = None


def flood(seconds: int) -> Fault:
    return Fault(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})


def broken(status: int = 500) -> Fault:
    return Fault(status, "Internal Server Error")


def hanging() -> Fault:
    return Fault(hang=True)


def answer_dropped() -> Fault:
    return Fault(works=True)


def blocked() -> Fault:
    return Fault(403, "Forbidden: bot was blocked by the user")


def migrated(to: int) -> Fault:
    return Fault(400, "Bad Request: group chat was upgraded", {"migrate_to_chat_id": to})
