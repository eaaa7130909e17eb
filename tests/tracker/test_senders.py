"""Which addresses a From header names, read so that nobody reads another one there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.sending.senders import address_fault, from_addresses

A, B = "alice@home.example", "bob@home.example"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (A, [A]),
        (f"<{A}>", [A]),
        (f"Alice <{A}>", [A]),
        (f"=?utf-8?q?Al=C3=ADce?= <{A}>", [A]),
        (f'"Smith, Alice" <{A}>', [A]),
        (f"Smith, Alice <{A}>", [A]),
        (f'"{B}" <{A}>', [A]),
        (f'"a \\" <{B}>, " <{A}>', [A]),
        (f"{A} (Alice, at home)", [A]),
        (f"Alice <{A}>, Bob <{B}>", [A, B]),
        (f"{B} <{A}>", [A, B]),
        ("jürgen@bücher.example", ["jürgen@bücher.example"]),
    ],
)
def test_what_mail_programs_write_is_read(value: str, found: list[str]):
    assert from_addresses(value) == found


@pytest.mark.parametrize(
    "value", ["", "Alice", "<>", f"<{A}> <{B}>", f'"Alice <{A}>', f"<{A}", f"({A}", "undisclosed:;", f"{A}>"]
)
def test_what_programs_could_read_differently_names_nobody(value: str):
    found = from_addresses(value)
    assert found is None or A not in found


@pytest.mark.parametrize("piece", ['"\\', "(", "<", '("<'])
def test_thousands_of_brackets_that_nobody_closes_are_refused_at_the_first(piece: str):
    assert from_addresses(piece * 20_000 + A) is None


@given(st.text(alphabet='ab@.<>()",:;\\ \t', max_size=40))
def test_whatever_stands_there_is_read_or_is_not(value: str):
    found = from_addresses(value)
    assert found is None or found


@given(st.text(max_size=60), st.booleans())
def test_an_address_that_is_taken_has_one_at_and_nothing_odd(value: str, utf8: bool):
    if address_fault(value, utf8=utf8) is None:
        assert value.count("@") == 1
        assert not set(value) & set(' <>()[]"\\,;:%!\t\r\n\0')
        assert utf8 or value.isascii()


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u3000"])
def test_no_recipient_has_a_space_of_any_kind_that_the_provider_would_not_be_told(space: str):
    assert address_fault(f"{space}ana@acme.com", utf8=True) is not None
