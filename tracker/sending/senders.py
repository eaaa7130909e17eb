"""Whose address is whose: what an account may write from, and which addresses nobody is relayed to.

Called by tracker/sending/submission.py and receiving.py. The rules on strings are pure and strict: what two
programs could read differently is refused, not guessed.
"""

from __future__ import annotations

import re
import unicodedata

from models import Mailbox, OwnAddress

_LONGEST = 320
_LONGEST_LOCAL = 64  # RFC 5321, 4.5.3.1.1
_ATOM = r"[^\s\x00-\x20\x7f-\x9f()<>\[\]:;@\\,.\"\u2028\u2029\ud800-\udfff]+"
_LABEL = r"(?:[^\W_](?:[\w-]*[^\W_])?)"
_ADDRESS = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})*)")


async def addresses_of(account_id: int, mailbox_id: int) -> frozenset[str] | None:
    """What a login of this mailbox may write from; None where it has been disconnected meanwhile."""
    mailbox = await Mailbox.get_or_none(id=mailbox_id, account_id=account_id)
    if mailbox is None or mailbox.submission_digest is None:
        return None
    others = await OwnAddress.filter(account_id=account_id).values_list("address", flat=True)
    return frozenset([mailbox.address, *map(str, others)])


def same(address: str) -> str:
    """The form in which addresses are compared and stored."""
    return unicodedata.normalize("NFC", address).lower()


def address_fault(address: str, *, utf8: bool) -> str | None:
    """The SMTP reply to a recipient that is not taken; None for one that is.

    Forms that ask a server to pass mail on (percent hack, bang path, source route, quoted local parts) and
    addresses without a domain name are for nobody who submits mail to a provider.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        return "550 5.1.3 That address has no domain: write it as name@example.com"
    if domain.startswith("["):
        return "550 5.1.3 An IP address is no domain: write the address as name@example.com"
    if local.startswith('"') or '"' in address:
        return "550 5.1.3 Quoted addresses are not taken"
    if address.startswith("@") or ":" in address or "@" in local:
        return "550 5.7.1 Source routes are not taken: name only the last address"
    if "%" in local or "!" in local:
        return "550 5.7.1 Addresses with % or ! in them are not taken"
    if not _ADDRESS.fullmatch(address) or len(address) > _LONGEST:
        return "501 5.1.3 That is no mail address"
    if len(local.encode()) > _LONGEST_LOCAL or domain.rpartition(".")[2].isdigit():
        return "501 5.1.3 That is no mail address"
    if not utf8 and not address.isascii():
        return "553 5.6.7 An address with such letters needs SMTPUTF8"
    return None


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)|<[^<>]*>|,|[^",()<>]+|.', re.DOTALL)

_UNCLOSED = frozenset('<>()"')


def from_addresses(value: str) -> list[str] | None:
    """The addresses of an unfolded From header; None for what programs could read differently.

    A name without quotes may hold a comma, as bad clients write it; an address in such a name counts too.
    """
    parts = _split(value)
    if parts is None:
        return None
    found: list[str] = []
    for part in parts:
        in_brackets = [one[1:-1].strip() for one in part if one.startswith("<")]
        beside = "".join(one for one in part if one[0] not in '<"(').strip()
        if len(in_brackets) > 1:
            return None
        if in_brackets:
            found += in_brackets
            beside_it = [one.strip("'\",;") for one in beside.split() if "@" in one]
            found += beside_it
        elif "@" in beside:
            found.append(beside)
    return found or None


def _split(value: str) -> list[list[str]] | None:
    """The tokens between commas; None at the first quote, bracket or comment that is not closed."""
    parts: list[list[str]] = [[]]
    for found in _TOKEN.finditer(value):
        piece = found[0]
        if piece in _UNCLOSED:
            return None
        if piece == ",":
            parts.append([])
        else:
            parts[-1].append(piece)
    return parts
