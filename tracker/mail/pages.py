"""The bodies of a mail as pages that can be edited: their links, our old pixels, the new one's place.

Called by tracker/mail/rewrite.py. What is read here is the same for every recipient; `page_edits` says what
is different for one of them. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tracker.mail.draft import is_untracked
from tracker.mail.encodings import Body, BodyError, Edit, glance, open_body
from tracker.mail.links import OwnAddresses, followed, link_target, list_addresses
from tracker.mail.markup import (
    Anchor,
    MarkupError,
    pixel_html,
    read_attribute,
    read_markup,
    read_text,
    write_attribute,
)
from tracker.mail.structure import Part
from tracker.mail.untouched import Untracked, own_parts, showing


def _forgotten(_token: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one recipient's copy gets.

    `link` gives the tracked URL for one of the mail's URLs, or None to leave it. `original` gives the URL
    behind a token of ours that stands in quoted text, or None if nobody knows it any more.
    """

    pixel_url: str | None
    link: Callable[[str], str | None]
    original: Callable[[str], str | None] = _forgotten


@dataclass(frozen=True, slots=True)
class Link:
    anchor: Anchor
    url: str  # without #notrack
    token: str | None  # of ours, in quoted text
    follow: bool
    unmark: tuple[Edit, ...] = ()  # takes #notrack away


@dataclass(frozen=True, slots=True)
class Page:
    """A body that can be edited; of plain text nothing but `marks` is."""

    body: Body
    links: tuple[Link, ...]
    pixels: tuple[Edit, ...]  # take old pixels of ours away
    place: int | None  # where the new pixel goes; null where none does
    marks: tuple[Edit, ...] = ()  # take #notrack from text


class UntouchedError(Exception):
    """Leads out of the reading of a mail that stays as it is."""

    def __init__(self, reason: Untracked) -> None:
        super().__init__(reason.value)
        self.reason = reason


# One byte is one sign below 0x40 in all of them, so that tags and quotes are what they look like.
_CHARSET = re.compile(
    r"(?:us-)?ascii|utf-?8|iso[-_]?8859[-_]?\d+(?:-[ei])?|latin-?\d|(?:windows|cp)-?(?:125\d|874|932|949|936|950)|"
    r"koi8-[ru]|macintosh|gb2312|gbk|gb18030|big5(?:-hkscs)?|euc-(?:jp|kr|cn|tw)|ks_c_5601-1987|shift[-_]jis|tis-620",
    re.IGNORECASE,
)


def read_pages(raw: bytes, mail: Part, own: OwnAddresses) -> Iterator[Page]:
    """The bodies, ready for edits. If the one with the pixel cannot be edited, none is."""
    first = showing(mail)
    if not first:
        raise UntouchedError(Untracked.PLAIN)
    unsubscribing = list_addresses(mail.values("list-unsubscribe"))
    shown = {id(part) for part in first}
    for part in own_parts(mail):
        if part.attached or part.type not in ("text/html", "text/plain"):
            continue
        if part.type == "text/plain":
            yield from _read_text(raw, part)
            continue
        try:
            yield _read_page(raw, part, own, unsubscribing, id(part) in shown)
        except UntouchedError:
            if id(part) in shown:
                raise


def _read_page(
    raw: bytes, part: Part, own: OwnAddresses, unsubscribing: frozenset[str], shows_pixel: bool
) -> Page:
    charset = part.parameters.get("charset", "us-ascii").strip()
    if not _CHARSET.fullmatch(charset):
        raise UntouchedError(Untracked.CHARSET)
    try:
        body = open_body(raw, part.body, part.end, part.encoding)
        if b"\0" in body.text or b"\x1b" in body.text:
            raise UntouchedError(Untracked.CHARSET)
        markup = read_markup(body.text)
    except BodyError:
        raise UntouchedError(Untracked.ENCODING) from None
    except MarkupError:
        raise UntouchedError(Untracked.MARKUP) from None
    charset = _codec(charset)
    links = _read_links(body.text, markup.anchors, charset, own, unsubscribing)
    pixels = tuple(
        Edit(image.start, image.end, b"")
        for image in markup.images
        if own.is_pixel(read_attribute(image.source.decode("latin-1")))
    )
    return Page(body, tuple(links), pixels, markup.body_end if shows_pixel else None)


def _read_text(raw: bytes, part: Part) -> Iterator[Page]:
    """Plain text beside the HTML, if #notrack is to be taken from a URL in it."""
    if b"#notrack" not in glance(raw[part.body : part.end], part.encoding).lower():
        return
    if not _CHARSET.fullmatch(part.parameters.get("charset", "us-ascii").strip()):
        return
    try:
        body = open_body(raw, part.body, part.end, part.encoding)
    except BodyError:
        return
    text = body.text
    marks = (found.span() for found in _TEXT_MARK.finditer(text))
    edits = tuple(
        Edit(start, end, b"") for start, end in marks if _ends_url(text[max(0, start - 2000) : start])
    )
    if edits:
        yield Page(body, (), (), None, edits)


_TEXT_MARK = re.compile(rb"#notrack(?![\w-])", re.IGNORECASE)


def _ends_url(before: bytes) -> bool:
    word = before[max(before.rfind(sign) for sign in b" \t\n<>\"'") + 1 :].lower()
    return b"http://" in word or b"https://" in word


def _codec(charset: str) -> str:
    """A codec that Python has; an ASCII part in practice holds anything."""
    try:
        "".encode(charset)
    except LookupError:
        return "latin-1"
    return "utf-8" if "ascii" in charset.lower() else charset


def _read_links(
    html: bytes, anchors: Sequence[Anchor], charset: str, own: OwnAddresses, unsubscribing: frozenset[str]
) -> Iterator[Link]:
    """The links there is anything to do with."""
    found = [(anchor, url) for anchor in anchors if (url := _read_url(html, anchor, charset))]
    texts = [read_text(html[anchor.text_start : anchor.text_end], charset) for anchor, _ in found]
    follow = followed([(url, text) for (_, url), text in zip(found, texts, strict=True)], unsubscribing)
    for (anchor, url), may in zip(found, follow, strict=True):
        token = own.link_token(url)
        if is_untracked(url):
            yield Link(anchor, url, None, False, tuple(_unmark(html, anchor)))
        elif token or (may and not own.mentions(url)):
            yield Link(anchor, url, token, may)


def _read_url(html: bytes, anchor: Anchor, charset: str) -> str | None:
    """Where the link points to, if that can be followed."""
    value = html[anchor.start : anchor.end]
    if b":" not in value:
        return None
    try:
        return link_target(read_attribute(value.decode(charset)))
    except UnicodeError:
        return None


_MARK = re.compile(rb"#notrack(?=[\t\n\f\r ]*\Z)", re.IGNORECASE)


def _unmark(html: bytes, anchor: Anchor) -> Iterator[Edit]:
    """Takes #notrack from the address, and from the text if that shows it at its end."""
    for start, end in ((anchor.start, anchor.end), (anchor.text_start, anchor.text_end)):
        found = _MARK.search(html, start, end)
        if found:
            yield Edit(found.start(), found.end(), b"")


def page_edits(page: Page, plan: Plan) -> tuple[list[Edit], bool]:
    """All edits of one page in its decoded text, in order; and whether anything is tracked by them."""
    edits = [*page.pixels, *page.marks]
    tracks = False
    for link in page.links:
        edits += link.unmark
        url = link.url
        if link.token:
            known = plan.original(link.token)
            if known is None:
                continue
            url = known
        tracked = plan.link(url) if link.follow else None
        tracks = tracks or bool(tracked)
        if tracked or link.token:
            new = write_attribute(tracked or url, link.anchor.quote)
            edits.append(Edit(link.anchor.start, link.anchor.end, new))
    if page.place is not None and plan.pixel_url:
        tracks = True
        edits.append(Edit(page.place, page.place, pixel_html(plan.pixel_url)))
    return sorted(edits, key=lambda edit: (edit.start, edit.end)), tracks
