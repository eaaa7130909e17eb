import itertools
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracker.hits.evidence import SECOND
from tracker.hits.history import Entry, Timeline
from tracker.hits.verdicts import Verdict

_uids = itertools.count()


def click(seconds: float, link: int = 1, **more: Any) -> Entry:
    values: dict[str, Any] = {
        "uid": str(next(_uids)), "at": round(seconds * SECOND), "kind": "click", "link_id": link,
        "copy": 1, "agent_id": 1, "network": "203.0.113.0/24", "network_label": None,
        "verdict": Verdict.HUMAN, "reason": "browser",
    }  # fmt: skip
    return Entry(**{**values, **more})


def fed(*entries: Entry) -> list[str]:
    timeline = Timeline()
    for entry in entries:
        timeline.add(entry)
    return [str(entry.verdict) for entry in entries]


def test_two_links_turn_the_earlier_click_into_a_scan_too():
    timeline, first, second = Timeline(), click(0, 1), click(1.9, 2)
    assert timeline.add(first) == []
    assert timeline.add(second) == [first]
    assert (first.verdict, first.reason) == (Verdict.SCANNER, "link-burst")


def test_links_of_two_recipients_copies_are_no_burst():
    assert fed(click(0, 1, copy=1), click(0.1, 2, copy=2)) == ["human", "human"]


def test_links_of_a_shared_copy_are_a_burst():
    assert fed(click(0, 1, copy=None), click(0.1, 2, copy=None)) == ["scanner", "scanner"]


def test_a_repeat_is_no_evidence_of_a_burst():
    # The repeat at 30 s is a second from the other link, but its own click was long before.
    assert fed(click(0, 1), click(30, 1), click(31, 2)) == ["human", "duplicate", "human"]


def test_a_person_who_comes_back_after_a_scan_is_not_a_repeat_of_the_scan():
    assert fed(click(0, 1), click(1, 2), click(40, 1))[-1] == "human"


def test_a_named_scanner_keeps_its_own_reason_in_a_burst():
    gateway = click(0, 1, verdict=Verdict.SCANNER, reason="gateway")
    fed(gateway, click(1, 2))
    assert gateway.reason == "gateway"


def test_a_late_hit_finds_its_burst_on_both_sides():
    assert fed(click(0, 1), click(9, 3), click(5, 2)) == ["scanner"] * 3
    assert fed(click(0, 1), click(18, 3), click(9, 2)) == ["human"] * 3


def test_a_late_view_is_a_repeat_of_the_one_that_was_judged_first():
    first, late = click(50), click(0)
    assert fed(first, late) == ["human", "duplicate"]
    assert late.folded_into == first.uid


def test_a_hit_without_a_network_is_never_taken_for_a_repeat():
    assert fed(click(0, network=None), click(1, network=None)) == ["human", "human"]


def test_a_burst_that_never_ends_costs_no_more_for_each_click():
    timeline = Timeline()
    started = time.perf_counter()
    for number in range(20_000):
        timeline.add(click(number / 3000, number % 2, network=f"10.{number % 250}.{number // 250}.0/24"))
    assert time.perf_counter() - started < 5


entries = st.lists(
    st.builds(
        click,
        st.floats(0, 100).map(lambda seconds: round(seconds, 3)),
        st.integers(1, 4),
        copy=st.just(1),
        network=st.sampled_from(["203.0.113.0/24", "198.51.100.0/24", None]),
        network_label=st.sampled_from([None, "hosting"]),
        verdict=st.sampled_from(
            [Verdict.HUMAN, Verdict.HUMAN, Verdict.UNKNOWN, Verdict.SENDER, Verdict.PREFETCH]
        ),
    ),
    max_size=25,
)


@given(entries)
def test_whatever_comes_in_whatever_order_the_rules_hold(every: list[Entry]):
    before = {entry.uid: entry.verdict for entry in every}
    fed(*every)
    counted = [entry for entry in every if entry.verdict.counts]
    for one in every:
        assert one.verdict in (before[one.uid], Verdict.DUPLICATE, Verdict.SCANNER)
        if before[one.uid] in (Verdict.SENDER, Verdict.PREFETCH):
            assert one.verdict is before[one.uid]
        assert (one.folded_into is not None) == (one.verdict is Verdict.DUPLICATE)
    for one in counted:
        for other in counted:
            if one.link_id != other.link_id:
                assert abs(one.at - other.at) >= 2 * SECOND
            elif one is not other and one.network is not None and one.network == other.network:
                assert abs(one.at - other.at) > 60 * SECOND
