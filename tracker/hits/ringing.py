"""When a counted hit rings: the policy all, important, first or none, of the mail, the person or the account.

Pure; called by the judge. Mutes, quiet hours and folding are not decided here but at delivery (bot/deliver).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.hits.evidence import DAY
from tracker.hits.verdicts import Verdict

POLICIES = ("all", "important", "first", "none")
HOT_OPENS = 3
HOT_WITHIN = DAY
SILENT = 14 * DAY


@dataclass(frozen=True, slots=True)
class Occasion:
    """A counted hit among the others of its recipient. Moments in microseconds."""

    kind: str  # open | click
    at: int
    ordinal: int  # of the recipient's counted hits of this kind, by arrival
    before: int | None  # the recipient's last counted open or click before this one
    opens: Sequence[int] = ()  # arrivals of the counted opens just before this one, up to three, newest last


@dataclass(frozen=True, slots=True)
class Call:
    """What rings: the event, and what its text needs. `opens` are those within the day, of a hot mail."""

    event: str  # open | click | hot | revived
    opens: int | None = None
    silent_days: int | None = None


def policy(mail: str | None, person: str | None, account: str | None) -> str:
    """The nearest setting wins: the mail's, the person's, the account's; an unknown word is "all"."""
    for setting in (mail, person, account):
        if setting:
            return setting if setting in POLICIES else "all"
    return "all"


def call(setting: str, occasion: Occasion) -> Call | None:
    """What to ring under this policy, or None.

    `important` is the first open, the first click, a mail getting hot (the third open within 24 h rings, the
    fourth does not) and a mail that comes back after 14 silent days.
    """
    if setting == "none":
        return None
    if setting == "all" or occasion.ordinal == 1:
        return Call(occasion.kind)
    if setting == "first":
        return None
    if occasion.before is not None and occasion.at - occasion.before >= SILENT:
        return Call("revived", silent_days=(occasion.at - occasion.before) // DAY)
    if occasion.kind == "open":
        near = [at for at in occasion.opens if 0 <= occasion.at - at <= HOT_WITHIN]
        if len(near) == HOT_OPENS - 1:
            return Call("hot", opens=HOT_OPENS)
    return None


_INSTEAD = {
    Verdict.SENDER: "that was you, composing or previewing, not {who}",
    Verdict.SCANNER: "that was a security scan, not {who}",
    Verdict.BOT: "that was an automated program, not {who}",
    Verdict.UNFURLER: "that was a link preview in a chat, not {who}",
    Verdict.PREFETCH: "that was loaded ahead by a program, not by {who}",
    Verdict.PRIVACY: "that was Apple Mail loading it by itself; it can't tell whether {who} looked",
    Verdict.DUPLICATE: "that was the same view by {who} as the one before, not a new one",
    Verdict.UNKNOWN: "that may not have been {who}; it is unconfirmed now",
}


_TOLD_INSTEAD = {
    "told-me": "that was you, as you said, not {who}",
    "told-device": "that was you, on a device that you said is yours, not {who}",
    "told-machine": "that was not a person, as you said, and not {who}",
    "told-source": "that was the same program that you said is not a person, not {who}",
    "own-device": "that was you, on a device of your own, not {who}",
}


def correction(subject: str, who: str, verdict: Verdict, reason: str = "") -> str:
    """What replaces the text of a ring whose hit does not count any more."""
    instead = _TOLD_INSTEAD.get(reason) or _INSTEAD.get(verdict, "that does not count any more, {who} or not")
    instead = instead.replace("{who}", who)
    return f"Correction, “{subject}”: {instead}." if subject else f"Correction: {instead}."
