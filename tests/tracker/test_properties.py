"""Whatever is requested, in whatever order: sums hold, a click opens, judging again changes nothing."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models import Link, Message, Recipient
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL, SAFARI
from tracker.hits.agents import agent_of
from tracker.hits.cases import Case, Docket, Mail, Person, Token
from tracker.hits.classify import classify
from tracker.hits.counting import Tally
from tracker.hits.evidence import MINUTE, SECOND, HitFacts, MailFacts
from tracker.hits.history import Entry
from tracker.hits.past import Past
from tracker.hits.reasons import SENTENCES
from tracker.hits.sitting import Sitting, apply_history, count_new
from tracker.hits.taught import LIKE_IT, THIS
from tracker.hits.verdicts import Verdict
from tracker.insights.snapshot import Snapshot

AGENTS = (
    GMAIL,
    APPLE,
    CHROME,
    SAFARI,
    "curl/8.5.0",
    "Slackbot-LinkExpanding 1.0",
    "Barracuda Sentinel (EE)",
    None,
)
LABELS = (None, "hosting/AWS", "mail-filter/Microsoft", "security/Barracuda", "relay/Apple")

requests = st.lists(
    st.fixed_dictionaries(
        {
            "mail": st.integers(1, 2),
            "copy": st.integers(1, 2),
            "link": st.integers(0, 3),  # 0: the pixel
            "wait": st.sampled_from((0, 1, 900_000, 5 * SECOND, 12 * SECOND, MINUTE, 50 * MINUTE)),
            "agent": st.integers(0, len(AGENTS) - 1),
            "network": st.sampled_from(("10.0.0.0/24", "10.0.1.0/24", None)),
            "label": st.sampled_from(LABELS),
            "method": st.sampled_from(("GET", "GET", "GET", "HEAD")),
            "purpose": st.sampled_from((None, None, "prefetch")),
            "told": st.sampled_from((None, None, None, *THIS.values(), *LIKE_IT.values())),
        }
    ),
    max_size=30,
)

# One reader's copy, so often that hits repeat each other and links come in bursts.
busy = st.lists(
    st.fixed_dictionaries(
        {
            "mail": st.just(1),
            "copy": st.just(1),
            "link": st.integers(0, 3),
            "wait": st.sampled_from((0, 900_000, 3 * SECOND, 5 * SECOND, 12 * SECOND)),
            "agent": st.sampled_from((AGENTS.index(GMAIL), AGENTS.index(CHROME), AGENTS.index(None))),
            "network": st.sampled_from(("10.0.0.0/24", "10.0.0.0/24", "10.0.1.0/24")),
            "label": st.sampled_from((None, None, "hosting/AWS")),
            "method": st.just("GET"),
            "purpose": st.none(),
            "told": st.sampled_from((None, None, None, None, *THIS.values())),
        }
    ),
    min_size=2,
    max_size=12,
)


def docket_of(asked: list[dict[str, Any]]) -> Docket:
    """Two mails with two recipients each, armed since the beginning."""
    docket = Docket()
    for number in (1, 2):
        facts = MailFacts("send", "full", 0, 0, armed_at=0, handed_over_at=0)
        none = (None, None)
        docket.mails[number] = Mail(number, 0, 1, "send", "Q3", facts, Tally(), none, none, 0)
        for copy in (1, 2):
            mail = docket.mails[number]
            person = Person(10 * number + copy, mail, f"ana{copy}@acme.com", Tally(), None, none, facts)
            docket.persons[person.id] = person
            for link in range(4):
                docket.tokens[100 * number + 10 * copy + link] = Token(
                    100 * number + 10 * copy + link, "", 0, 0
                )
    at = SECOND
    for number, one in enumerate(asked):
        at += one["wait"]
        docket.cases.append(_case(docket, number, at, one))
    return docket


def _case(docket: Docket, number: int, at: int, one: dict[str, Any]) -> Case:
    mail = docket.mails[one["mail"]]
    person = docket.persons[10 * mail.id + one["copy"]]
    token = docket.tokens[100 * mail.id + 10 * one["copy"] + one["link"]]
    kind = "click" if one["link"] else "open"
    facts = HitFacts(
        f"{number:032x}", at, kind, one["method"], one["purpose"], agent_of(AGENTS[one["agent"]]),
        one["network"], one["label"], None, None, one["told"],
    )  # fmt: skip
    judgement = classify(facts, mail.facts, {})
    entry = Entry(
        facts.uid, at, kind, token.id, person.id, one["agent"], one["network"], one["label"],
        judgement.verdict, judgement.reason,
    )  # fmt: skip
    return Case(number, mail, person, token, entry, judgement, None)


def judged(asked: list[dict[str, Any]]) -> Sitting:
    sitting = apply_history(docket_of(asked), {})
    count_new(sitting)
    return sitting


def outcome(sitting: Sitting) -> dict[str, tuple[Any, ...]]:
    return {
        case.entry.uid: (case.entry.verdict, case.entry.reason, case.entry.folded_into, case.ordinal)
        for case in sitting.docket.cases
    }


@settings(max_examples=300, deadline=None)
@given(st.one_of(requests, busy))
def test_the_total_is_the_sum_of_the_classes_and_what_counts_is_part_of_it(asked: list[dict[str, Any]]):
    docket = judged(asked).docket
    for group, cases in (
        *((mail, [c for c in docket.cases if c.mail is mail]) for mail in docket.mails.values()),
        *((one, [c for c in docket.cases if c.person is one]) for one in docket.persons.values()),
    ):
        for kind in ("open", "click"):
            classes = Counter(case.entry.verdict for case in cases if case.entry.kind == kind)
            sums = group.tally.of(kind)
            assert sums.total == sum(classes.values())
            assert sums.count == classes[Verdict.HUMAN] + classes[Verdict.PROXIED] <= sums.total
            assert (sums.first is None) == (sums.last is None) == (sums.count == 0)


@settings(max_examples=200, deadline=None)
@given(st.one_of(requests, busy))
def test_every_hit_has_a_reason_with_a_sentence_and_a_repeat_names_its_original(asked: list[dict[str, Any]]):
    docket = judged(asked).docket
    by_uid = {case.entry.uid: case.entry for case in docket.cases}
    for case in docket.cases:
        assert case.entry.reason in SENTENCES
        assert (case.ordinal is not None) == case.counts
        if case.entry.verdict is Verdict.DUPLICATE:
            assert by_uid[case.entry.folded_into or ""].link_id == case.entry.link_id


@settings(max_examples=200, deadline=None)
@given(requests)
def test_which_of_two_mails_is_judged_first_does_not_matter(asked: list[dict[str, Any]]):
    whole = judged(asked)
    apart: dict[str, tuple[Any, ...]] = {}
    for mail in (2, 1):
        docket = docket_of(asked)
        docket.cases = [case for case in docket.cases if case.mail.id == mail]
        sitting = apply_history(docket, {})
        count_new(sitting)
        apart.update(outcome(sitting))
    assert apart == outcome(whole)


@settings(max_examples=300, deadline=None)
@given(busy, st.lists(st.integers(1, 11), min_size=1, max_size=4))
def test_what_is_judged_as_it_comes_ends_as_when_all_is_judged_again(
    asked: list[dict[str, Any]], cuts: list[int]
):
    """A replay changes nothing, wherever the judge's batches ended."""
    docket = docket_of(asked)
    cases = docket.cases
    for start, end in pairwise(sorted({0, len(cases), *(min(cut, len(cases)) for cut in cuts)})):
        docket.cases = cases[start:end]
        past = {
            mail: [Past(case.id, mail, case.entry) for case in cases[:start] if case.mail.id == mail]
            for mail in docket.mails
        }
        apply_history(docket, past)
    came = {case.entry.uid: (case.entry.verdict, case.entry.reason, case.entry.folded_into) for case in cases}
    assert came == {uid: tuple(verdict) for uid, (*verdict, _) in outcome(judged(asked)).items()}


@given(st.integers(0, 3), st.integers(0, 3))
def test_a_click_implies_opened_wherever_it_is_shown(opens: int, clicks: int):
    from bot.render import card

    now = Clock()()
    message = Message(
        id=1, account_id=1, code="k7m2qx", subject="Q3", origin="compose", created_at=now, arms_at=now,
        armed_at=now, opens=opens, clicks=clicks, mode="full",
    )  # fmt: skip
    person = Recipient(id=1, message_id=1, address="ana@acme.com", opens=opens, clicks=clicks)
    pixel = Link(id=1, token="t" * 22, kind="open", message_id=1, recipient_id=1, created_at=now)
    row = card(Snapshot(message, (person,), (pixel,)), now).lines[0]
    assert ("opened" in row) == bool(opens or clicks)
    assert ("no open seen" in row) == (not opens and not clicks)
    assert (f"opened ×{opens}" in row) == bool(opens)
