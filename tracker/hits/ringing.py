"""When a counted hit rings: the policy all, important, first or none, of the mail, the person or the account.

Pure; called by the judge. Mutes, quiet hours and folding are not decided here but at delivery (bot/deliver).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracker.hits.evidence import DAY, MINUTE
from tracker.hits.verdicts import Verdict

POLICIES = ("all", "important", "first", "none")
HOT_OPENS = 3
HOT_WITHIN = DAY
SILENT = 14 * DAY
NEWS = 10 * MINUTE  # for so long a hit may still begin to ring, and a ring's number is put right


@dataclass(frozen=True, slots=True)
class Occasion:
    """A counted hit among the others of its recipient. Moments in microseconds."""

    kind: str  # open | click
    at: int
    ordinal: int  # of the recipient's counted hits of this kind, by arrival
    before: int | None  # the recipient's last counted open or click before this one
    opens: Sequence[int] = ()  # arrivals of the counted opens of the two days before this one, newest last


@dataclass(frozen=True, slots=True)
class Call:
    """What rings: the event, and what its text needs. `opens` are those within the day, of a hot mail.

    Where every open rings, `hot` and `silent_days` are told with the open, and make no ring of their own.
    """

    event: str  # open | click | hot | revived
    opens: int | None = None
    silent_days: int | None = None
    hot: bool = False


def policy(mail: str | None, person: str | None, account: str | None) -> str:
    """The nearest setting wins: the mail's, the person's, the account's; an unknown word is "all"."""
    for setting in (mail, person, account):
        if setting:
            return setting if setting in POLICIES else "all"
    return "all"


def call(setting: str, occasion: Occasion) -> Call | None:
    """What to ring under this policy, or None.

    `important` is the first open, the first click, a mail getting hot (the third open within 24 h rings; what
    follows while it stays hot does not) and a mail that comes back after 14 silent days.
    """
    if setting == "none" or (setting == "first" and occasion.ordinal != 1):
        return None
    if setting != "important" or occasion.ordinal == 1:
        every = setting == "all"
        return Call(
            occasion.kind,
            silent_days=_silent_days(occasion) if every else None,
            hot=every and _gets_hot(occasion),
        )
    silent = _silent_days(occasion)
    if silent is not None:
        return Call("revived", silent_days=silent)
    return Call("hot", opens=HOT_OPENS) if _gets_hot(occasion) else None


def _silent_days(occasion: Occasion) -> int | None:
    """For how many days nothing had happened, where those are many."""
    if occasion.before is None or occasion.at - occasion.before < SILENT:
        return None
    return (occasion.at - occasion.before) // DAY


def _gets_hot(occasion: Occasion) -> bool:
    """Whether this is the open that makes it hot: the one before it did not find it hot already."""
    if occasion.kind != "open":
        return False
    opens = [*(at for at in occasion.opens if at <= occasion.at), occasion.at]

    def hot(last: int) -> bool:
        first = last - HOT_OPENS + 1
        return first >= 0 and opens[last] - opens[first] <= HOT_WITHIN

    return hot(len(opens) - 1) and not hot(len(opens) - 2)


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
