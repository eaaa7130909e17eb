"""What an account said of its own hits, as the rules need it: "that was me", "not a person".

Pure. The hit itself is always as it was told. A device (address and program together) that somebody said is
theirs is theirs until a day after they said it; what was told to be no person stands for the same device, and
for the same program in the same network, for good. What many people share, a provider's image proxy or a
relay, never stands for anything but the one hit. Told with tracker/hits/teaching.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tracker.hits.agents import Agent
from tracker.hits.networks import RELAY, kind_of
from tracker.hits.rules import OWN_DEVICE, SHARED

ME, MACHINE = "me", "machine"  # Taught.answer

# What HitFacts.told says, and then the reason code of the verdict.
THIS = {ME: "told-me", MACHINE: "told-machine"}
LIKE_IT = {ME: "told-device", MACHINE: "told-source"}


@dataclass(frozen=True, slots=True)
class Lesson:
    """One row of the table `taught`, without what only people read. Moments in microseconds."""

    uid: str
    answer: str
    device: str | None
    network: str | None
    agent_id: int | None
    at: int


def is_shared(agent: Agent, label: str | None) -> bool:
    """Whether many people's requests look alike: the address says nothing of a person."""
    return agent.kind in SHARED or kind_of(label) == RELAY


@dataclass(slots=True)
class Lessons:
    """Everything that one account taught, ready to be asked."""

    hits: dict[str, str] = field(default_factory=dict)
    devices: dict[str, Lesson] = field(default_factory=dict)
    sources: set[tuple[str, int | None]] = field(default_factory=set)  # network and program: machines

    @classmethod
    def of(cls, lessons: Iterable[Lesson]) -> Lessons:
        """Of two that speak of one device, the later one holds."""
        made = cls()
        for one in sorted(lessons, key=lambda one: (one.at, one.uid)):
            made.hits[one.uid] = one.answer
            if one.device is not None:
                made.devices[one.device] = one
            if one.network is not None and one.answer == MACHINE:
                made.sources.add((one.network, one.agent_id))
        return made

    def told(
        self,
        uid: str,
        at: int,
        device: str | None,
        network: str | None,
        agent_id: int | None,
        *,
        shared: bool,
    ) -> str | None:
        """What was said of this hit, or of one like it: a reason code; None for nothing."""
        if answer := self.hits.get(uid):
            return THIS[answer]
        if shared:
            return None
        lesson = self.devices.get(device) if device is not None else None
        if lesson is not None and (lesson.answer == MACHINE or at <= lesson.at + OWN_DEVICE):
            return LIKE_IT[lesson.answer]
        if network is not None and (network, agent_id) in self.sources:
            return LIKE_IT[MACHINE]
        return None


NOTHING = Lessons()
