"""Where headers and parts stand in a mail's bytes, with the standard library as the oracle."""

from __future__ import annotations

import email
from collections.abc import Iterator
from email.message import Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.mail.structure import LimitError, Part, locate


def view(part: Part, raw: bytes) -> Iterator[tuple[object, ...]]:
    for one in part.walk():
        headers = [(header.name, header.value.decode("latin-1").lstrip(" \t")) for header in one.headers]
        body = None if one.children else raw[one.body : one.end]
        yield one.type, headers, body


def oracle(raw: bytes) -> Iterator[tuple[object, ...]]:
    def walk(message: Message) -> Iterator[tuple[object, ...]]:
        headers = [(name.lower(), str(value)) for name, value in message.raw_items()]
        body = None
        if not message.is_multipart():
            payload = message.get_payload()
            assert isinstance(payload, str)
            body = payload.encode("ascii", "surrogateescape")
        yield message.get_content_type(), headers, body
        if message.is_multipart():
            for child in message.get_payload():
                assert isinstance(child, Message)
                yield from walk(child)

    return walk(email.message_from_bytes(raw))


NESTED = (
    b"From: a@acme.com\r\nSubject: folded\r\n\tline\r\n"
    b'Content-Type: multipart/mixed;\r\n boundary="out er"\r\n'
    b"\r\npreamble\r\n"
    b"--out er\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n"
    b'--in\r\n\r\nplain\r\n\r\n--in  \r\nContent-Type: TEXT/HTML; charset="utf-8"\r\n'
    b"Content-Transfer-Encoding: Quoted-Printable\r\n\r\n"
    b"<b>--in</b>\r\n--inner is no boundary\r\n--in--\r\nepilogue\r\n"
    b"--out er\r\nContent-Type: message/rfc822\r\n\r\nSubject: within\r\n\r\ntext\r\n"
    b"--out er\r\nContent-Type: application/pdf; name=a.pdf\r\n"
    b"Content-Disposition: attachment\r\n"
    b"\r\nJVBERi0\r\n"
    b"--out er--\r\nepilogue\r\n"
)


def test_parts_and_headers_stand_where_the_standard_library_sees_them():
    assert list(view(locate(NESTED), NESTED)) == list(oracle(NESTED))


def test_offsets_cut_out_the_part():
    html = next(part for part in locate(NESTED).walk() if part.type == "text/html")
    assert NESTED[html.body : html.end] == b"<b>--in</b>\r\n--inner is no boundary"
    assert (html.encoding, html.parameters, html.attached) == (
        "quoted-printable",
        {"charset": "utf-8"},
        False,
    )
    assert [part.attached for part in locate(NESTED).walk()] == [False] * 6 + [True]
    assert all(part.defect == "" for part in locate(NESTED).walk())


def test_line_feeds_alone_are_read_as_well():
    raw = NESTED.replace(b"\r\n", b"\n")
    assert list(view(locate(raw), raw)) == list(oracle(raw))


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: multipart/mixed\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\nnone",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nnot closed",
        b"Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n--b\r\n\r\n\r\n--b--",
        b"Content-Type: multipart/mixed (comment); boundary=b\r\n\r\n--b\r\n\r\n\r\n--b--",
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain\r\n\r\n--b\r\n\r\n--b--",
        b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=b\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n--b\r\n\r\n\r\n--b--",
        b"Subject: x\r\nno header\r\n\r\nx",
        b": empty\r\n\r\nx",
        b"Sub ject: x\r\n\r\nx",
        b"Subject: never ends",
        b"From alice Mon Feb 2\r\nSubject: x\r\n\r\nx",
    ],
)
def test_what_could_be_read_in_two_ways_is_marked(head: bytes):
    assert locate(head).defect


LINES = st.sampled_from(
    [
        b"--a",
        b"--a--",
        b"--b",
        b"--b--",
        b"",
        b"",
        b"text",
        b"Content-Type: multipart/mixed; boundary=a",
        b"--a ",
        b'Content-Type: multipart/alternative; boundary="b"',
        b"Content-Type: text/html",
        b" folded",
        b"X: y",
        b"--ab",
        b"Content-Type: message/rfc822",
        b"Content-Type: multipart/digest; boundary=b",
    ]
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(LINES, max_size=24), st.booleans())
def test_unmarked_structures_are_those_of_the_standard_library(lines: list[bytes], multipart: bool):
    head = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" if multipart else b""
    raw = head + b"".join(line + b"\r\n" for line in lines)
    try:
        mail = locate(raw)
    except LimitError:
        return
    if not any(part.defect for part in mail.walk()):
        assert list(view(mail, raw)) == list(oracle(raw))


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_read(raw: bytes):
    mail = locate(raw)
    assert 0 <= mail.start <= mail.body <= mail.end == len(raw)
