"""Mail that goes through as it is, with the reason; and that nothing whatever breaks a mail."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracker.rewriting import (
    BASE,
    ENCODINGS,
    HEADERS,
    HTML,
    OLD_LINK,
    OLD_PIXEL,
    PAGE,
    PIXEL,
    PLAN,
    QUOTED,
    SIGNED,
    TRACKED,
    html_mail,
    html_of,
    joined,
    single,
    skeleton,
    undo,
)
from tracker.mail.rewrite import Plan, Rewritten, Untracked, rewrite


def test_quoted_printable_in_one_endless_line_is_left_alone():
    raw = single("text/html", "<a href=3D'https://a.co'>=20" * 20_000, QUOTED)
    began = time.perf_counter()
    assert rewrite(raw, PLAN, BASE).untracked is Untracked.ENCODING
    assert time.perf_counter() - began < 1


INVITED = "Content-Type: text/calendar; method=REQUEST\r\n\r\nB"
READ = "Content-Type: message/disposition-notification\r\n\r\nA: b"
PGP = "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1"
NESTED = [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(50)]
UNTOUCHED = [
    (Untracked.PLAIN, single("text/plain")),
    (Untracked.PLAIN, HEADERS.encode() + b"\r\nhello"),
    (Untracked.PLAIN, joined("multipart/mixed", "\r\nhi", f"Content-Disposition: attachment\r\n{HTML}")),
    (Untracked.PLAIN, joined("multipart/mixed", "\r\nhi", f"Content-Type: message/rfc822\r\n\r\n{HTML}")),
    (Untracked.SIGNED, single("text/html", "<body></body>", "DKIM-Signature: v=1; a=rsa-sha256\r\n")),
    (Untracked.SIGNED, joined("multipart/signed", HTML, "Content-Type: application/pgp-signature\r\n\r\nx")),
    (Untracked.SIGNED, joined("multipart/mixed", f"{SIGNED}\r\n\r\n--c\r\n\r\n--c--", HTML)),
    (Untracked.SIGNED, single("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m")),
    (Untracked.ENCRYPTED, single('application/x-pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"')),
    (Untracked.ENCRYPTED, joined("multipart/encrypted", PGP)),
    (Untracked.SIGNED, joined("multipart/alternative", "\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n", HTML)),
    (Untracked.ENCRYPTED, joined("multipart/alternative", "\r\nhi\r\n-----BEGIN PGP MESSAGE-----\r\n", HTML)),
    (Untracked.CALENDAR, joined("multipart/alternative", HTML, INVITED)),
    (Untracked.REPORT, joined("multipart/report", HTML, READ)),
    (Untracked.CHARSET, single("text/html; charset=utf-16le", "<\0b\0>\0")),
    (Untracked.CHARSET, single("text/html; charset=utf-7", "+ADw-a+AD4-")),
    (Untracked.CHARSET, single("text/html; charset=iso-2022-jp", "\x1b$B<a>\x1b(B</body>")),
    (Untracked.CHARSET, single("text/html; charset=utf-8", "<body>\0</body>")),
    (Untracked.ENCODING, single("text/html", "<body>", "Content-Transfer-Encoding: x-uuencode\r\n")),
    (Untracked.ENCODING, single("text/html", "PGJvZ%%%Hk+", "Content-Transfer-Encoding: base64\r\n")),
    (Untracked.ENCODING, single("text/html", "<p class=x>=3D", QUOTED)),
    (Untracked.MARKUP, single("text/html", "<body>hi<!-- never closed")),
    (Untracked.MARKUP, single("text/html", "<body><style>a{}")),
    (Untracked.MARKUP, single("text/html", "<body><a href='https://acme.com>deck</a></body>")),
    (Untracked.STRUCTURE, single("text/html", "<body></body>", "no header here\r\n")),
    (Untracked.STRUCTURE, single("text/html", "<body></body>", "Content-Type: text/plain\r\n")),
    (Untracked.STRUCTURE, single("text/html; charset=a; charset=b", "<body></body>")),
    (Untracked.STRUCTURE, single("multipart/mixed", HTML)),
    (Untracked.STRUCTURE, single("multipart/mixed; boundary=b", f"--b\r\n{HTML}\r\n")),
    (Untracked.STRUCTURE, single("multipart/mixed; boundary*0=b; boundary*1=c", f"--bc\r\n{HTML}\r\n--bc--")),
    (Untracked.STRUCTURE, b"".join(NESTED)),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "raw"), UNTOUCHED)
def test_some_mail_goes_through_as_it_is_and_is_told(reason: Untracked, raw: bytes):
    done = rewrite(raw, PLAN, BASE)
    assert done.untracked is reason
    assert done.content == raw
    assert done.edits == ()


def test_a_calendar_file_or_a_signed_message_attached_is_no_reason():
    calendar = "Content-Type: text/calendar\r\nContent-Disposition: attachment; filename=a.ics\r\n\r\nBEGIN"
    signed = f"Content-Type: message/rfc822\r\n\r\nDKIM-Signature: x\r\n{SIGNED}\r\n\r\n"
    raw = joined("multipart/mixed", HTML, calendar, signed)
    assert rewrite(raw, PLAN, BASE).untracked is None


def test_a_fault_in_the_plan_leaves_the_mail_as_it_was():
    def fail(url: str) -> str:
        raise RuntimeError("broken")

    raw = html_mail(PAGE)
    done = rewrite(raw, Plan(PIXEL, fail), BASE)
    assert (done.content, done.untracked) == (raw, Untracked.FAULT)
    assert isinstance(done.error, RuntimeError)


def test_an_edit_that_would_make_another_part_leaves_the_mail_as_it_was():
    raw = joined("multipart/mixed", HTML)
    done = rewrite(raw, Plan(PIXEL, lambda url: "https://b.co/\r\n--b\r\n\r\n"), BASE)
    assert (done.content, done.untracked) == (raw, Untracked.FAULT)


def test_nothing_to_track_is_said():
    raw = html_mail("<body>hi</body>")
    assert rewrite(raw, Plan(None, lambda url: TRACKED), BASE) == Rewritten(raw, Untracked.NOTHING)


SNIPPETS = st.sampled_from(
    [
        '<a href="https://acme.com/x?a=1&amp;b=2">',
        "</a>",
        "text",
        "</body>",
        "</html>",
        "<!--",
        "-->",
        "<p class='",
        "'>",
        "<style>",
        "</style>",
        f'<img src="{OLD_PIXEL}">',
        f"<a href={OLD_LINK}>",
        "é",
        "\n",
        "=",
        "=3D",
        "  ",
        "x" * 70,
        "<",
        ">",
        '"',
        "&lt",
        "<![if !mso]>",
        "https://acme.com#notrack",
        "<a href='https://acme.com/#notrack'>",
        "\t\n",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(SNIPPETS, max_size=25).map("".join), st.sampled_from(ENCODINGS[1:]))
def test_edits_undone_give_the_original_and_the_standard_library_sees_the_same_mail(html: str, encoding: str):
    raw = html_mail(html, encoding)
    done = rewrite(raw, PLAN, BASE)
    assert undo(done, raw) == raw
    assert skeleton(done.content) == skeleton(raw)
    assert done.untracked is not Untracked.FAULT
    longest = max(map(len, raw.split(b"\r\n")))
    assert encoding == "8bit" or max(map(len, done.content.split(b"\r\n"))) <= max(76, longest)
    if done.untracked is None:
        assert PIXEL in html_of(done.content)
        assert OLD_PIXEL not in html_of(done.content) or "<!--" in html or "'" in html or "<style>" in html
    else:
        assert done.content == raw


HEADS = ["", "Content-Type: text/html\r\n", "Content-Type: multipart/mixed; boundary=b\r\n"]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(HEADS))
def test_no_bytes_raise(junk: bytes, head: str):
    for raw in (junk, head.encode() + junk, head.encode() + b"\r\n--b\r\n" + junk + b"\r\n--b--"):
        done = rewrite(raw, PLAN, BASE)
        assert undo(done, raw) == raw
        assert done.untracked is not Untracked.FAULT
