import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands import COMMANDS
from bot.commands.tracking import read_draft
from bot.forms import check_answers, command_line, form_of
from tracker.mail.draft import DraftError


def test_the_form_of_track_asks_for_people_subject_and_links():
    assert [one.name for one in form_of("track")] == ["recipients", "subject", "links"]
    assert [one.required for one in form_of("track")] == [True, False, False]


def test_what_has_no_questions_has_no_form():
    assert form_of("list") == ()
    assert form_of("nonsense") == ()


def test_a_filled_form_is_the_command_somebody_would_have_typed():
    answers = {
        "recipients": "ana@acme.com",
        "subject": "Q3 proposal",
        "links": "https://a.b/c\nhttps://a.b/d",
    }
    assert command_line("track", answers) == "track ana@acme.com Q3 proposal https://a.b/c https://a.b/d"


def test_what_was_left_out_falls_out():
    assert command_line("track", {"recipients": "ana@acme.com", "subject": "-"}) == "track ana@acme.com"
    assert command_line("track", {}) == "track"


def test_a_subject_that_looks_like_something_else_is_quoted():
    line = command_line("track", {"recipients": "ana@acme.com", "subject": 'about "bob@acme.com"'})
    draft = read_draft(line.removeprefix("track "))
    assert draft.subject == "about 'bob@acme.com'"
    assert [one.address for one in draft.recipients] == ["ana@acme.com"]


def test_a_quoted_name_before_an_address_is_no_subject():
    draft = read_draft('"Ana @ Acme" <ana@acme.com> Hi')
    assert [one.address for one in draft.recipients] == ["ana@acme.com"]


def test_a_wrong_form_says_what_to_type_beside_each_question():
    wrong = check_answers("track", {"recipients": "Ana", "subject": "x", "links": "see below"})
    assert set(wrong) == {"recipients", "links"}
    assert "ana@acme.com" in wrong["recipients"]
    assert check_answers("track", {"recipients": "ana@acme.com"}) == {}
    assert set(check_answers("track", {})) == {"recipients"}


@given(subject=st.text(max_size=100))
def test_whatever_the_subject_says_the_recipient_stays_the_only_one(subject: str):
    line = command_line("track", {"recipients": "ana@acme.com", "subject": subject})
    try:
        draft = read_draft(line.removeprefix("track "))
    except DraftError:
        return
    assert [one.address for one in draft.recipients] == ["ana@acme.com"]


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.form], ids=lambda one: one.verb)
def test_questions_fit_into_every_chats_form(command):
    for question in command.form:
        assert 0 < len(question.label) <= 150
        assert len(question.hint) <= 150
        assert question.name.isidentifier()
        assert len(question.name) <= 16
