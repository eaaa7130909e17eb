"""Puts the pixel and the links of one recipient into a mail, by byte offset: every other byte stays.

Called by the relay: `survey` once for a mail, to learn its links and whether it may be changed at all; then
`rewrite_for` once for each recipient. Signed, encrypted, calendar and plain mail, and whatever is odd, goes
through as it is, and the reason is told. Nothing here raises and nothing does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tracker.mail.draft import is_untracked
from tracker.mail.encodings import Body, BodyError, Edit, apply_edits, glance, open_body
from tracker.mail.links import OwnAddresses, followed, link_target, list_addresses
from tracker.mail.markup import (
    Anchor,
    Markup,
    MarkupError,
    pixel_html,
    read_attribute,
    read_markup,
    read_text,
    write_attribute,
)
from tracker.mail.structure import LimitError, Part, locate


class Untracked(StrEnum):
    """Why a mail goes through as it is; the words stand behind "not tracked: " in chat."""

    SIGNED = "signed"
    ENCRYPTED = "encrypted"
    CALENDAR = "calendar invitation"
    REPORT = "delivery or read report"
    PLAIN = "plain text"
    CHARSET = "a character set that cannot be edited"
    ENCODING = "an encoding that cannot be edited"
    STRUCTURE = "an unusual structure"
    MARKUP = "unusual HTML"
    NOTHING = "nothing to track in it"
    FAULT = "a fault of ours"


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
class Rewritten:
    """The mail to send on. `edits` are all that differs from the original, by its offsets, in order."""

    content: bytes
    untracked: Untracked | None = None  # None: it is tracked
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class _Link:
    anchor: Anchor
    url: str  # without #notrack
    token: str | None  # of ours, in quoted text
    follow: bool
    unmark: tuple[Edit, ...] = ()  # takes #notrack away


@dataclass(frozen=True, slots=True)
class _Page:
    """An HTML body that can be edited."""

    body: Body
    markup: Markup
    links: tuple[_Link, ...]
    pixels: tuple[Edit, ...]  # take old pixels of ours away
    shows_pixel: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """What can be done with a mail. `links`: its URLs that may be tracked; `tokens`: ours in quoted text."""

    raw: bytes
    untracked: Untracked | None
    removed: tuple[Edit, ...] = ()  # the Bcc header
    pages: tuple[_Page, ...] = field(default=(), repr=False)
    shape: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def links(self) -> tuple[str, ...]:
        """URLs in the order of the mail, each once."""
        found = (link.url for page in self.pages for link in page.links if link.follow and not link.token)
        return tuple(dict.fromkeys(found))

    @property
    def tokens(self) -> tuple[str, ...]:
        """Tokens of old tracked links, each once: ask for their targets and give them to the plan."""
        found = (link.token for page in self.pages for link in page.links if link.token)
        return tuple(dict.fromkeys(found))


def rewrite(raw: bytes, plan: Plan, base_url: str) -> Rewritten:
    """One mail for one recipient: `survey` and `rewrite_for` at once."""
    return rewrite_for(survey(raw, base_url), plan)


def survey(raw: bytes, base_url: str) -> Survey:
    """What the mail is made of, and whether and where it can be changed. `base_url`: our public address."""
    removed = tuple(_bcc_headers(raw))
    try:
        mail = locate(raw)
        reason = _untouchable(raw, mail)
        if reason is None:
            pages = tuple(_read_pages(raw, mail, OwnAddresses(base_url)))
            return Survey(raw, None, removed, pages, _shape(mail))
    except (_UntouchedError, LimitError) as error:
        reason = error.reason if isinstance(error, _UntouchedError) else Untracked.STRUCTURE
    except Exception:  # whatever it is: the user's mail goes on as it came
        reason = Untracked.FAULT
    return Survey(raw, reason, removed)


def rewrite_for(mail: Survey, plan: Plan) -> Rewritten:
    """The copy of one recipient. On any fault the original without its Bcc header, and the reason."""
    if mail.untracked is not None:
        return _as_it_is(mail, mail.untracked)
    try:
        edits = [edit for page in mail.pages for edit in page.body.encode(_page_edits(page, plan))]
        if not edits:
            return _as_it_is(mail, Untracked.NOTHING)
        every = sorted((*mail.removed, *edits), key=lambda edit: (edit.start, edit.end))
        content = apply_edits(mail.raw, every)
        if _shape(locate(content)) != mail.shape:
            return _as_it_is(mail, Untracked.FAULT)
        return Rewritten(content, None, tuple(every))
    except Exception:  # whatever it is: the user's mail goes on as it came
        return _as_it_is(mail, Untracked.FAULT)


class _UntouchedError(Exception):
    """Leads out of the reading of a mail that stays as it is."""

    def __init__(self, reason: Untracked) -> None:
        super().__init__(reason.value)
        self.reason = reason


def _as_it_is(mail: Survey, reason: Untracked) -> Rewritten:
    return Rewritten(apply_edits(mail.raw, mail.removed), reason, mail.removed)


_BCC = re.compile(
    rb"^(?:resent-)?bcc[ \t]*:[^\n]*+(?:\n[ \t][^\n]*+)*+(?:\n|\Z)", re.IGNORECASE | re.MULTILINE
)
_HEADERS_END = re.compile(rb"\n\r?\n|\A\r?\n")


def _bcc_headers(raw: bytes) -> Iterator[Edit]:
    """Removals of the Bcc headers; they go even from mail that cannot be read otherwise."""
    end = _HEADERS_END.search(raw)
    for found in _BCC.finditer(raw, 0, end.start() + 1 if end else len(raw)):
        yield Edit(found.start(), found.end(), b"")


def _shape(mail: Part) -> tuple[tuple[str, str], ...]:
    return tuple((part.type, part.encoding) for part in mail.walk())


_PGP = re.compile(rb"(?:^|>)[ \t]*-----BEGIN PGP (SIGNED )?MESSAGE-----", re.MULTILINE)


def _untouchable(raw: bytes, mail: Part) -> Untracked | None:
    """The reason to leave the whole mail alone, or None."""
    names = {header.name for header in mail.headers}
    if "dkim-signature" in names or "arc-seal" in names:
        return Untracked.SIGNED
    parts = list(_own_parts(mail))
    types = {part.type for part in parts}
    if "multipart/signed" in types or "application/pgp-signature" in types:
        return Untracked.SIGNED
    for part in parts:
        is_opaque = part.parameters.get("name", "").lower().endswith(".p7m")
        if is_opaque or part.type in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
            return (
                Untracked.SIGNED
                if part.parameters.get("smime-type") == "signed-data"
                else Untracked.ENCRYPTED
            )
    if "multipart/encrypted" in types or "application/pgp-encrypted" in types:
        return Untracked.ENCRYPTED
    if any(part.type == "text/calendar" and _invites(part) for part in parts):
        return Untracked.CALENDAR
    if types & {"multipart/report", "message/delivery-status", "message/disposition-notification"}:
        return Untracked.REPORT
    if any(part.defect and (part is mail or _matters(part)) for part in parts):
        return Untracked.STRUCTURE
    return _inline_pgp(raw, parts)


def _matters(part: Part) -> bool:
    """A defect of an attachment is the attachment's own."""
    return part.type.startswith("multipart/") or part.type == "text/html"


def _invites(part: Part) -> bool:
    return "method" in part.parameters or not part.attached


def _inline_pgp(raw: bytes, parts: list[Part]) -> Untracked | None:
    for part in parts:
        if part.type not in ("text/plain", "text/html") or part.attached:
            continue
        text = glance(raw[part.body : part.end], part.encoding)
        if b"-----BEGIN PGP" in text and (found := _PGP.search(text)):
            return Untracked.SIGNED if found[1] else Untracked.ENCRYPTED
    return None


def _own_parts(part: Part) -> Iterator[Part]:
    """The parts of this mail, not those of messages attached to it."""
    yield part
    if not part.type.startswith("message/"):
        for child in part.children:
            yield from _own_parts(child)


def _showing(part: Part) -> list[Part]:
    """The HTML parts that get the pixel: one is shown, or of alternatives whichever is shown."""
    if part.type == "text/html":
        return [] if part.attached else [part]
    if not part.type.startswith("multipart/"):
        return []
    within = [found for child in part.children if (found := _showing(child))]
    if part.type == "multipart/alternative":
        return [found for one in within for found in one]
    return within[0] if within else []


# One byte is one sign below 0x40 in all of them, so that tags and quotes are what they look like.
_CHARSET = re.compile(
    r"(?:us-)?ascii|utf-?8|iso[-_]?8859[-_]?\d+(?:-[ei])?|latin-?\d|(?:windows|cp)-?(?:125\d|874|932|949|936|950)|"
    r"koi8-[ru]|macintosh|gb2312|gbk|gb18030|big5(?:-hkscs)?|euc-(?:jp|kr|cn|tw)|ks_c_5601-1987|shift[-_]jis|tis-620",
    re.IGNORECASE,
)


def _read_pages(raw: bytes, mail: Part, own: OwnAddresses) -> Iterator[_Page]:
    """The HTML bodies, ready for edits. If the one with the pixel cannot be edited, none is."""
    showing = _showing(mail)
    if not showing:
        raise _UntouchedError(Untracked.PLAIN)
    unsubscribing = list_addresses(mail.values("list-unsubscribe"))
    shown = {id(part) for part in showing}
    for part in _own_parts(mail):
        if part.type != "text/html" or part.attached:
            continue
        try:
            yield _read_page(raw, part, own, unsubscribing, id(part) in shown)
        except _UntouchedError:
            if id(part) in shown:
                raise


def _read_page(
    raw: bytes, part: Part, own: OwnAddresses, unsubscribing: frozenset[str], shows_pixel: bool
) -> _Page:
    charset = part.parameters.get("charset", "us-ascii").strip()
    if not _CHARSET.fullmatch(charset):
        raise _UntouchedError(Untracked.CHARSET)
    try:
        body = open_body(raw, part.body, part.end, part.encoding)
        if b"\0" in body.text or b"\x1b" in body.text:
            raise _UntouchedError(Untracked.CHARSET)
        markup = read_markup(body.text)
    except BodyError:
        raise _UntouchedError(Untracked.ENCODING) from None
    except MarkupError:
        raise _UntouchedError(Untracked.MARKUP) from None
    charset = _codec(charset)
    links = _read_links(body.text, markup.anchors, charset, own, unsubscribing)
    pixels = tuple(
        Edit(image.start, image.end, b"")
        for image in markup.images
        if own.is_pixel(read_attribute(image.source.decode("latin-1")))
    )
    return _Page(body, markup, tuple(links), pixels, shows_pixel)


def _codec(charset: str) -> str:
    """A codec that Python has; an ASCII part in practice holds anything."""
    try:
        "".encode(charset)
    except LookupError:
        return "latin-1"
    return "utf-8" if "ascii" in charset.lower() else charset


def _read_links(
    html: bytes, anchors: Sequence[Anchor], charset: str, own: OwnAddresses, unsubscribing: frozenset[str]
) -> Iterator[_Link]:
    """The links there is anything to do with."""
    found = [(anchor, url) for anchor in anchors if (url := _read_url(html, anchor, charset))]
    texts = [read_text(html[anchor.text_start : anchor.text_end], charset) for anchor, _ in found]
    follow = followed([(url, text) for (_, url), text in zip(found, texts, strict=True)], unsubscribing)
    for (anchor, url), may in zip(found, follow, strict=True):
        token = own.link_token(url)
        if is_untracked(url):
            yield _Link(anchor, url, None, False, tuple(_unmark(html, anchor)))
        elif token or (may and not own.mentions(url)):
            yield _Link(anchor, url, token, may)


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


def _page_edits(page: _Page, plan: Plan) -> list[Edit]:
    """All edits of one page in its decoded text, in order."""
    edits = list(page.pixels)
    for link in page.links:
        edits += link.unmark
        url = link.url
        if link.token:
            known = plan.original(link.token)
            if known is None:
                continue
            url = known
        tracked = plan.link(url) if link.follow else None
        if tracked or link.token:
            new = write_attribute(tracked or url, link.anchor.quote)
            edits.append(Edit(link.anchor.start, link.anchor.end, new))
    if page.shows_pixel and plan.pixel_url:
        edits.append(Edit(page.markup.body_end, page.markup.body_end, pixel_html(plan.pixel_url)))
    return sorted(edits, key=lambda edit: (edit.start, edit.end))
