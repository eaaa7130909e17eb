"""Which links of a mail are followed, and which stay exactly as they are.

Called by tracker/mail/rewrite.py with what a link points to and what it reads like. The rules are PRODUCT's:
never unsubscribe, never anything but the web, never a link that shows its own address (another one below it
looks like phishing), and `#notrack` is the sender's word. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from tracker.mail.draft import MAX_URL, DraftError, is_untracked, read_url

# What a link reads like or points to when it ends a subscription, in the languages mail is written in.
_WORDS = """
    unsub, optout, opt-out, opt_out, opt out, listmanage, list-manage,
    removeme, remove-me, abmeld, abbestell, austrag, desabonn, désabonn, desinscri, désinscri,
    dar de baja, darse de baja, darme de baja, desuscri, cancelar suscri, cancelar la suscri,
    cancelar inscri, cancelar assinatura, descadastr, disiscri, annulla iscrizione, annulla l'iscrizione,
    uitschrijv, afmeld, avregistr, avprenumer, frameld, peruuta tilaus, wypis, odhlas, odhlás,
    leiratkoz, dezabon, abonelikten, отпис, відпис, 退订, 退訂, 配信停止, 購読解除, 수신거부, 구독 취소,
    إلغاء الاشتراك
"""
_UNSUBSCRIBE = tuple(word.strip() for word in _WORDS.split(","))
_DOMAIN = re.compile(
    r"(?:[^\s@/]+@)?(?P<name>(?:[\w-]+\.)+(?P<top>[^\W\d_]{2,24}|xn--[a-z0-9-]+))\.?(?::\d+)?(?P<path>[/?#]\S*)?",
    re.IGNORECASE,
)
_COMMON = re.compile(r"https?://[A-Za-z0-9][A-Za-z0-9.-]*(?:[/?#][!-~]*)?")  # needs no closer look
# "deck.pdf" is a file, whatever top level domains there are.
_FILES = (
    "7z ai avi bmp csv css doc docm docx dwg eml eps epub exe gif gz heic htm html ics indd ini ipynb jpeg "
    "jpg js json key log md mov mp mpeg msi numbers odp ods odt pages pdf png potx pps ppsx ppt pptm pptx ps "
    "psd py rar rtf sketch sql svg tar tex tif tiff ts tsv txt vcf wav webm webp wmv xls xlsb xlsm xlsx xml "
    "yaml yml zip"
)
_FILE = frozenset(_FILES.split())
_TOKEN = "[A-Za-z0-9_-]{22}"  # noqa: S105 - a pattern
_AROUND = " \t()[]{}<>«»“”„\"'‘’.,;:!?→›»|-–—"


def link_target(url: str) -> str | None:
    """The address of a link that can be followed at all, as it is stored; None for any other kind."""
    if len(url) <= MAX_URL and _COMMON.fullmatch(url):
        return url
    try:
        return read_url(re.sub(r"[\t\r\n]", "", url.strip(" \t\r\n\f")))
    except DraftError:
        return None


def followed(links: Sequence[tuple[str, str]], unsubscribing: frozenset[str]) -> list[bool]:
    """For each link (its URL, what it reads like) whether it may lead through us.

    `unsubscribing` are the addresses of the mail's own List-Unsubscribe header.
    """
    said = [f"{text} {unquote(url)}".lower() for url, text in links]
    page = "\n".join(said)
    words = [word for word in _UNSUBSCRIBE if word in page]
    return [
        not (
            is_untracked(url)
            or url in unsubscribing
            or shows_address(text)
            or any(word in said_here for word in words)
        )
        for (url, text), said_here in zip(links, said, strict=True)
    ]


def shows_address(text: str) -> bool:
    """Whether people read an address: `www.acme.com/deck`, `https://…`, `acme.com`; but not `deck.pdf`."""
    if "://" in text or "www." in text.lower():
        return True
    if "." not in text or len(text) > 300:
        return False
    found = _DOMAIN.fullmatch(text.strip(_AROUND))
    if found is None:
        return False
    return bool(found["path"]) or "@" in text or found["top"].lower() not in _FILE


def list_addresses(values: list[bytes]) -> frozenset[str]:
    """The web addresses of List-Unsubscribe headers."""
    text = b" ".join(values).decode("ascii", "replace")
    found = re.findall(r"<\s*(https?://[^<>]*)>", re.sub(r"\r?\n[ \t]", "", text), re.IGNORECASE)
    return frozenset(re.sub(r"\s", "", one) for one in found)


class OwnAddresses:
    """Recognises what points to this instance: its pixels, its links, anything else of it."""

    def __init__(self, base_url: str) -> None:
        base = base_url.rstrip("/")
        parts = urlsplit(base)
        self.host = (parts.netloc or base).lower()
        # The scheme and a proxy in front (Gmail's quotes hold `…googleusercontent.com/…#https://ours/o/…`)
        # may be anything.
        place = re.escape(base.partition("://")[2] or base)
        self._pixel = re.compile(rf"://{place}/o/{_TOKEN}\.gif", re.IGNORECASE)
        self._link = re.compile(rf"https?://{place}/c/({_TOKEN})(?:[/?#].*)?", re.IGNORECASE)

    def is_pixel(self, url: str) -> bool:
        """A pixel of ours, directly or through an image proxy that names it."""
        return self._pixel.search(url) is not None

    def link_token(self, url: str) -> str | None:
        """The token, if this is exactly a tracked link of ours."""
        found = self._link.fullmatch(url)
        return found[1] if found else None

    def mentions(self, url: str) -> bool:
        """Whether the URL leads to us in any way, also wrapped by somebody's link scanner."""
        return f"//{self.host}/" in unquote(unquote(url)).lower() + "/"
