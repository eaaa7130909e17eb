"""Counters of mails whose older hits are deleted already (RETENTION_DAYS): what was counted stays counted.

Judging anew sums what is stored; for a mail that is old enough to have lost hits, what the counters hold
beyond that is added again, and its events keep their numbers. Called by tracker/hits/rescore.py. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tracker.hits.cases import Case, Docket, Mail
from tracker.hits.counting import Sum, Tally
from tracker.hits.verdicts import Verdict

_COUNTS = (Verdict.HUMAN, Verdict.PROXIED)
_Group = tuple[int | None, str]  # recipient (None: the mail), kind


@dataclass
class Swept:
    """What the counters say beyond the hits that are still there."""

    sums: dict[_Group, Sum] = field(default_factory=dict)
    tokens: dict[int, tuple[int, int]] = field(default_factory=dict)  # hits, counted
    loaded_at: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, docket: Docket, mail: Mail) -> Swept:
        """Compares the counters, as read, with the stored verdicts of all the mail's hits."""
        made = cls()
        totals: Counter[_Group] = Counter()
        counted: Counter[_Group] = Counter()
        of_token: Counter[int] = Counter()
        counted_of_token: Counter[int] = Counter()
        for case in docket.cases:
            did_count = case.stored is not None and case.stored.verdict in _COUNTS
            of_token[case.token.id] += 1
            counted_of_token[case.token.id] += did_count
            for copy in {None, case.entry.copy}:
                totals[copy, case.entry.kind] += 1
                counted[copy, case.entry.kind] += did_count
        for number, tally in _tallies(docket, mail):
            for kind in ("open", "click"):
                old = tally.of(kind)
                count = max(0, old.count - counted[number, kind])
                total = max(0, old.total - totals[number, kind])
                if count or total:
                    made.sums[number, kind] = Sum(count, total, old.first, old.last)
        for token in docket.tokens.values():
            hits = max(0, token.hits - of_token[token.id])
            count = max(0, token.counted - counted_of_token[token.id])
            if hits or count:
                made.tokens[token.id] = hits, count
        made.loaded_at = {
            one.id: one.loaded_at for one in docket.persons.values() if one.loaded_at is not None
        }
        return made

    def add_again(self, docket: Docket, mail: Mail) -> None:
        """After everything stored was counted anew."""
        for number, tally in _tallies(docket, mail):
            for kind in ("open", "click"):
                gone = self.sums.get((number, kind))
                if gone is not None:
                    _join(tally.of(kind), gone)
        for case in docket.cases:
            self._renumber(case)
        for number, (hits, count) in self.tokens.items():
            docket.tokens[number].more_hits += hits
            docket.tokens[number].more_counted += count
        for person in docket.persons.values():
            before = self.loaded_at.get(person.id)
            if before is not None:
                person.loaded_at = before if person.loaded_at is None else min(before, person.loaded_at)

    def _renumber(self, case: Case) -> None:
        gone = self.sums.get((case.entry.copy, case.entry.kind))
        if case.ordinal is not None and gone is not None:
            case.ordinal += gone.count
        if case.nth_of_link is not None:
            case.nth_of_link += self.tokens.get(case.token.id, (0, 0))[1]


def _tallies(docket: Docket, mail: Mail) -> list[tuple[int | None, Tally]]:
    return [(None, mail.tally), *((one.id, one.tally) for one in docket.persons.values())]


def _join(stored: Sum, gone: Sum) -> None:
    stored.total += gone.total
    if gone.count:
        stored.count += gone.count
        stored.first = gone.first if stored.first is None else min(stored.first, gone.first or stored.first)
        stored.last = gone.last if stored.last is None else stored.last
