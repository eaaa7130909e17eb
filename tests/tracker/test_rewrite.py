"""Rewriting a mail for one recipient: the pixel, the headers, and the bytes that stay as they were."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from email.message import EmailMessage, Message

import pytest

from tests.tracker.rewriting import (
    BASE,
    ENCODINGS,
    HEADERS,
    HTML,
    PAGE,
    PIXEL,
    PLAN,
    TRACKED,
    html_mail,
    html_of,
    joined,
    skeleton,
)
from tracker.mail.rewrite import Plan, Untracked, rewrite, rewrite_for, survey


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


def test_of_several_html_parts_the_first_shown_gets_the_pixel_and_all_get_links():
    raw = joined("multipart/mixed", HTML, "Content-Type: image/png; name=a b.png\r\n\r\nx", HTML)
    done = rewrite(raw, PLAN, BASE)
    assert done.content.count(PIXEL.encode()) == 1
    assert done.content.count(TRACKED.encode()) == 2
    both = rewrite(joined("multipart/alternative", HTML, HTML), PLAN, BASE)
    assert both.content.count(PIXEL.encode()) == 2


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
