"""One sitting of the judge over a batch: history applied, hits counted and numbered. Pure.

It takes cases fresh from the database, each judged by itself; what it leaves in them and in their mails is
what tracker/hits/writing.py writes. Called by the judge with new hits, by rescore with all hits of a mail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tracker.hits.cases import Case, Docket, Mail
from tracker.hits.history import Timeline
from tracker.hits.past import Counted, Past
from tracker.hits.verdicts import Verdict


@dataclass(slots=True)
class Sitting:
    docket: Docket
    overturned: list[Past] = field(default_factory=list)  # stored hits that turned out to be a scan
    were_counted: list[Past] = field(default_factory=list)  # those of them that had counted
    unsettled: set[int] = field(default_factory=set)  # mails whose hits must be numbered anew
    renumbered: list[tuple[int, int, str]] = field(default_factory=list)  # ordinal, hit id, uid
    before: dict[str, int | None] = field(default_factory=dict)  # uid → its recipient's event before
    clicked: dict[int, int | None] = field(default_factory=dict)  # recipient → the last click before all this

    @property
    def counted(self) -> list[Case]:
        """The cases that count, by arrival."""
        return sorted((case for case in self.docket.cases if case.counts), key=_arrival)


def _arrival(case: Case) -> int:
    return case.entry.at


def apply_history(docket: Docket, past: Mapping[int, Sequence[Past]]) -> Sitting:
    """Feeds each mail's timeline; verdicts of the cases change in place.

    A hit that is the only one of its mail, with nothing before it that matters, is what it is.
    """
    sitting = Sitting(docket)
    timelines: dict[int, Timeline] = {}
    stored: dict[str, Past] = {}
    had_counted: set[str] = set()
    for mail_id, ones in past.items():
        timeline = timelines[mail_id] = Timeline()
        for one in ones:
            timeline.recall(one.entry)
            stored[one.entry.uid] = one
            if one.entry.verdict.counts:
                had_counted.add(one.entry.uid)
    of_mail = Counter(case.mail.id for case in docket.cases)
    for case in docket.cases:
        if case.mail.id not in timelines:
            if of_mail[case.mail.id] == 1:
                continue
            timelines[case.mail.id] = Timeline()
        timeline = timelines[case.mail.id]
        for changed in timeline.add(case.entry):
            earlier = stored.get(changed.uid)
            if earlier is not None:
                sitting.overturned.append(earlier)
                if changed.uid in had_counted:
                    sitting.were_counted.append(earlier)
    return sitting


def count_new(sitting: Sitting) -> None:
    """Adds the new hits to the counters of mail, recipient and token, and numbers those that count.

    A hit that arrived before one that is counted already, and a counted one that was overturned, leave their
    mail unsettled: `number_anew` has to put it right.
    """
    sitting.clicked = {one.id: one.tally.clicks.last for one in sitting.docket.persons.values()}
    for case in sitting.docket.cases:
        kind = case.entry.kind
        case.mail.tally.of(kind).total += 1
        if case.person is not None:
            case.person.tally.of(kind).total += 1
            _note_load(case)
        case.token.more_hits += 1
    for case in sitting.counted:
        kind, at, group = case.entry.kind, case.entry.at, case.group
        sums, last = group.of(kind), group.last
        sitting.before[case.entry.uid] = last if last is None or last <= at else None
        if sums.last is not None and at < sums.last:
            sitting.unsettled.add(case.mail.id)
        case.mail.tally.of(kind).add(at)
        if case.person is not None:
            case.person.tally.of(kind).add(at)
        case.token.more_counted += 1
        case.ordinal = sums.count
        case.nth_of_link = case.token.counted + case.token.more_counted
    sitting.unsettled.update(one.message_id for one in sitting.were_counted)


def _note_load(case: Case) -> None:
    """When Apple Mail loaded the recipient's copy first."""
    person = case.person
    if person is not None and case.entry.verdict is Verdict.PRIVACY:
        loaded = person.loaded_at
        person.loaded_at = case.entry.at if loaded is None else min(loaded, case.entry.at)


def number_anew(sitting: Sitting, mail: Mail, stored: Iterable[Counted]) -> None:
    """Counts and numbers a mail from all its counted hits: `stored` ones but the overturned, and new ones.

    Ordinals follow arrival. Sums of recipients that have no case here cannot have changed.
    """
    overturned = {one.entry.uid for one in sitting.were_counted}
    known: list[Counted] = [one for one in stored if one.uid not in overturned]
    new = {case.entry.uid: case for case in sitting.docket.cases if case.mail is mail and case.counts}
    every = sorted(
        [*known, *(_as_counted(case) for case in new.values())],
        key=lambda one: (one.at, one.uid),
    )
    numbers: defaultdict[tuple[int | None, str], int] = defaultdict(int)
    of_link: defaultdict[int, int] = defaultdict(int)
    of_mail: defaultdict[str, int] = defaultdict(int)
    for one in every:
        of_mail[one.kind] += 1
        numbers[one.recipient_id, one.kind] += 1
        of_link[one.link_id] += 1
        shared = one.recipient_id is None
        ordinal = of_mail[one.kind] if shared else numbers[one.recipient_id, one.kind]
        case = new.get(one.uid)
        if case is not None:
            case.ordinal, case.nth_of_link = ordinal, of_link[one.link_id]
        elif ordinal != one.ordinal:
            sitting.renumbered.append((ordinal, one.id, one.uid))
    _sum_anew(sitting, mail, every)


def _sum_anew(sitting: Sitting, mail: Mail, every: Sequence[Counted]) -> None:
    for kind in ("open", "click"):
        mail.tally.of(kind).recount(one.at for one in every if one.kind == kind)
    by_person: defaultdict[tuple[int | None, str], list[int]] = defaultdict(list)
    for one in every:
        by_person[one.recipient_id, one.kind].append(one.at)
    for person in sitting.docket.persons.values():
        if person.mail is mail:
            for kind in ("open", "click"):
                person.tally.of(kind).recount(by_person[person.id, kind])


def _as_counted(case: Case) -> Counted:
    entry = case.entry
    return Counted(case.id, entry.uid, entry.at, entry.kind, entry.link_id, case.mail.id, entry.copy, 0)
