"""What a delivered copy differs in from what was submitted: nothing but one element and the links.

By other means than the rewriter's: the part of HTML is found by its own boundary, decoded by the standard
library, and brought back to what it was by taking our image out and putting the old addresses in. `#notrack`
is a mark for us, and goes.
"""

from __future__ import annotations

import base64
import difflib
import email
import quopri
import re
from collections.abc import Mapping

_HTML = re.compile(rb"(?im)^content-type:\s*text/html\b")
_ENCODING = re.compile(rb"(?im)^content-transfer-encoding:\s*([\w-]+)")
_IMAGE = re.compile(rb"<img [^>]*/o/([\w-]{22})\.gif[^>]*>")


def html_span(raw: bytes) -> tuple[int, int, str]:
    """Where the body of the HTML part begins and ends, and how it is encoded."""
    found = _HTML.search(raw)
    assert found is not None, raw[:2_000]
    head = max(raw.rfind(b"\r\n--", 0, found.start()), 0)
    begin = raw.index(b"\r\n\r\n", found.start()) + 4
    boundary = email.message_from_bytes(raw).get_boundary()
    end = len(raw) if boundary is None else raw.index(b"\r\n--" + boundary.encode(), begin)
    encoding = _ENCODING.search(raw, head, begin)
    return begin, end, encoding[1].decode().lower() if encoding else "7bit"


def decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return base64.b64decode(body)
    return quopri.decodestring(body) if encoding == "quoted-printable" else body


def page_of(raw: bytes) -> bytes:
    """The HTML as the recipient's program shows it."""
    begin, end, encoding = html_span(raw)
    return decoded(raw[begin:end], encoding)


def links_of(raw: bytes) -> list[str]:
    """The addresses of the links in the HTML, as they are written."""
    return [one.decode() for one in re.findall(rb'href="([^"]+)"', page_of(raw))]


def token_of(raw: bytes) -> str:
    """The token of the one pixel in the mail."""
    (token,) = _IMAGE.findall(page_of(raw))
    return str(token.decode())


def check_unchanged(submitted: bytes, copy: bytes, links: Mapping[str, str]) -> None:
    """Asserts that only the image and the links differ; `links` is what each stands for."""
    begin, end, encoding = html_span(submitted)
    its_begin, its_end, its_encoding = html_span(copy)
    assert copy[:its_begin] == submitted[:begin]
    assert copy[its_end:] == submitted[end:]
    assert its_encoding == encoding
    page = decoded(copy[its_begin:its_end], encoding)
    assert len(_IMAGE.findall(page)) == 1
    page = _IMAGE.sub(b"", page)
    for tracked, url in links.items():
        assert tracked.encode() in page
        page = page.replace(tracked.encode(), url.encode())
    before = decoded(submitted[begin:end], encoding).replace(b"#notrack", b"")
    assert _lines(page) == _lines(before)
    if encoding != "base64":
        assert len(_changed(submitted[begin:end], copy[its_begin:its_end])) <= 4 + 3 * len(links)


def _lines(page: bytes) -> list[bytes]:
    """The image may stand on a line of its own, where its line was full."""
    return [line for line in page.splitlines() if line.strip()]


def _changed(before: bytes, after: bytes) -> list[bytes]:
    """Lines of `before` that are not in `after` any more."""
    kept = set(after.split(b"\r\n"))
    return [line for line in before.split(b"\r\n") if line not in kept]


def difference(submitted: bytes, copy: bytes) -> str:
    """For people: a unified diff of the mail, with the HTML decoded."""
    texts = []
    for raw in (submitted, copy):
        begin, end, encoding = html_span(raw)
        page = decoded(raw[begin:end], encoding).replace(b"\r\n", b"\n")
        whole = raw[:begin].replace(b"\r\n", b"\n") + page + raw[end:].replace(b"\r\n", b"\n")
        texts.append(whole.decode("utf-8", "replace").splitlines())
    return "\n".join(difflib.unified_diff(*texts, "submitted", "delivered", lineterm="", n=1))
