"""Mails to rewrite, and how to look at what became of them."""

from __future__ import annotations

import base64
import email
import email.policy
import quopri

from tracker.mail.rewrite import Plan, Rewritten

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


def single(content_type: str, body: str = "x", more: str = "") -> bytes:
    return f"{HEADERS}{more}Content-Type: {content_type}\r\n\r\n{body}".encode()


def joined(content_type: str, *parts: str) -> bytes:
    return single(
        f"{content_type}; boundary=b", "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n"
    )


HTML = "Content-Type: text/html\r\n\r\n<body><a href='https://acme.com/a'>deck</a></body>"
SIGNED = "Content-Type: multipart/signed; boundary=c"
QUOTED = "Content-Transfer-Encoding: quoted-printable\r\n"
