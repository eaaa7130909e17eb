"""What a captured mail says is read within limits, and hostile mail is no more than a mail that was seen."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import quopri
import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.mail.parser import Parser
from tracker.mail.parsing import Parsed, parse_mail

URL = "https://t.example"
TOKEN = "A" * 21 + "_"
OTHER = "b" * 22
HTML = f'<p>Hi</p><a href="{URL}/c/{OTHER}">deck</a><img src="{URL}/o/{TOKEN}.gif">'


def mail(**more: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = more.get("sender", "Alice <alice@home.example>")
    message["To"] = "Ana <ana@acme.com>, bob@acme.com"
    message["Cc"] = "=?utf-8?q?J=C3=B6rg?= <joerg@acme.com>"
    message["Subject"] = "Größe 📎 of the proposal"
    message["Message-ID"] = "<one@home.example>"
    message["Date"] = "Mon, 02 Mar 2026 10:00:00 +0100"
    message["References"] = "<first@home.example> <second@home.example>"
    message["In-Reply-To"] = "<second@home.example>"
    message.set_content("Hi")
    return message


def test_headers_are_read():
    parsed = parse_mail(mail().as_bytes(), URL)
    assert parsed == Parsed(
        subject="Größe 📎 of the proposal",
        sender="alice@home.example",
        to=(("Ana", "ana@acme.com"), ("", "bob@acme.com"), ("Jörg", "joerg@acme.com")),
        message_id="one@home.example",
        refers_to=("second@home.example", "first@home.example"),
        date=1772442000.0,
    )
    assert Parsed.from_json(parsed.to_json()) == parsed


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64", "7bit"])
def test_our_tokens_are_found_whatever_the_encoding(encoding):
    message = mail()
    message.add_alternative(HTML, subtype="html", cte=encoding)
    message.add_attachment(b"\x00\x01" * 500, maintype="image", subtype="png")
    parsed = parse_mail(message.as_bytes(), URL)
    assert parsed.tokens == (("c", OTHER), ("o", TOKEN))


def test_a_token_broken_by_quoted_printable_lines_is_found():
    body = quopri.encodestring(("x" * 60 + HTML).encode())
    assert b"=\n" in body
    raw = b"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n" + body
    assert parse_mail(raw, URL).tokens == (("c", OTHER), ("o", TOKEN))


def test_a_token_in_utf_16_is_found():
    raw = b"Content-Type: text/html; charset=utf-16\nContent-Transfer-Encoding: base64\n\n"
    assert parse_mail(raw + base64.encodebytes(HTML.encode("utf-16")), URL).tokens


@pytest.mark.parametrize(
    "text",
    [
        f"https://other.example/o/{TOKEN}.gif",
        f"{URL}/o/{TOKEN}x.gif",
        f"{URL}/c/{OTHER}x",
        f"{URL}/m/{OTHER}",
        f"{URL}/o/short.gif",
    ],
)
def test_what_is_not_ours_is_no_token(text):
    assert parse_mail(f"Subject: x\n\n{text}\n".encode(), URL).tokens == ()


def test_only_this_instances_addresses_count_and_its_host_in_any_case():
    raw = f"Subject: x\n\nhttp://T.Example/c/{OTHER}?x https://t.example:81/c/{OTHER}\n".encode()
    assert parse_mail(raw, URL).tokens == (("c", OTHER),)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Auto-Submitted: auto-replied", "auto"),
        ("Auto-Submitted: no", "mail"),
        ("Precedence: auto_reply", "auto"),
        ("X-Autoreply: yes", "auto"),
        ("List-Id: <news.example>", "list"),
        ("Precedence: bulk", "bulk"),
        ("Content-Type: multipart/report; report-type=disposition-notification; boundary=x", "auto"),
        ("\n".join(["Received: from a by b"] * 51), "loop"),
    ],
)
def test_mail_that_no_person_wrote_is_told_apart(header, kind):
    assert parse_mail(f"{header}\nSubject: x\n\nhello".encode(), URL).kind == kind


def test_a_bounce_names_whom_it_did_not_reach():
    raw = (
        "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n\nSorry\n"
        "--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"
        "Final-Recipient: rfc822; ana@acme.com\nAction: failed\nStatus: 5.1.1\n\n"
        "Final-Recipient: rfc822; bob@acme.com\nAction: delayed\n\n--x--\n"
    )
    parsed = parse_mail(raw.encode(), URL)
    assert (parsed.kind, parsed.failed) == ("bounce", ("ana@acme.com",))


@pytest.mark.parametrize("name", ["From", "SUBJECT", "Date", "message-id"])
def test_a_header_that_stands_twice_is_named(name):
    raw = mail().as_bytes()
    assert parse_mail(f"{name}: again\n".encode() + raw, URL).doubled == name.lower()


HOSTILE = {
    "a subject of half a megabyte": b"Subject: " + b"=?utf-8?q?a?= " * 40_000 + b"\n\nx",
    "a folded subject": b"Subject: " + b" =?x?\n" * 2_600 + b"\n\nx",
    "encoded words": b"Subject: " + b"=?utf-8?q?=41?= " * 1_000 + b"\n\nx",
    "unknown charset": b"Subject: =?nonsense?q?a?=\n\nx",
    "comments in comments": b"From: " + b"(" * 16_000 + b"\n\nx",
    "quotes": b"To: " + b'"\\' * 8_000 + b"\n\nx",
    "addresses": b"To: " + b"a@b.c," * 2_600 + b"\n\nx",
    "groups": b"To: " + b"a:" * 8_000 + b"\n\nx",
    "many headers": b"X: y\n" * 200_000 + b"\nx",
    "no end of headers": b"X" * 3_000_000,
    "depth": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(2_000)
    ),
    "parts": b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 100_000,
    "messages in messages": b"Content-Type: message/rfc822\n\n" * 5_000,
    "a long boundary": b"Content-Type: multipart/mixed; boundary=" + b"b" * 5_000 + b"\n\nx",
    "parameters": b"Content-Type: text/plain" + b"; a*0*=x''y" * 1_400 + b"\n\nx",
    "parameter continuations": b"Content-Type: multipart/mixed"
    + b"".join(b"; boundary*%d=b" % n for n in range(900))
    + b"\n\nx",
    "base64 garbage": b"Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n" + b"=" * 2_000_000,
    "uuencode": b"Content-Type: text/html\nContent-Transfer-Encoding: x-uuencode\n\nbegin 666 x\n"
    + b"~~~\n" * 9,
    "a date": b"Date: " + b"1 " * 8_000 + b"\n\nx",
    "a date of no year": b"Date: Mon, 99 Foo 99999999 99:99:99 +9999999\n\nx",
    "surrogates": b"Subject: \xff\xfe\xed\xa0\x80\nFrom: \xff@\xff\n\n\xff",
    "empty": b"",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_mail_takes_no_time_and_breaks_nothing(raw):
    begin = time.monotonic()
    parsed = parse_mail(raw, URL)
    assert time.monotonic() - begin < 4
    assert Parsed.from_json(parsed.to_json()) == parsed


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (HOSTILE["no end of headers"], "headers too long"),
        (HOSTILE["a subject of half a megabyte"], "headers too long"),
        (b"Subject: " + b"a" * 20_000 + b"\n\nx", "header too long"),
        (HOSTILE["parts"], "too many parts"),
        (HOSTILE["a long boundary"], "boundary too long"),
    ],
)
def test_what_is_beyond_the_limits_is_a_mail_that_was_seen(raw, fault):
    assert parse_mail(raw, URL).fault == fault
    found = parse_mail(raw + f"\n{URL}/o/{TOKEN}.gif ".encode(), URL)
    assert found.fault
    assert found.tokens == (("o", TOKEN),)


@given(st.binary(max_size=2_000))
def test_no_bytes_break_it(raw):
    parsed = parse_mail(raw, URL)
    assert Parsed.from_json(parsed.to_json()) == parsed


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["From", "To", "Date", "Subject", "Content-Type", "References", "Message-ID"]),
            st.text(max_size=60),
        ),
        max_size=12,
    ),
    st.text(max_size=100),
)
def test_no_headers_break_it(headers, body):
    raw = "".join(f"{name}: {value}\n" for name, value in headers) + "\n" + body
    assert isinstance(parse_mail(raw.encode("utf-8", "replace"), URL), Parsed)


def test_every_date_is_an_instant_or_none():
    for value in ("Mon, 02 Mar 2026 10:00:00 -0000", email.utils.formatdate(0), "gibberish", ""):
        date = parse_mail(f"Date: {value}\n\n".encode(), URL).date
        assert date is None or date >= 0


async def test_a_process_parses_many_mails_and_begins_anew_after_a_slow_one():
    parser = Parser(URL, processes=1, seconds=0.5)
    try:
        assert (await parser.parse(mail().as_bytes())).message_id == "one@home.example"
        slow = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 250_000
        assert (await parser.parse(slow)).fault in ("took too long", "too many parts")
        several = await asyncio.gather(*(parser.parse(mail().as_bytes()) for _ in range(20)))
        assert {one.subject for one in several} == {"Größe 📎 of the proposal"}
        assert not any(one.fault for one in several)
    finally:
        await parser.close()


async def test_a_process_that_dies_is_replaced():
    parser = Parser(URL, processes=1)
    try:
        await parser.parse(b"Subject: x\n\n")
        process = parser._processes._free.get_nowait()
        parser._processes._free.put_nowait(process)
        process.kill()
        await process.wait()
        assert (await parser.parse(b"Subject: again\n\n")).subject == "again"
    finally:
        await parser.close()


async def test_who_comes_with_the_next_mail_as_soon_as_the_last_is_answered_is_answered_too():
    parser = Parser(URL, processes=1)
    try:
        async with asyncio.timeout(20):
            for number in range(20):
                parsed = await parser.parse(f"From: ana@acme.com\nSubject: {number}\n\nx".encode())
                assert parsed.subject == str(number)
    finally:
        await parser.close()
