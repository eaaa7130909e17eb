"""Which mail is never changed, and why; and which of its parts are shown as its text.

Called by tracker/mail/rewrite.py. Signatures break and encrypted parts hide what one would edit; invitations
and reports are read by programs; where two readers could see two structures, nobody edits. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from tracker.mail.encodings import glance
from tracker.mail.structure import Part


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


_PGP = re.compile(rb"(?:^|>)[ \t]*-----BEGIN PGP (SIGNED )?MESSAGE-----", re.MULTILINE)


def untouchable(raw: bytes, mail: Part) -> Untracked | None:
    """The reason to leave the whole mail alone, or None."""
    names = {header.name for header in mail.headers}
    if "dkim-signature" in names or "arc-seal" in names:
        return Untracked.SIGNED
    parts = list(own_parts(mail))
    types = {part.type for part in parts}
    if "multipart/signed" in types or "application/pgp-signature" in types:
        return Untracked.SIGNED
    for part in parts:
        is_opaque = part.parameters.get("name", "").lower().endswith(".p7m")
        if is_opaque or part.type in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
            is_signed = part.parameters.get("smime-type") == "signed-data"
            return Untracked.SIGNED if is_signed else Untracked.ENCRYPTED
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


def own_parts(part: Part) -> Iterator[Part]:
    """The parts of this mail, not those of messages attached to it."""
    yield part
    if not part.type.startswith("message/"):
        for child in part.children:
            yield from own_parts(child)


def showing(part: Part) -> list[Part]:
    """The HTML parts that get the pixel: one is shown, or of alternatives whichever is shown."""
    if part.type == "text/html":
        return [] if part.attached else [part]
    if not part.type.startswith("multipart/"):
        return []
    within = [found for child in part.children if (found := showing(child))]
    if part.type == "multipart/alternative":
        return [found for one in within for found in one]
    return within[0] if within else []
