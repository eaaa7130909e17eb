"""Puts the pixel and the links of one recipient into a mail, by byte offset: every other byte stays.

Called by the relay: `survey` once for a mail, to learn its links and whether it may be changed at all; then
`rewrite_for` once for each recipient. Signed, encrypted, calendar and plain mail, and whatever is odd, goes
through as it is, and the reason is told. Nothing here raises and nothing does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tracker.mail.encodings import Edit, apply_edits
from tracker.mail.links import OwnAddresses
from tracker.mail.pages import Page, Plan, UntouchedError, page_edits, read_pages
from tracker.mail.structure import LimitError, Part, locate
from tracker.mail.untouched import Untracked, untouchable

__all__ = ["Plan", "Rewritten", "Survey", "Untracked", "rewrite", "rewrite_for", "survey", "without_bcc"]


MAX_LINKS = 500  # each gets a token for each recipient; what comes after them stays as it is
_Shape = tuple[tuple[str, str, tuple[tuple[str, bytes], ...]], ...]
_BLIND = ("bcc", "resent-bcc")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The mail to send on. `edits` are all that differs from the original, by its offsets, in order."""

    content: bytes
    untracked: Untracked | None = None  # None: it is tracked
    edits: tuple[Edit, ...] = ()
    error: Exception | None = field(default=None, compare=False)  # behind Untracked.FAULT, for the log


@dataclass(frozen=True, slots=True)
class Survey:
    """What can be done with a mail. `links`: its URLs that may be tracked; `tokens`: ours in quoted text."""

    raw: bytes
    untracked: Untracked | None
    removed: tuple[Edit, ...] = ()  # the Bcc header
    pages: tuple[Page, ...] = field(default=(), repr=False)
    shape: _Shape = field(default=(), repr=False)
    error: Exception | None = None  # behind Untracked.FAULT, for the log

    @property
    def links(self) -> tuple[str, ...]:
        """The first MAX_LINKS URLs in the order of the mail, each once."""
        found = (link.url for page in self.pages for link in page.links if link.follow and not link.token)
        return tuple(dict.fromkeys(found))[:MAX_LINKS]

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
    removed = without_bcc(raw)
    try:
        mail = locate(raw)
        reason = untouchable(raw, mail)
        if reason is None:
            pages = tuple(read_pages(raw, mail, OwnAddresses(base_url)))
            return Survey(raw, None, removed, pages, _shape(mail))
    except (UntouchedError, LimitError) as error:
        reason = error.reason if isinstance(error, UntouchedError) else Untracked.STRUCTURE
    except Exception as error:  # whatever it is: the user's mail goes on as it came
        return Survey(raw, Untracked.FAULT, removed, error=error)
    return Survey(raw, reason, removed)


def rewrite_for(mail: Survey, plan: Plan) -> Rewritten:
    """The copy of one recipient. On any fault the original without its Bcc header, and the reason."""
    if mail.untracked is not None:
        return _as_it_is(mail, mail.untracked, mail.error)
    try:
        edits: list[Edit] = []
        tracks = False
        for page in mail.pages:
            wanted, tracks_here = page_edits(page, plan)
            edits += page.body.encode(wanted) if wanted else []
            tracks = tracks or tracks_here
        every = sorted((*mail.removed, *edits), key=lambda edit: (edit.start, edit.end))
        content = apply_edits(mail.raw, every)
        if _shape(locate(content)) != mail.shape:
            raise ValueError("the edits changed the structure")
        return Rewritten(content, None if tracks else Untracked.NOTHING, tuple(every))
    except Exception as error:  # whatever it is: the user's mail goes on as it came
        return _as_it_is(mail, Untracked.FAULT, error)


def _as_it_is(mail: Survey, reason: Untracked, error: Exception | None = None) -> Rewritten:
    return Rewritten(apply_edits(mail.raw, mail.removed), reason, mail.removed, error)


_BCC = re.compile(
    rb"^(?:resent-)?bcc[ \t]*:[^\n]*+(?:\n[ \t][^\n]*+)*+(?:\n|\Z)", re.IGNORECASE | re.MULTILINE
)
_HEADERS_END = re.compile(rb"\n\r?\n|\A\r?\n")


def without_bcc(raw: bytes) -> tuple[Edit, ...]:
    """Removals of the Bcc headers; they go even from mail that cannot be read otherwise."""
    return tuple(_bcc_headers(raw))


def _bcc_headers(raw: bytes) -> Iterator[Edit]:
    end = _HEADERS_END.search(raw)
    for found in _BCC.finditer(raw, 0, end.start() + 1 if end else len(raw)):
        yield Edit(found.start(), found.end(), b"")


def _shape(mail: Part) -> _Shape:
    """What no edit may change: types, encodings and headers of all parts."""
    return tuple(
        (
            part.type,
            part.encoding,
            tuple((one.name, one.value) for one in part.headers if one.name not in _BLIND),
        )
        for part in mail.walk()
    )
