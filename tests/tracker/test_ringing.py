import pytest

from tracker.hits.evidence import DAY, HOUR
from tracker.hits.ringing import Call, Occasion, call, correction, policy
from tracker.hits.verdicts import Verdict

NOW = 100 * DAY


def occasion(
    kind: str = "open", ordinal: int = 2, before: int | None = NOW - HOUR, opens: tuple[int, ...] = ()
):
    return Occasion(kind, NOW, ordinal, before, opens)


@pytest.mark.parametrize(
    ("mail", "person", "account", "expected"),
    [
        (None, None, "all", "all"),
        (None, None, None, "all"),
        (None, "first", "all", "first"),
        ("none", "first", "all", "none"),
        ("", "", "important", "important"),
        ("sometimes", None, "none", "all"),
    ],
)
def test_the_nearest_policy_wins(mail, person, account, expected):
    assert policy(mail, person, account) == expected


@pytest.mark.parametrize(
    ("setting", "what", "expected"),
    [
        ("all", occasion(), Call("open")),
        ("all", occasion("click", 7), Call("click")),
        ("none", occasion(ordinal=1), None),
        ("first", occasion(ordinal=1), Call("open")),
        ("first", occasion("click", 1), Call("click")),
        ("first", occasion(), None),
        ("important", occasion(ordinal=1), Call("open")),
        ("important", occasion("click", 1), Call("click")),
        ("important", occasion("click", 2), None),
        ("important", occasion(), None),
        ("important", occasion(ordinal=3, opens=(NOW - 2 * HOUR, NOW - HOUR)), Call("hot", opens=3)),
        ("important", occasion(ordinal=3, opens=(NOW - 25 * HOUR, NOW - HOUR)), None),
        ("important", occasion(ordinal=4, opens=(NOW - 3, NOW - 2, NOW - 1)), None),
        ("important", occasion(ordinal=4, opens=(NOW - 30 * HOUR, NOW - 20 * HOUR, NOW - 10 * HOUR)), None),
        ("important", occasion(opens=(NOW - 47 * HOUR, NOW - 2 * HOUR, NOW - 1)), Call("hot", opens=3)),
        ("all", occasion(ordinal=3, opens=(NOW - 2 * HOUR, NOW - HOUR)), Call("open", hot=True)),
        ("all", occasion(ordinal=4, opens=(NOW - 3, NOW - 2, NOW - 1)), Call("open")),
        ("all", occasion(before=NOW - 20 * DAY), Call("open", silent_days=20)),
        ("important", occasion(before=NOW - 14 * DAY), Call("revived", silent_days=14)),
        ("important", occasion("click", 5, NOW - 30 * DAY), Call("revived", silent_days=30)),
        ("important", occasion(before=NOW - 14 * DAY + 1), None),
        ("important", occasion(before=None), None),
    ],
)
def test_each_policy_rings_what_it_promises(setting, what, expected):
    assert call(setting, what) == expected


@pytest.mark.parametrize("verdict", [one for one in Verdict if not one.counts])
def test_a_correction_names_the_mail_and_says_who_it_was_not(verdict):
    text = correction("Q3 {who}", "ana@acme.com", verdict)
    assert text.startswith("Correction, “Q3 {who}”: ")
    assert "ana@acme.com" in text
