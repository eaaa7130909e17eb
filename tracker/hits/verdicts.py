"""The classes a hit can have, and what each means for counting and ringing."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Stored in Hit.verdict; shown to people in the words of `said`."""

    HUMAN = "human"
    PROXIED = "proxied"  # the provider's image proxy at view: place and device are hidden
    PRIVACY = "privacy"  # Apple Mail Privacy Protection: loads whatever the person does
    PREFETCH = "prefetch"
    SCANNER = "scanner"
    UNFURLER = "unfurler"
    BOT = "bot"
    SENDER = "sender"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"

    @property
    def counts(self) -> bool:
        """Whether the hit is an open or click of a person, in every count that people see."""
        return self in (Verdict.HUMAN, Verdict.PROXIED)

    @property
    def said(self) -> str:
        """The word that people read."""
        return _SAID[self]


_SAID = {
    Verdict.HUMAN: "opened or clicked",
    Verdict.PROXIED: "opened (place and device hidden)",
    Verdict.PRIVACY: "loaded by Apple Mail",
    Verdict.PREFETCH: "prefetched",
    Verdict.SCANNER: "security scan",
    Verdict.UNFURLER: "link preview",
    Verdict.BOT: "automated",
    Verdict.SENDER: "you",
    Verdict.DUPLICATE: "repeat",
    Verdict.UNKNOWN: "unconfirmed",
}
