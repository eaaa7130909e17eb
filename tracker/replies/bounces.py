"""What a server says of mail that it could not deliver: to whom, why, and which mail it was.

Pure, of the standard library alone; called by tracker/mail/parsing.py. The standard is RFC 3464. Half of the
servers follow none: then the words of postfix, qmail, Exim, Exchange, Gmail and sendmail are read, as far as
one line says an address and another a reason. Nothing is guessed: without either it is no bounce.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message

MOST_TEXT = 64 * 1024  # characters of the words that are looked at
MOST_FAILED = 50
MOST_WHY = 300


@dataclass(frozen=True)
class Returned:
    """kind: bounce (it failed for good) | delay (it is tried again) | auto (neither)."""

    kind: str
    failed: tuple[str, ...] = ()  # whom it did not reach (of a delay: not yet)
    why: str = ""  # in the server's words
    ids: tuple[str, ...] = ()  # Message-IDs of the mail that came back


def read_returned(parts: Sequence[Message], subject: str) -> Returned:
    """What the mail's parts, the mail itself first, say of the mail that did not arrive."""
    texts = [_text(part) for part in parts if part.get_content_maintype() == "text"]
    ids = tuple(dict.fromkeys(_returned_ids(parts, texts)))[:10]
    reports = [part for part in parts if "Action" in part or "Final-Recipient" in part]
    if reports:
        return _read_reports(reports, ids)
    failed_header = str(parts[0].get("X-Failed-Recipients", "")) if parts else ""
    notice = _notice(texts[0] if texts else "")
    failed = [*_addresses(failed_header), *_named(notice)]
    if _DELAYED.search(subject) or (_DELAYED.search(notice[:4_000]) and not _FAILED.search(subject)):
        return Returned("delay", _unique(failed), _reason(notice), ids)
    if not (failed_header or _FAILED.search(subject) or _FAILED.search(notice[:8_000])):
        return Returned("auto", ids=ids)
    return Returned("bounce", _unique(failed or _addresses(notice)), _reason(notice), ids)


def _read_reports(reports: Sequence[Message], ids: tuple[str, ...]) -> Returned:
    """The blocks of a delivery status, one for each recipient (RFC 3464, 2.3); what failed goes first."""
    by_action: dict[str, list[Message]] = {"bounce": [], "delay": []}
    for part in reports:
        kind = _action(part)
        if kind is not None:
            by_action[kind].append(part)
    for kind, blocks in by_action.items():
        if blocks:
            failed = [address for block in blocks for address in _recipients(block)]
            why = next(filter(None, map(_diagnosis, blocks)), "")
            return Returned(kind, _unique(failed), why, ids)
    return Returned("auto", ids=ids)


def _action(block: Message) -> str | None:
    """Failed and delayed by the action; without one by the first figure of the status (RFC 3463)."""
    action = str(block.get("Action", "")).partition("(")[0].strip().lower()
    if action:
        return {"failed": "bounce", "delayed": "delay"}.get(action)
    return {"5": "bounce", "4": "delay"}.get(str(block.get("Status", "")).strip()[:1])


def _recipients(block: Message) -> Iterator[str]:
    for name in ("Original-Recipient", "Final-Recipient"):
        yield from _addresses(str(block.get(name, "")).rpartition(";")[2])


def _diagnosis(block: Message) -> str:
    """The server's words, else the status alone."""
    said = _line(str(block.get("Diagnostic-Code", "")))
    said = re.sub(r"^(?:smtp|x-[\w-]+|dns|unix)\s*;\s*", "", said, flags=re.IGNORECASE)
    return said or _line(str(block.get("Status", "")))


_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_ID = re.compile(r"(?im)^[> \t]{0,4}message-id:\s*(?:\n[ \t]+)?<([^<>\s]{1,990})>")
# From here on it is the mail that came back, or a technical annex with all its hops.
_COPY = re.compile(
    r"(?im)^[ \t]*(?:-{2,80}[^\n]{0,80}?(?:below this line|copy of (?:the|your) (?:original )?message|"
    r"original message|"
    r"returned message|message headers follow|unsent message)|original message headers|"
    r"-{3,80}[ \t]*(?:original message|undelivered message|ursprüngliche nachricht|message d'origine))"
)
_FAILED = re.compile(
    r"undeliver|not (?:be )?delivered|delivery (?:has )?fail|fail(?:ed|ure)|permanent (?:fatal )?error|"
    r"return(?:ed|ing) (?:mail|message|to sender)|couldn'?t be (?:found|delivered)|"
    r"could not be delivered|wasn'?t delivered|unable to deliver|not found|address rejected|user unknown|"
    r"unzustellbar|nicht zugestellt|zustellung fehlgeschlagen|non remis|échec de la remise|"
    r"no se (?:ha )?(?:pudo|puede|podido) entregar|no entregado|mancat[ao] recapito|non recapitabile|"
    r"onbestelbaar|не доставлено",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"delay(?:ed)?\b|warning: (?:could not send|message)|"
    r"(?:will|continue to) (?:be )?(?:retr(?:y|ied)|keep trying)|"
    r"(?:has|have) not yet been delivered|still (?:being )?(?:retried|trying)|do not need to resend|"
    r"verzögert|retard[ée]|retrasad|ritard",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"(?<![\d.])#?(?:[45]\d\d(?:[- ]#?[45]\.\d{1,3}\.\d{1,3})?|[45]\.\d{1,3}\.\d{1,3})(?![\d.])"
)


def _notice(text: str) -> str:
    """What the server itself says, before the copy of the mail."""
    found = _COPY.search(text)
    return text[: found.start()] if found else text[:20_000]


def _named(notice: str) -> list[str]:
    """Addresses on lines of their own, or with what names them, as these programs print them."""
    found: list[str] = []
    for line in notice.splitlines()[:400]:
        plain = line.strip().strip("*•-# ")
        address = _ADDRESS.search(plain)
        if address is None:
            continue
        rest = (plain[: address.start()] + plain[address.end() :]).strip(" <>():;,.\t[]")
        told = re.search(r"deliver|fail|remis|zugestell|entrega|recapit|address", rest, re.IGNORECASE)
        # A line of its own, "<ana@acme.com>: why", "Ana (ana@acme.com)", or a sentence that says so.
        if not rest or plain.startswith("<") or told or len(rest) < 60:
            found += _addresses(plain)
    return found


def _reason(notice: str) -> str:
    """The first line with a code of SMTP, with what it continues on; else what follows the address."""
    lines = [line.strip() for line in notice.splitlines()[:400]]
    for place, line in enumerate(lines):
        if _CODE.search(line):
            whole = line
            for more in lines[place + 1 : place + 4]:
                if not more or _ADDRESS.fullmatch(more.strip("<>:")):
                    break
                whole += f" {more}"
            return _line(_without_address(whole))
    for place, line in enumerate(lines):
        if _ADDRESS.search(line):
            after = [one for one in lines[place + 1 : place + 6] if one]
            if after:
                return _line(after[0])
    return ""


def _without_address(line: str) -> str:
    """`<ana@acme.com>: host … said: 550 …` without its beginning."""
    return re.sub(rf"^<?{_ADDRESS.pattern}>?(?:\s*\([^)]*\))?\s*:\s*", "", line)


def _returned_ids(parts: Sequence[Message], texts: Sequence[str]) -> Iterator[str]:
    """Of the mail that came back: as a part of its own, as its headers, or copied into the text."""
    for part in parts[1:]:
        yield from re.findall(r"<([^<>\s]{1,990})>", str(part.get("Message-ID", "")))
    for text in texts:
        yield from _ID.findall(text)


def _text(part: Message) -> str:
    try:
        payload = part.get_payload(decode=True)
        raw = payload if isinstance(payload, bytes) else b""
        charset = part.get_content_charset() or "utf-8"
        try:
            text = raw[:MOST_TEXT].decode(charset, "replace")
        except LookupError:
            text = raw[:MOST_TEXT].decode("utf-8", "replace")
    except Exception:  # the library raises nearly anything on hostile bytes
        return ""
    if part.get_content_subtype() == "html":
        text = re.sub(r"(?i)<(?:br|/p|/div|/tr|/h\d)[^<>]{0,200}>", "\n", text)
        text = html.unescape(re.sub(r"<(?!\S{1,80}@)[^<>]{0,2000}>", " ", text))
    return text.replace("\r\n", "\n").replace("\xa0", " ")


def _addresses(text: str) -> list[str]:
    return [one.strip(".").lower()[:320] for one in _ADDRESS.findall(text[:4_000])][:MOST_FAILED]


def _unique(addresses: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(addresses))[:MOST_FAILED]


def _line(text: str) -> str:
    return " ".join(text.split())[:MOST_WHY]
