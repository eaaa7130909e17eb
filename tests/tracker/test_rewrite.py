"""Rewriting a mail for one recipient: what changes, what never does, and what goes through as it is."""

from __future__ import annotations

import base64
import email
import email.policy
import quopri
import re
import time
from email.message import EmailMessage, Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.mail.rewrite import Plan, Rewritten, Untracked, rewrite, rewrite_for, survey

BASE = "https://t.example"
PIXEL = f"{BASE}/o/{'p' * 22}.gif"
TRACKED = f"{BASE}/c/{'c' * 22}"
OLD_PIXEL = f"{BASE}/o/{'o' * 22}.gif"
OLD_LINK = f"{BASE}/c/{'o' * 22}"
PLAN = Plan(PIXEL, lambda url: TRACKED)
HEADERS = (
    "From: Alice <alice@acme.com>\r\nTo: Ana <ana@acme.com>,\r\n bob@acme.com\r\nCc: Zoe <zoe@acme.com>\r\n"
    "Subject: =?utf-8?q?Q3_pr=C3=B6posal?=\r\nMessage-ID: <1@acme.com>\r\n"
    "Date: Mon, 2 Feb 2026 10:00:00 +0100\r\n"
    "MIME-Version: 1.0\r\n"
)


def html_mail(html: str, encoding: str = "8bit", charset: str = "utf-8", more: str = "") -> bytes:
    """A mail of text and HTML, with line ends as on the wire."""
    content = html.replace("\n", "\r\n").encode(charset)
    if encoding == "quoted-printable":
        content = quopri.encodestring(content.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    elif encoding == "base64":
        content = base64.encodebytes(content).replace(b"\n", b"\r\n")
    head = (
        f'{HEADERS}{more}Content-Type: multipart/alternative;\r\n boundary="=_b1"\r\n\r\nA preamble.\r\n'
        "--=_b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello https://acme.com/deck\r\n"
        f"--=_b1\r\nContent-Type: text/html; charset={charset}\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + content + b"\r\n--=_b1--\r\n"


def html_of(raw: bytes) -> str:
    """The HTML as the standard library decodes it."""
    for part in email.message_from_bytes(raw).walk():
        if part.get_content_type() == "text/html":
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            return payload.decode(part.get_content_charset() or "utf-8")
    raise AssertionError("no HTML")


def undo(done: Rewritten, original: bytes) -> bytes:
    """The original, from what was sent and the list of edits."""
    content = done.content
    for edit in done.edits:  # what stands before it is the original again
        assert content[edit.start : edit.start + len(edit.new)] == edit.new
        content = (
            content[: edit.start] + original[edit.start : edit.end] + content[edit.start + len(edit.new) :]
        )
    return content


def skeleton(raw: bytes) -> list[tuple[str, list[tuple[str, str]]]]:
    """Types and headers of every part, as the standard library reads them."""
    mail = email.message_from_bytes(raw)
    return [(part.get_content_type(), list(part.raw_items())) for part in mail.walk()]


ENCODINGS = ("7bit", "8bit", "quoted-printable", "base64")
PAGE = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN"><html><head><style>a > b {}</style>\n'
    "<!--[if mso]><a href='https://mso.acme.com'>x</a></body><![endif]--></head><body>\n<![if !mso]>"
    '<p>Hello, <a class=x href="https://acme.com/deck?a=1&amp;copy=2">the deck</a></p>\n'
    "<![endif]></body>\n</html>"
)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_pixel_stands_before_the_closing_body_and_the_link_is_tracked(encoding: str):
    raw = html_mail(PAGE, encoding)
    asked: list[str] = []
    done = rewrite(raw, Plan(PIXEL, lambda url: asked.append(url) or TRACKED), BASE)
    assert done.untracked is None
    assert asked == ["https://acme.com/deck?a=1&copy=2"]
    html = html_of(done.content)
    assert re.search(r'<!\[endif\]><img src="' + re.escape(PIXEL) + '"[^>]*></body>', html)
    without = re.sub(r"<img [^>]*>", "", html).replace(TRACKED, "https://acme.com/deck?a=1&amp;copy=2")
    assert without.splitlines() == html_of(raw).splitlines()
    assert skeleton(done.content) == skeleton(raw)


def test_only_the_touched_lines_of_quoted_printable_change():
    link = '<a href="https://acme.com/deck">deck</a>\n'
    html = "<p>Grüße</p>\n" * 30 + link + "<p>=</p>\n" * 30 + "</body>"
    raw = html_mail(html, "quoted-printable")
    done = rewrite(raw, PLAN, BASE)
    before, after = raw.split(b"\r\n"), done.content.split(b"\r\n")
    kept = [line for line in before if line in after]
    assert len(before) - len(kept) == 1  # the pixel gets lines of its own
    assert max(map(len, after)) <= 76


def test_base64_keeps_its_line_length():
    html = base64.b64encode(("<body>" + "x" * 500 + "</body>").encode())
    lines = b"\r\n".join(html[at : at + 64] for at in range(0, len(html), 64))
    raw = (
        HEADERS.encode()
        + b"Content-Type: text/html\r\nContent-Transfer-Encoding: BASE64\r\n\r\n"
        + lines
        + b"\r\n"
    )
    done = rewrite(raw, PLAN, BASE)
    body = done.content.partition(b"\r\n\r\n")[2].split(b"\r\n")
    assert {len(line) for line in body[:-2]} == {64}
    assert body[-1] == b""
    assert PIXEL in html_of(done.content)


def test_the_bcc_header_goes_and_all_others_stay_byte_for_byte():
    raw = html_mail("<body>x</body>", more="BCC : secret@acme.com,\r\n\tother@acme.com\r\nX-After: 1\r\n")
    done = rewrite(raw, PLAN, BASE)
    assert b"secret" not in done.content
    assert b"other@" not in done.content
    head = raw.partition(b"\r\n\r\n")[0].replace(b"BCC : secret@acme.com,\r\n\tother@acme.com\r\n", b"")
    assert done.content.startswith(head + b"\r\n\r\n")


def test_bcc_goes_from_untouched_mail_too_but_not_from_its_body():
    raw = b"From: a@acme.com\r\nbcc: secret@acme.com\r\n\r\nBcc: text\r\n"
    done = rewrite(raw, PLAN, BASE)
    assert done.content == b"From: a@acme.com\r\n\r\nBcc: text\r\n"
    assert done.untracked is Untracked.PLAIN


LINKS_LEFT = [
    '<a href="https://acme.com/unsubscribe?u=1">here</a>',
    '<a href="https://acme.com/u/1">Unsubscribe</a>',
    '<a href="https://acme.com/u/1">Newsletter <b>ab</b>bestellen</a>',
    '<a href="https://acme.com/u/1">Se d&eacute;sabonner</a>',
    '<a href="https://list.acme.com/leave/7">leave</a>',
    '<a href="mailto:ana@acme.com">mail</a>',
    '<a href="tel:+491234">call</a>',
    '<a href="cid:part1">file</a>',
    '<a href="#top">top</a>',
    '<a href="/deck">relative</a>',
    '<a href="javascript:void(0)">x</a>',
    '<a href="https://acme.com/deck">https://acme.com/deck</a>',
    '<a href="https://acme.com/deck">acme.com</a>',
    '<a href="https://acme.com/deck"><b>www.</b>acme.com/deck</a>',
    '<a href="https://acme.com/deck">(bücher.de)</a>',
    f'<a href="{BASE}/m/signed.code">my copy page</a>',
    f'<a href="https://safe.example/?url=https%3A%2F%2Ft.example%2Fc%2F{"o" * 22}">wrapped</a>',
    '<a name="https://acme.com">x</a>',
    '<!-- <a href="https://acme.com/deck">deck</a> -->',
    '<!--[if mso]><a href="https://acme.com/deck">deck</a><![endif]-->',
    '<textarea><a href="https://acme.com/deck">deck</a></textarea>',
    '<p title=\'<a href="https://acme.com/deck">deck</a>\'>x</p>',
    '<a href="https://acme.com\\@evil.example/">x</a>',
]  # fmt: skip


@pytest.mark.parametrize("link", LINKS_LEFT)
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable"])
def test_some_links_are_never_rewritten(link: str, encoding: str):
    more = "List-Unsubscribe: <mailto:x@acme.com>,\r\n <https://list.acme.com/leave/7>\r\n"
    raw = html_mail(f"<body>{link}</body>", encoding, more=more)
    done = rewrite(raw, PLAN, BASE)
    assert TRACKED not in html_of(done.content)
    assert link in html_of(done.content)
    assert survey(raw, BASE).links == ()


LINKS_FOLLOWED = [
    ('<a href="https://acme.com/deck">deck.pdf</a>', "https://acme.com/deck"),
    ("<A HREF = 'https://acme.com/a&#38;b'>the deck</A>", "https://acme.com/a&b"),
    ("<a href=https://acme.com/a>deck</a>", "https://acme.com/a"),
    ('<a href=" https://acme.com/a&copy=2&amp;lt=3\n">deck</a>', "https://acme.com/a&copy=2&lt=3"),
    ('<a title="x > y" href="https://acme.com/a?q=é">deck</a>', "https://acme.com/a?q=é"),
    ('<a href="https://acme.com/a"><img src="x.png"></a>', "https://acme.com/a"),
    ('<map><area shape=rect href="https://acme.com/a"></map>', "https://acme.com/a"),
    ('<a href="https://acme.com/a" href="https://other.example">deck</a>', "https://acme.com/a"),
    ('<a href="https://acme.com/a">see Node.js, v1.2</a>', "https://acme.com/a"),
]


@pytest.mark.parametrize(("link", "url"), LINKS_FOLLOWED)
@pytest.mark.parametrize("encoding", ENCODINGS[1:])
def test_links_are_followed_with_their_exact_address(link: str, url: str, encoding: str):
    raw = html_mail(f"<body>{link}</body>", encoding)
    assert survey(raw, BASE).links == (url,)
    done = rewrite(raw, Plan(None, {url: TRACKED}.get), BASE)
    assert TRACKED in html_of(done.content)
    assert done.untracked is None
    assert len(done.edits) == 1


def test_a_mark_keeps_a_link_and_is_removed_from_address_and_text():
    link = '<a href="https://acme.com/x#notrack">https://acme.com/x#notrack</a>'
    done = rewrite(html_mail(f"<body>{link}</body>"), PLAN, BASE)
    assert '<a href="https://acme.com/x">https://acme.com/x</a>' in html_of(done.content)


@pytest.mark.parametrize("encoding", ENCODINGS[1:])
def test_the_mark_is_removed_from_the_plain_text_too(encoding: str):
    raw = html_mail('<body><a href="https://acme.com/x#notrack">x</a></body>', encoding)
    text = b"hello https://acme.com/deck#notrack, <http://a.b/#NoTrack>\r\n#notrack https://a.b/#notracking"
    raw = raw.replace(b"hello https://acme.com/deck", text)
    done = rewrite(raw, PLAN, BASE)
    wanted = b"hello https://acme.com/deck, <http://a.b/>\r\n#notrack https://a.b/#notracking"
    assert wanted in done.content
    assert undo(done, raw) == raw


def test_old_tokens_go_even_where_nothing_is_tracked():
    raw = html_mail(f'<body><img src="{OLD_PIXEL}"></body>')
    done = rewrite(raw, Plan(None, lambda url: None), BASE)
    assert done.untracked is Untracked.NOTHING
    assert "<body></body>" in html_of(done.content)


def test_our_old_pixel_goes_from_quoted_text_also_behind_a_proxy():
    proxied = f"https://ci3.googleusercontent.com/meips/ABC=s0-d-e1-ft#{OLD_PIXEL}"
    quoted = f'<blockquote><img width=1 src="{OLD_PIXEL}"><img src="{proxied}"><img src="https://acme.com/o/a.gif">'
    for encoding in ENCODINGS[1:]:
        html = html_of(rewrite(html_mail(f"<body>{quoted}</body>", encoding), PLAN, BASE).content)
        assert "o" * 22 not in html
        assert html.count("<img") == 2
        assert "https://acme.com/o/a.gif" in html


def test_an_old_link_of_ours_becomes_what_it_was_and_is_tracked_anew():
    raw = html_mail(f'<body><a href="{OLD_LINK}">deck</a> <a href="{OLD_LINK}">acme.com</a></body>')
    found = survey(raw, BASE)
    assert found.tokens == ("o" * 22,)
    plan = Plan(PIXEL, {"https://acme.com/d?a&b": TRACKED}.get, {"o" * 22: "https://acme.com/d?a&b"}.get)
    html = html_of(rewrite_for(found, plan).content)
    assert f'<a href="{TRACKED}">deck</a> <a href="https://acme.com/d?a&amp;b">acme.com</a>' in html
    assert OLD_LINK in html_of(rewrite(raw, PLAN, BASE).content)  # nobody knows it: left


def test_each_recipient_gets_an_own_copy_of_one_survey():
    found = survey(html_mail(PAGE), BASE)
    one, two = (rewrite_for(found, Plan(f"{BASE}/o/{letter * 22}.gif", lambda url: None)) for letter in "ab")
    assert one.content.replace(b"a" * 22, b"b" * 22) == two.content


def test_the_last_closing_body_counts_then_html_then_the_end():
    for html, wanted in (
        ("<body>a</body><body>b</body></html>", "b<img"),
        ("<p>a</p></html>", "</p><img"),
        ("<p>a</p>", "</p><img"),
        ("<body>a</body ><!-- </body> --><style></body></style>", "a<img"),
    ):
        assert wanted in html_of(rewrite(html_mail(html), PLAN, BASE).content).replace("\r\n", "")


def test_a_line_never_grows_past_what_smtp_carries():
    long = "<body>" + "x" * 980 + "</body>"
    done = rewrite(html_mail(long), PLAN, BASE)
    assert done.untracked is None
    assert max(map(len, done.content.split(b"\r\n"))) <= 998
    link = '<a href="https://a.co/">d</a>'
    done = rewrite(html_mail("x" * 960 + link + "\n"), PLAN, BASE)
    assert link in html_of(done.content)
    assert max(map(len, done.content.split(b"\r\n"))) <= 998


def test_a_line_that_was_too_long_before_is_rewritten_all_the_same():
    raw = html_mail("<body>" + '<a href="https://a.co/">d</a>' * 200 + "</body>")
    assert rewrite(raw, PLAN, BASE).content.count(TRACKED.encode()) == 200


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_bomb_of_links_takes_linear_time_and_offers_a_bounded_number(encoding: str):
    page = "".join(f'<a href="https://a.co/{number}">x</a>' + " " * (number % 2) for number in range(20_000))
    raw = html_mail(page, encoding)
    began = time.perf_counter()
    found = survey(raw, BASE)
    done = rewrite_for(found, PLAN)
    assert time.perf_counter() - began < 5
    assert len(found.links) == 500
    assert done.untracked is None


def test_quoted_printable_in_one_endless_line_is_left_alone():
    raw = _mail("text/html", "<a href=3D'https://a.co'>=20" * 20_000, QUOTED)
    began = time.perf_counter()
    assert rewrite(raw, PLAN, BASE).untracked is Untracked.ENCODING
    assert time.perf_counter() - began < 1


def _mail(content_type: str, body: str = "x", more: str = "") -> bytes:
    return f"{HEADERS}{more}Content-Type: {content_type}\r\n\r\n{body}".encode()


def _parts(content_type: str, *parts: str) -> bytes:
    return _mail(f"{content_type}; boundary=b", "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n")


HTML = "Content-Type: text/html\r\n\r\n<body><a href='https://acme.com/a'>deck</a></body>"
SIGNED = "Content-Type: multipart/signed; boundary=c"
INVITED = "Content-Type: text/calendar; method=REQUEST\r\n\r\nB"
READ = "Content-Type: message/disposition-notification\r\n\r\nA: b"
QUOTED = "Content-Transfer-Encoding: quoted-printable\r\n"
PGP = "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1"
NESTED = [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(50)]
UNTOUCHED = [
    (Untracked.PLAIN, _mail("text/plain")),
    (Untracked.PLAIN, HEADERS.encode() + b"\r\nhello"),
    (Untracked.PLAIN, _parts("multipart/mixed", "\r\nhi", f"Content-Disposition: attachment\r\n{HTML}")),
    (Untracked.PLAIN, _parts("multipart/mixed", "\r\nhi", f"Content-Type: message/rfc822\r\n\r\n{HTML}")),
    (Untracked.SIGNED, _mail("text/html", "<body></body>", "DKIM-Signature: v=1; a=rsa-sha256\r\n")),
    (Untracked.SIGNED, _parts("multipart/signed", HTML, "Content-Type: application/pgp-signature\r\n\r\nx")),
    (Untracked.SIGNED, _parts("multipart/mixed", f"{SIGNED}\r\n\r\n--c\r\n\r\n--c--", HTML)),
    (Untracked.SIGNED, _mail("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m")),
    (Untracked.ENCRYPTED, _mail('application/x-pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"')),
    (Untracked.ENCRYPTED, _parts("multipart/encrypted", PGP)),
    (Untracked.SIGNED, _parts("multipart/alternative", "\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n", HTML)),
    (Untracked.ENCRYPTED, _parts("multipart/alternative", "\r\nhi\r\n-----BEGIN PGP MESSAGE-----\r\n", HTML)),
    (Untracked.CALENDAR, _parts("multipart/alternative", HTML, INVITED)),
    (Untracked.REPORT, _parts("multipart/report", HTML, READ)),
    (Untracked.CHARSET, _mail("text/html; charset=utf-16le", "<\0b\0>\0")),
    (Untracked.CHARSET, _mail("text/html; charset=utf-7", "+ADw-a+AD4-")),
    (Untracked.CHARSET, _mail("text/html; charset=iso-2022-jp", "\x1b$B<a>\x1b(B</body>")),
    (Untracked.CHARSET, _mail("text/html; charset=utf-8", "<body>\0</body>")),
    (Untracked.ENCODING, _mail("text/html", "<body>", "Content-Transfer-Encoding: x-uuencode\r\n")),
    (Untracked.ENCODING, _mail("text/html", "PGJvZ%%%Hk+", "Content-Transfer-Encoding: base64\r\n")),
    (Untracked.ENCODING, _mail("text/html", "<p class=x>=3D", QUOTED)),
    (Untracked.MARKUP, _mail("text/html", "<body>hi<!-- never closed")),
    (Untracked.MARKUP, _mail("text/html", "<body><style>a{}")),
    (Untracked.MARKUP, _mail("text/html", "<body><a href='https://acme.com>deck</a></body>")),
    (Untracked.STRUCTURE, _mail("text/html", "<body></body>", "no header here\r\n")),
    (Untracked.STRUCTURE, _mail("text/html", "<body></body>", "Content-Type: text/plain\r\n")),
    (Untracked.STRUCTURE, _mail("text/html; charset=a; charset=b", "<body></body>")),
    (Untracked.STRUCTURE, _mail("multipart/mixed", HTML)),
    (Untracked.STRUCTURE, _mail("multipart/mixed; boundary=b", f"--b\r\n{HTML}\r\n")),
    (Untracked.STRUCTURE, _mail("multipart/mixed; boundary*0=b; boundary*1=c", f"--bc\r\n{HTML}\r\n--bc--")),
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
    raw = _parts("multipart/mixed", HTML, calendar, signed)
    assert rewrite(raw, PLAN, BASE).untracked is None


def test_of_several_html_parts_the_first_shown_gets_the_pixel_and_all_get_links():
    raw = _parts("multipart/mixed", HTML, "Content-Type: image/png; name=a b.png\r\n\r\nx", HTML)
    done = rewrite(raw, PLAN, BASE)
    assert done.content.count(PIXEL.encode()) == 1
    assert done.content.count(TRACKED.encode()) == 2
    both = rewrite(_parts("multipart/alternative", HTML, HTML), PLAN, BASE)
    assert both.content.count(PIXEL.encode()) == 2


def test_a_fault_in_the_plan_leaves_the_mail_as_it_was():
    def fail(url: str) -> str:
        raise RuntimeError("broken")

    raw = html_mail(PAGE)
    done = rewrite(raw, Plan(PIXEL, fail), BASE)
    assert (done.content, done.untracked) == (raw, Untracked.FAULT)
    assert isinstance(done.error, RuntimeError)


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


def test_mail_made_by_the_standard_library_is_rewritten_in_every_encoding():
    for cte in ("7bit", "quoted-printable", "base64"):
        mail = EmailMessage(policy=email.policy.SMTP)
        mail["From"], mail["To"], mail["Subject"] = "alice@acme.com", "ana@acme.com", "Q3"
        mail.set_content("hi")
        mail.add_alternative(PAGE, subtype="html", cte=cte)
        mail.add_attachment(b"\0\1", maintype="application", subtype="pdf", filename="a.pdf")
        done = rewrite(mail.as_bytes(), PLAN, BASE)
        assert done.untracked is None
        again: Message = email.message_from_bytes(done.content)
        assert [part.get_content_type() for part in again.walk()] == [
            part.get_content_type() for part in mail.walk()
        ]
        assert TRACKED in html_of(done.content)
