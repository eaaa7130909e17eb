"""Where links, pixels of ours and the end of the body stand in HTML, by byte offset.

Called by tracker/mail/rewrite.py. A scanner that follows the tokenizer of the HTML standard as far as offsets
need it: comments, conditional comments, doctypes, style and script are passed over, attribute values may
hold any sign. It builds no tree and changes nothing. Linear: what is not closed ends the reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape
from html.entities import html5


class MarkupError(ValueError):
    """The HTML ends inside a tag, comment or style: what follows it could be swallowed."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A link: where the value of its href stands (without quotes), and what it reads like."""

    start: int
    end: int
    quote: bytes  # b'"', b"'" or nothing
    text_start: int
    text_end: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image that may be a pixel of ours: its whole tag, and its address as it stands there."""

    start: int
    end: int
    source: bytes


@dataclass(frozen=True, slots=True)
class Markup:
    """What a page of HTML holds of interest; `body_end` is where a pixel belongs.

    Of the images only those with `/o/` in their tag, as every pixel of ours has it.
    """

    anchors: tuple[Anchor, ...]
    images: tuple[Image, ...]
    body_end: int


_SPACE = rb"[\t\n\f\r ]"
# A name, and perhaps a value. A value whose quote is not closed is none: then the tag is not closed either.
_ATTRIBUTE = (
    rb"[^\t\n\f\r />][^\t\n\f\r />=]*+"
    rb"(?:%(s)s*+=%(s)s*+(?:\"[^\"]*+\"|'[^']*+'|[^\t\n\f\r >\"'][^\t\n\f\r >]*+|(?=>)))?+(?!%(s)s*+=)"
    % {b"s": _SPACE}
)
_TAG_REST = rb"(?:[\t\n\f\r /]++|%s)*+>" % _ATTRIBUTE
_NAMES = rb"a|area|style|script|title|textarea|xmp|iframe|noembed|noframes|plaintext|/a|/body|/html"


def _dull(names: bytes) -> re.Pattern[bytes]:
    """Everything up to the next tag of interest. A `<` that opens nothing is text."""
    tag = rb"<(?!(?:%s)[\t\n\f\r />])/?[a-z][^\t\n\f\r />]*+%s" % (names, _TAG_REST)
    return re.compile(rb"(?:[^<]++|<(?![a-z/!?])|%s)*+" % tag, re.IGNORECASE)


_DULL = _dull(_NAMES)
_DULL_BUT_IMAGES = _dull(_NAMES + b"|img")
_TAG = re.compile(rb"<(/?[a-z][^\t\n\f\r />]*+)%s" % _TAG_REST, re.IGNORECASE)
_EACH_ATTRIBUTE = re.compile(
    rb"([^\t\n\f\r />][^\t\n\f\r />=]*+)"
    rb"(?:%(s)s*+=%(s)s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\t\n\f\r >\"'][^\t\n\f\r >]*+))?+)?+" % {b"s": _SPACE}
)
_COMMENT_END = re.compile(rb"--!?>")
_RAW_TEXT = {
    name: re.compile(rb"</%s(?=[\t\n\f\r />])" % name, re.IGNORECASE)
    for name in (b"style", b"script", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes")
}


def read_markup(html: bytes) -> Markup:
    """The links, images and the end of the body. MarkupError if the page is not closed."""
    return _Scanner(html).read()


class _Scanner:
    """One reading of one page, from the top to the end."""

    def __init__(self, html: bytes) -> None:
        self.html = html
        self.anchors: list[Anchor] = []
        self.images: list[Image] = []
        self.open: tuple[int, int, bytes, int] | None = None  # a link whose text is being read
        self.body_end: int | None = None
        self.page_end: int | None = None

    def read(self) -> Markup:
        at, html = 0, self.html
        dull = _DULL_BUT_IMAGES if b"/o/" in html else _DULL
        while True:
            found = dull.match(html, at)
            at = found.end() if found else at
            if at == len(html):
                break
            at = self.read_tag(at) if html[at + 1 : at + 2] not in (b"!", b"?") else self.pass_comment(at)
        self.close_anchor(len(html))
        ends = [end for end in (self.body_end, self.page_end) if end is not None]
        return Markup(tuple(self.anchors), tuple(self.images), ends[0] if ends else len(html))

    def pass_comment(self, at: int) -> int:
        """The end of a comment, a doctype, `<![if !mso]>` or `<?xml …>`."""
        html = self.html
        if not html.startswith(b"<!--", at):
            return _behind(html.find(b">", at), 1)
        if html.startswith((b">", b"->"), at + 4):
            return html.index(b">", at) + 1
        found = _COMMENT_END.search(html, at + 4)
        return found.end() if found else _behind(-1, 0)

    def read_tag(self, at: int) -> int:
        """The end of the tag of interest at `at`, noted; or of `</` and something that is no name."""
        html = self.html
        tag = _TAG.match(html, at)
        if tag is None:
            if html[at + 1 : at + 2] == b"/" and not html[at + 2 : at + 3].isalpha():
                return _behind(html.find(b">", at), 1)
            raise MarkupError("a tag that is not closed")
        name = tag[1].lower()
        if name == b"a":
            self.close_anchor(at)
            self.open_anchor(tag)
        elif name == b"/a":
            self.close_anchor(at)
        elif name == b"area":
            self.open_anchor(tag)
            self.close_anchor(tag.end())
        elif name == b"img":
            self.note_image(tag)
        elif name == b"/body":
            self.body_end = at
        elif name == b"/html":
            self.page_end = at
        elif name in _RAW_TEXT:
            end = _RAW_TEXT[name].search(html, tag.end())
            return end.start() if end else _behind(-1, 0)
        elif name == b"plaintext":
            raise MarkupError("plain text without an end")
        return tag.end()

    def open_anchor(self, tag: re.Match[bytes]) -> None:
        found = _attribute(tag, b"href")
        if found:
            self.open = (*found, tag.end())

    def close_anchor(self, at: int) -> None:
        if self.open:
            start, end, quote, text = self.open
            self.anchors.append(Anchor(start, end, quote, text, max(at, text)))
        self.open = None

    def note_image(self, tag: re.Match[bytes]) -> None:
        if b"/o/" in tag[0] and (found := _attribute(tag, b"src")):
            self.images.append(Image(tag.start(), tag.end(), self.html[found[0] : found[1]]))


def _attribute(tag: re.Match[bytes], name: bytes) -> tuple[int, int, bytes] | None:
    """Where the value of the first attribute of that name stands, and its quote. The first one counts."""
    for found in _EACH_ATTRIBUTE.finditer(tag.string, tag.end(1), tag.end() - 1):
        if found[1].lower() == name:
            group = found.lastindex or 1
            return None if group == 1 else (*found.span(group), (b"", b"", b'"', b"'", b"")[group])
    return None


def _behind(at: int, length: int) -> int:
    if at < 0:
        raise MarkupError("something that is not closed")
    return at + length


_REFERENCE = re.compile(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]*;?)(?=(.?))", re.DOTALL)


def read_attribute(value: str) -> str:
    """What an attribute's value means: character references resolved by the rules for attributes.

    Unlike in text, `&copy=1` and `&copyright` stay as they are (HTML standard, 13.2.5.73).

    >>> read_attribute("?a=1&amp;copy=2&copy=3&lt=4&#38;x")
    '?a=1&copy=2&copy=3&lt=4&x'
    """
    return _REFERENCE.sub(_resolve, value) if "&" in value else value


def _resolve(found: re.Match[str]) -> str:
    name, following = found[1], found[2]
    if name.startswith("#"):
        return unescape("&" + name)
    if name.endswith(";"):
        if name in html5:
            return html5[name]
        return found[0]  # a shorter name in front is followed by a letter, so it stays as well
    return html5[name] if name in html5 and following != "=" else found[0]


def write_attribute(value: str, quote: bytes) -> bytes:
    """`value` as it stands between these quotes; without quotes it gets a pair."""
    text = escape(value).encode("ascii", "xmlcharrefreplace")
    return text if quote else b'"' + text + b'"'


_TAGS = re.compile(
    rb"<!--.*?(?:--!?>|\Z)|<[a-zA-Z/!?](?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^'\">])*+(?:>|\Z)", re.DOTALL
)
_MAX_TEXT = 4_000  # a longer link text is no address


def read_text(html: bytes, charset: str) -> str:
    """What people read of a piece of HTML: without tags, in one line."""
    text = _TAGS.sub(b"", html[:_MAX_TEXT]).decode(charset, "replace")
    return " ".join(unescape(text).replace("\u200b", "").replace("\u00ad", "").split())


def pixel_html(url: str) -> bytes:
    """The pixel as it stands in a mail. Without words, and not hidden: what is hidden, some clients skip."""
    source = escape(url)
    return (
        f'<img src="{source}" width="1" height="1" alt="" border="0" style="width:1px;height:1px;border:0">'
    ).encode()
