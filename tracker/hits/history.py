"""What a hit is in the light of the other hits of its mail: bursts of links, repeats of one view, re-checks.

Pure. A Timeline is fed with a mail's hits in the order in which they were judged and changes their verdicts
in place, also of earlier ones. The judge feeds it what is new after recalling the few stored hits that can
still matter; judging anew feeds it everything from the beginning: both end the same, because every rule looks
at distances in arrival time only, and a repeat never takes part in anything later.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass

from tracker.hits.evidence import MINUTE, SECOND
from tracker.hits.networks import HOSTING, SECURITY, kind_of
from tracker.hits.verdicts import Verdict

PAIR = 2 * SECOND  # two different links less than this apart are no person
TRIPLE = 10 * SECOND  # nor three within this
RECHECK = 15 * SECOND
SAME_VIEW = MINUTE
SAME_VIEW_PROXIED = 10 * SECOND

# How far back and ahead stored hits can matter to a new one.
VIEWS_REACH = SAME_VIEW
CLICKS_REACH = max(PAIR, TRIPLE, RECHECK)

_PERSONS_LINK = (Verdict.HUMAN, Verdict.PROXIED, Verdict.UNKNOWN, Verdict.SCANNER)
_MACHINES = frozenset({"bot", "bare-agent", "proxy-click", "told-machine", "told-source"})
_RECHECKERS = (HOSTING, SECURITY)
_TOLD = frozenset({"told-me", "told-machine"})  # of the hit itself: what repeats it is the same again


@dataclass(slots=True, eq=False)
class Entry:
    """One hit in its mail's history. `copy` is the recipient whose copy it came from, None where shared."""

    uid: str
    at: int
    kind: str  # open | click
    link_id: int
    copy: int | None
    agent_id: int | None
    network: str | None
    network_label: str | None
    verdict: Verdict
    reason: str
    folded_into: str | None = None


_Place = tuple[int, str, Entry]  # sorted by arrival; uids differ, so entries are never compared


def may_recheck(entry: Entry) -> bool:
    """Whether a click comes from where gateways check links again: a data centre, or a security company."""
    return entry.kind == "click" and kind_of(entry.network_label) in _RECHECKERS


def can_repeat(entry: Entry) -> bool:
    """Whether what comes soon after it, looking just the same, is the same view again."""
    return entry.network is not None and (entry.verdict.counts or entry.reason in _TOLD)


def is_evidence(entry: Entry) -> bool:
    """Whether a click says something about the clicks around it: no repeat, not the sender's, no preview."""
    if entry.kind != "click" or entry.reason == "not-tracked":
        return False
    return entry.verdict in _PERSONS_LINK or (entry.verdict is Verdict.BOT and entry.reason in _MACHINES)


class Timeline:
    """The history of one mail, as far as it can matter to what comes next."""

    def __init__(self) -> None:
        self._views: defaultdict[tuple[int, int | None, str], list[_Place]] = defaultdict(list)
        self._clicks: defaultdict[int, list[_Place]] = defaultdict(list)  # evidence, by link
        self._links: defaultdict[int | None, set[int]] = defaultdict(set)  # links clicked, by copy
        self._doubtful: defaultdict[int | None, list[_Place]] = defaultdict(
            list
        )  # clicks that may yet change

    def recall(self, entry: Entry) -> None:
        """Takes in a hit that is judged already, as it stands."""
        if can_repeat(entry) and entry.network is not None:
            insort(self._views[entry.link_id, entry.agent_id, entry.network], (entry.at, entry.uid, entry))
        if is_evidence(entry):
            self._links[entry.copy].add(entry.link_id)
            insort(self._clicks[entry.link_id], (entry.at, entry.uid, entry))
            if entry.verdict in (Verdict.HUMAN, Verdict.UNKNOWN):
                insort(self._doubtful[entry.copy], (entry.at, entry.uid, entry))

    def add(self, entry: Entry) -> list[Entry]:
        """Judges `entry` in the light of what is known, and returns the earlier hits that it changed."""
        if entry.verdict.counts and self._fold(entry):
            return []
        changed: list[Entry] = []
        if is_evidence(entry):
            changed = self._burst(entry)
        self.recall(entry)
        return changed

    def _fold(self, entry: Entry) -> bool:
        """The same view again, or a gateway checking a click once more: a repeat of the hit before."""
        original = self._same_view(entry)
        if original is not None:
            entry.reason = "repeat"
        else:
            original = self._rechecked(entry)
            if original is None:
                return False
            entry.reason = "recheck"
        entry.verdict, entry.folded_into = Verdict.DUPLICATE, original.uid
        return True

    def _same_view(self, entry: Entry) -> Entry | None:
        """The hit with the same token, network and agent within a minute (10 s through a proxy)."""
        if entry.network is None:
            return None
        places = self._views.get((entry.link_id, entry.agent_id, entry.network))
        if not places:
            return None
        reach = SAME_VIEW_PROXIED if entry.verdict is Verdict.PROXIED else SAME_VIEW
        index = bisect_right(places, entry.at, key=_arrival)
        if index and entry.at - places[index - 1][0] <= reach:
            return places[index - 1][2]
        if index < len(places) and places[index][0] - entry.at <= reach:
            return places[index][2]
        return None

    def _rechecked(self, entry: Entry) -> Entry | None:
        """A counted click on the same link up to 15 s before, where this one comes from a data centre."""
        if not may_recheck(entry):
            return None
        places = self._clicks.get(entry.link_id, [])
        for place in reversed(places[: bisect_right(places, entry.at, key=_arrival)]):
            if entry.at - place[0] > RECHECK:
                return None
            if place[2].verdict.counts:
                return place[2]
        return None

    def _burst(self, entry: Entry) -> list[Entry]:
        """Different links too fast for a person: a scan, whatever the addresses; earlier ones too."""
        pair, triple = self._neighbours(entry)
        if not (pair or triple):
            return []
        caught = self._catch(entry, PAIR - 1, entry.link_id) if pair else []
        if triple:
            caught += self._catch(entry, TRIPLE, None)
        if entry.verdict in (Verdict.HUMAN, Verdict.PROXIED, Verdict.UNKNOWN):
            entry.verdict, entry.reason = Verdict.SCANNER, "link-burst"
        return caught

    def _neighbours(self, entry: Entry) -> tuple[bool, bool]:
        """Whether another link was clicked under 2 s away, and whether two others within the same 10 s."""
        pair = False
        before: list[tuple[int, int]] = []  # distance, link
        after: list[tuple[int, int]] = []
        for link_id in self._links.get(entry.copy, ()):
            if link_id == entry.link_id:
                continue
            places = self._clicks[link_id]
            index = bisect_right(places, entry.at, key=_arrival)
            if index and (distance := entry.at - places[index - 1][0]) <= TRIPLE:
                before.append((distance, link_id))
                pair = pair or distance < PAIR
            if index < len(places) and (distance := places[index][0] - entry.at) <= TRIPLE:
                after.append((distance, link_id))
                pair = pair or distance < PAIR
        triple = len(before) > 1 or len(after) > 1
        if not triple:
            triple = any(x + y <= TRIPLE for x, one in before for y, other in after if one != other)
        return pair, triple

    def _catch(self, entry: Entry, reach: int, but_link: int | None) -> list[Entry]:
        """Turns the doubtful clicks of this copy within `reach` into a scan; those of `but_link` stay."""
        places = self._doubtful[entry.copy]
        start = bisect_left(places, entry.at - reach, key=_arrival)
        end = bisect_right(places, entry.at + reach, key=_arrival)
        caught = [place[2] for place in places[start:end] if place[2].link_id != but_link]
        places[start:end] = [place for place in places[start:end] if place[2].link_id == but_link]
        for one in caught:
            if one.verdict.counts and one.network is not None:
                self._views[one.link_id, one.agent_id, one.network].remove((one.at, one.uid, one))
            one.verdict, one.reason = Verdict.SCANNER, "link-burst"
        return caught


def _arrival(place: _Place) -> int:
    return place[0]
