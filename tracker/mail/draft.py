"""What a person typed about a mail, read forgivingly: `ana@acme.com Q3 proposal https://acme.com/deck`.

Addresses and web addresses are picked out wherever they stand; what is left is the subject. Pure: no
database, no clock. Nothing is made up: every address, URL and word of the result stands in the text.
Called by the commands and by tracker/mail/import_list.py; tracker/mail/compose.py stores the result.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from models.columns import clean_text
from tracker.mail.nameless import names_without_address

MAX_RECIPIENTS = 50
MAX_LINKS = 50
MAX_SUBJECT = 255
MAX_URL = 4000
MAX_TEXT = 300_000
EXAMPLE = "track ana@acme.com Q3 proposal https://acme.com/deck"


class DraftError(ValueError):
    """The text cannot be made into a tracked mail; says what was wrong and what to type instead."""


@dataclass(frozen=True)
class Addressee:
    """Somebody a mail goes to; `address` in lower case, `name` empty where none was given."""

    address: str
    name: str = ""


@dataclass(frozen=True)
class Draft:
    """A mail to be tracked. `untracked` are the URLs that ended in #notrack, without it."""

    subject: str = ""
    recipients: tuple[Addressee, ...] = ()
    urls: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def parse_draft(text: str) -> Draft:
    """Addresses, URLs and the subject of `text`; without recipients it is fine, with nothing it is not.

    Raises DraftError, and nothing else, for an empty text, for too many recipients or links, and for an
    address of another kind than http and https.
    """
    if len(text) > MAX_TEXT:
        raise DraftError(f"That is too long. Type something like: {EXAMPLE}")
    reader = _Reader()
    end = -1
    line = clean_line(text)
    for found in _CHUNK.finditer(line):
        reader.glued = reader.glued and found.start() == end
        end = found.end()
        inside = found["angled"]
        if inside is not None:
            reader.read_angled(found[0], inside)
        else:
            reader.read_chunk(found[0])
    reader.warnings += [
        f"{shorten(name, 60)} has no mail address, so it is no recipient: type it like ana@acme.com."
        for name in names_without_address(line)[:MAX_RECIPIENTS]
    ]
    return reader.draft()


def clean_line(text: str, limit: int | None = None) -> str:
    """Outside text as one storable line: no control, bidi or zero-width characters, single spaces.

    The joiners that emoji and some scripts are spelled with stay where they stand between such letters.
    """
    kept: list[str] = []
    for character in clean_text(text):
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp", "Zs"):
            kept.append(" ")
        elif category != "Cf" or (character in "\u200c\u200d" and kept and ord(kept[-1]) > 0x2FF):
            kept.append(character)
    line = " ".join("".join(kept).split()).rstrip("\u200c\u200d")
    return line if limit is None else line[:limit].rstrip()


def read_address(text: str) -> str | None:
    """A mail address in lower case, freed of brackets, quotes and `mailto:`; None if it is none."""
    bare = text.strip(" <>()[]{}\"'“”‘’«»").rstrip(".,;:!?").removeprefix("mailto:").partition("?")[0]
    if "@" not in bare or len(bare) > 320:
        return None
    address = unicodedata.normalize("NFC", bare.replace("\u200c", "").replace("\u200d", "")).lower()
    return address if len(address) <= 320 and _ADDRESS.fullmatch(address) else None


def read_url(text: str) -> str:
    """The URL as it was given, if a link to it can be tracked; DraftError says why not."""
    url = clean_line(text)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        # A browser reads a backslash as the end of the host.
        usable = usable and "\\" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or " " in url:
        raise DraftError(
            f"“{shorten(url, 60)}” cannot be tracked: only a whole link that begins with http:// or "
            "https:// can. Leave it out, or type it like https://acme.com/deck"
        )
    if len(url) > MAX_URL:
        raise DraftError(f"“{shorten(url, 60)}” is longer than {MAX_URL} characters; use a shorter link")
    return url


def is_untracked(url: str) -> bool:
    """Whether the URL asks to be left as it is."""
    return url.lower().endswith(_NOTRACK)


def without_mark(url: str) -> str:
    """The URL without its #notrack."""
    return url[: -len(_NOTRACK)] if is_untracked(url) else url


def shorten(text: str, limit: int) -> str:
    """The text, cut to `limit` characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


_NOTRACK = "#notrack"
# <anything>, else what stands between spaces.
_CHUNK = re.compile(r"<(?P<angled>[^<>]*)>|[^\s<>]+|[<>]")
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://")
_NEXT_URL = re.compile(r"[,;]+(?=https?://)", re.IGNORECASE)
_LABEL = r"[^\W_](?:[\w-]*[^\W_])?"
_ADDRESS = re.compile(rf"[\w!#$%&*+=?^~'-]+(?:\.[\w!#$%&*+=?^~'-]+)*@(?:{_LABEL}\.)+[^\W\d_][\w-]*[^\W_]")
_BARE_DOMAIN = re.compile(rf"(?:www\.(?:{_LABEL}\.)+|(?:{_LABEL}\.)+[^\W\d_]{{2,}}/)\S*", re.IGNORECASE)
_CODE_URL = re.compile(r"(?:javascript|vbscript|data:[\w.+-]+/[\w.+-]+|data:[;,]|file:/)\S*:?", re.IGNORECASE)
_NAME_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[.'’-])*,?")
_GLUE = frozenset({"and", "&", "+", "to", "to:", "cc", "cc:", "bcc:", "for"})
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "‘": "’", "«": "»", "`": "`"}


@dataclass
class _Reader:
    """The text read so far. `words` is the subject to be; `run` counts its words since the last find."""

    recipients: dict[str, str] = field(default_factory=dict)
    urls: dict[str, None] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    run: int = 0
    glued: bool = False  # whether what comes next stands right behind the last word, without a space
    warnings: list[str] = field(default_factory=list)

    def read_angled(self, whole: str, inside: str) -> None:
        """`<ana@acme.com>` with the name before it, `<https://…>`, and Slack's `<address|label>`."""
        content = inside.partition("|")[0].strip()
        address = read_address(content)
        if address:
            self.add_recipient(address, self.take_name())
        elif _SCHEME.match(content) and " " not in content:
            self.add_url(content)
        else:
            for chunk in whole.split():
                self.add_words(chunk)
                self.glued = False
            self.glued = True

    def read_chunk(self, chunk: str) -> None:
        """What stands between two spaces: words, a URL, or several with commas between."""
        scheme = _SCHEME.search(chunk)
        if scheme is None:
            self.read_pieces(chunk)
            return
        before = chunk[: scheme.start()]
        if before.strip("([{\"'“‘«,;"):
            self.read_pieces(before)
        for part in _NEXT_URL.split(chunk[scheme.start() :]):
            self.add_url(_trim(part))

    def read_pieces(self, chunk: str) -> None:
        pieces = [piece for piece in re.split("[,;]", chunk) if piece]
        addresses = [read_address(piece) for piece in pieces]
        if not any(addresses):
            if pieces or not self.found_something_last:
                self.add_words(chunk)
            return
        for piece, address in zip(pieces, addresses, strict=True):
            if address:
                self.drop_glue()
                self.add_recipient(address, "")
            else:
                self.glued = False
                self.add_words(piece)

    @property
    def found_something_last(self) -> bool:
        return self.run == 0 and bool(self.recipients or self.urls)

    def add_words(self, chunk: str) -> None:
        if _CODE_URL.fullmatch(chunk):
            read_url(chunk)  # says why it cannot be tracked
        if _BARE_DOMAIN.fullmatch(chunk):
            self.warnings.append(f"{shorten(chunk, 60)} is not tracked: type it with https:// to track it.")
        elif re.fullmatch(r"\S+@\w\S*", chunk):
            self.warnings.append(f"{shorten(chunk, 60)} is no whole mail address: type it like ana@acme.com.")
        if self.glued:
            self.words[-1] += chunk
        else:
            self.words.append(chunk)
            self.run += 1
        self.run = 0 if chunk.endswith((",", ";")) else self.run
        self.glued = True

    def add_recipient(self, address: str, name: str) -> None:
        self.recipients[address] = self.recipients.get(address) or name
        self.run = 0
        self.glued = False

    def add_url(self, url: str) -> None:
        self.urls[read_url(url)] = None
        self.run = 0
        self.glued = False

    def drop_glue(self) -> None:
        """`ana@acme.com and bob@acme.com`: the "and" is no subject."""
        if self.run == 1 and self.words[-1].lower() in _GLUE:
            self.words.pop()

    def take_name(self) -> str:
        """The words before `<address>`, if they can be a name: quoted, or up to four without digits."""
        count = self.quoted_words() or self.run
        words = self.words[len(self.words) - count :] if count else []
        if words and words[0].lower() in _GLUE:
            words = words[1:]
        name = _unquote(" ".join(words))
        if len(words) > 4 or not all(map(_NAME_WORD.fullmatch, name.split())):
            return ""
        del self.words[len(self.words) - count :]
        return name[:200]

    def quoted_words(self) -> int:
        """How many of the last words a pair of quotes holds: `"Smith, Ana" <ana@acme.com>`."""
        if not self.words or self.words[-1][-1] not in _QUOTES.values():
            return 0
        for count, word in enumerate(reversed(self.words[-6:]), 1):
            if _QUOTES.get(word[0]) == self.words[-1][-1] and (count > 1 or len(word) > 1):
                return count
        return 0

    def draft(self) -> Draft:
        """The whole, or DraftError."""
        subject = re.sub(r"^subject:\s*", "", " ".join(self.words).strip(" ,;"), flags=re.IGNORECASE)
        subject = _unquote(subject).strip(" ,;")
        if not (subject or self.recipients or self.urls):
            raise DraftError(f"There is nothing to track yet. Type something like: {EXAMPLE}")
        if len(self.recipients) > MAX_RECIPIENTS:
            raise DraftError(
                f"These are {len(self.recipients)} recipients, and one mail takes {MAX_RECIPIENTS}: "
                "split it into several, or bring them in with import-list"
            )
        if len(self.urls) > MAX_LINKS:
            raise DraftError(
                f"These are {len(self.urls)} links, and one mail takes {MAX_LINKS}: leave some out"
            )
        if len(subject) > MAX_SUBJECT:
            self.warnings.append(f"The subject was cut to {MAX_SUBJECT} characters.")
        untracked = tuple(without_mark(url) for url in self.urls if is_untracked(url))
        return Draft(
            subject=subject[:MAX_SUBJECT].rstrip(),
            recipients=tuple(Addressee(address, name) for address, name in self.recipients.items()),
            urls=tuple(url for url in self.urls if not is_untracked(url)),
            untracked=untracked,
            warnings=tuple(dict.fromkeys(self.warnings)),
        )


def _unquote(text: str) -> str:
    """Without the pair of quotes around the whole of it."""
    while len(text) >= 2 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


def _trim(url: str) -> str:
    """Without what a sentence puts after a URL: `.`, `,`, quotes, a bracket that was opened before it."""
    while url and len(url) <= MAX_URL:  # a longer one is refused anyway
        last = url[-1]
        opened = {")": "(", "]": "[", "}": "{"}.get(last)
        if last in ".,;\"'”’»" or (opened and url.count(last) > url.count(opened)):
            url = url[:-1]
        else:
            break
    return url
