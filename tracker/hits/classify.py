"""Who made this request? A pure function of stored facts: the rules in order, first match wins.

Called by the judge for every hit and again whenever history is judged anew, so it only sees what is stored,
never the clock: what a rule compares are the moments of the hit and of the mail. It never raises.
"""

from __future__ import annotations

from tracker.hits.evidence import HitFacts, Judgement, MailFacts, OwnDevices
from tracker.hits.reasons import sentence
from tracker.hits.rules import RULES, RULES_VERSION

__all__ = ["RULES_VERSION", "classify", "sentence"]


def classify(hit: HitFacts, mail: MailFacts, own: OwnDevices) -> Judgement:
    """The first rule's answer; the last rule always has one."""
    for rule in RULES:
        judgement = rule(hit, mail, own)
        if judgement is not None:
            return judgement
    raise AssertionError("the last rule answers always")
