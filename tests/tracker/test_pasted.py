"""A mail pasted into a chat is read as what `track` needs, whatever program and language wrote its header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.tracking import read_draft
from tracker.mail.draft import DraftError
from tracker.mail.pasted import read_pasted

BODY = "\nHello Ana,\nsee https://acme.com/deck, and (https://acme.com/price).\n"
PASTED = {
    "Gmail": "---------- Forwarded message ---------\nFrom: **Alice** <alice@home.example>\n"
    "Date: Mon, Mar 2, 2026 at 10:00 AM\nSubject: Q3 proposal\nTo: Ana Novak <ana@acme.com>\n"
    "Cc: <bob@acme.com>\n\n" + BODY,
    "Outlook": "-----Original Message-----\nFrom: Alice <alice@home.example>\nSent: Monday, March 2, 2026\n"
    "To: Ana Novak <ana@acme.com>; bob@acme.com\nSubject: Q3 proposal\n" + BODY,
    "Outlook, German": "Von: Alice <alice@home.example>\nGesendet: Montag, 2. März 2026 10:00\n"
    "An: Ana Novak <ana@acme.com>; bob@acme.com\nBetreff: WG: Q3 proposal\n" + BODY,
    "Apple Mail": "Begin forwarded message:\n\n> From: Alice <alice@home.example>\n> Subject: Q3 proposal\n"
    "> Date: 2 March 2026 at 10:00:00 GMT\n> To: Ana Novak <ana@acme.com>\n> Cc: bob@acme.com\n> \n" + BODY,
    "French": "De : Alice <alice@home.example>\nEnvoyé : lundi 2 mars 2026 10:00\n"
    "À : Ana Novak <ana@acme.com>\nCc : bob@acme.com\nObjet : TR: Q3 proposal\n" + BODY,
    "Spanish": "De: Alice <alice@home.example>\nEnviado: lunes, 2 de marzo de 2026\n"
    "Para: Ana Novak <ana@acme.com>, bob@acme.com\nAsunto: RV: Q3 proposal\n" + BODY,
    "Italian": "Da: Alice <alice@home.example>\nInviato: lunedì 2 marzo 2026\n"
    "A: Ana Novak <ana@acme.com>; bob@acme.com\nOggetto: I: Q3 proposal\n" + BODY,
    "Outlook on the web": "*From:* Alice <alice@home.example>\n*Sent:* Monday, March 2, 2026\n"
    "*To:* Ana Novak <ana@acme.com>\n*Cc:* bob@acme.com\n*Subject:* Q3 proposal\n" + BODY,
    "Slack's form of addresses": "From: Alice <mailto:alice@home.example|alice@home.example>\nDate: today\n"
    "Subject: Q3 proposal\nTo: Ana Novak <mailto:ana@acme.com|ana@acme.com>, "
    "<mailto:bob@acme.com|bob@acme.com>\n" + BODY.replace("https://acme.com/deck", "<https://acme.com/deck>"),
    "Russian": "От: Alice <alice@home.example>\nДата: 2 марта\nТема: Q3 proposal\n"
    "Кому: Ana Novak <ana@acme.com>\nКопия: bob@acme.com\n" + BODY,
    "folded": "From: alice@home.example\nTo: Ana Novak <ana@acme.com>,\n bob@acme.com\nSubject: Q3 proposal\n"
    + BODY,
}


@pytest.mark.parametrize("name", PASTED)
def test_a_forwarded_mail_is_what_track_needs(name):
    line = read_pasted("fyi\n\n" + PASTED[name])
    assert line is not None
    draft = read_draft(line)
    assert draft.subject == "Q3 proposal"
    assert [one.address for one in draft.recipients] == ["ana@acme.com", "bob@acme.com"]
    assert draft.recipients[0].name == "Ana Novak"
    assert draft.urls == ("https://acme.com/deck", "https://acme.com/price")
    assert "alice@home.example" not in line


@pytest.mark.parametrize(
    "text",
    [
        "ana@acme.com Q3 proposal",
        "To: ana@acme.com\nSubject: Q3\n",
        "Notes\nTo: do\nHello",
        "From: x\nTo: y\n\n\n\nSubject: z\n",
        "",
        "\n" * 1_000,
    ],
)
def test_anything_else_is_left_as_it_is(text):
    assert read_pasted(text) is None


def test_a_subject_with_quotes_and_addresses_stays_a_subject():
    line = read_pasted('From: a@b.example\nTo: ana@acme.com\nSubject: "Big" news of bob@x.example\n\nHi\n')
    assert line is not None
    draft = read_draft(line)
    assert draft.subject == "'Big' news of bob@x.example"
    assert [one.address for one in draft.recipients] == ["ana@acme.com"]


@given(
    st.lists(
        st.sampled_from(["From: a@b.c", "To: x@y.z", "Subject: s", "", " ", "Date: 1", "https://a.b/c"]),
        max_size=9,
    )
)
def test_nothing_breaks_it(lines):
    line = read_pasted("\n".join(lines))
    if line is not None:
        try:
            read_draft(line)
        except DraftError:
            raise AssertionError(line) from None
