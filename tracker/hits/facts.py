"""What is known of a request at arrival, worked out so that nothing full is ever stored.

Pure: the web handlers (tracker/web) call it with plain strings, the copy page uses the same device hash. It
never resolves names, never touches the network, and never fails on anything a stranger sends: a pixel is
always answered.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from models.columns import clean_text
from tracker.hits.networks import Block, Networks
from tracker.keys import keyed_hash

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

AGENT_LENGTH = 500
# The first of these that is sent says why a page is loaded before anybody looks at it.
PURPOSE_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
# Kept as they are, cut; they tell browsers from libraries. Languages are only noted as being there.
_KEPT_HEADERS = ("accept", "sec-fetch-dest", "sec-fetch-mode")


class Origin(NamedTuple):
    """Where a request came from, in the only form that is stored."""

    network: str | None  # "203.0.113.0/24", "2001:db8:1::/48"
    label: str | None  # a known network's name, from the full address
    device: str | None  # keyed hash of full address and user agent


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: with a port, brackets, a zone or quotes; None for anything else."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def address_text(text: str) -> str | None:
    """`parse_address` in its usual spelling; most are plain IPv4, which the system reads 20 times as fast."""
    text = text.strip()
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        parsed = parse_address(text)
        return None if parsed is None else str(parsed)
    return text


class Proxies:
    """The networks whose word on where a request came from is believed."""

    def __init__(self, networks: Iterable[Network]) -> None:
        blocks = ((Block(one.version, int(one[0]), int(one[-1])), "proxy") for one in networks)
        self._networks = Networks(blocks)

    def __contains__(self, address: str) -> bool:
        """`address` as `address_text` gives it."""
        return self._networks.label(address) is not None


def client_address(peer: str | None, forwarded: Sequence[str], proxies: Proxies) -> str | None:
    """The client's full address: the peer, or what a trusted proxy says in X-Forwarded-For.

    `forwarded` holds the header's values in order. They are walked from right to left past trusted networks,
    so that what a client wrote itself is never believed; garbage is passed over.
    """
    address = address_text(peer or "")
    if address is None or not forwarded or address not in proxies:
        return address
    for part in reversed(",".join(forwarded).split(",")[-50:]):
        hop = address_text(part)
        if hop is not None:
            address = hop
            if hop not in proxies:
                break
    return address


def truncate(address: str) -> str | None:
    """IPv4 to its /24, IPv6 to its /48: "203.0.113.0/24"; None for what is no address."""
    text = address_text(address)
    if text is not None and ":" not in text:
        return text[: text.rindex(".")] + ".0/24"
    parsed = parse_address(address)
    if parsed is None:
        return None
    return str(ipaddress.ip_network((parsed, 48), strict=False))


def clean_agent(agent: str | None) -> str | None:
    """A user agent as stored: one line, storable, cut; None where there is none."""
    if not agent:
        return None
    return " ".join(clean_text(agent, 4 * AGENT_LENGTH).split())[:AGENT_LENGTH] or None


def device_of(key: str, address: str | None, agent: str | None) -> str | None:
    """Keyed hash of a full address and a cleaned user agent: 32 hex digits, None without an address."""
    return keyed_hash(key, "device", f"{address}|{agent or ''}") if address else None


def origin_of(key: str, address: str | None, label: str | None, agent: str | None) -> Origin:
    """What is stored in place of the full `address`, with the `label` of its network; `agent` is cleaned."""
    if address is None:
        return Origin(None, None, None)
    return Origin(truncate(address), label, device_of(key, address, agent))


def purpose_of(headers: Mapping[str, str]) -> str | None:
    """What the request says it is for ("prefetch", "preview"…), cut to 40 characters."""
    for name in PURPOSE_HEADERS:
        value = headers.get(name)
        if value:
            return clean_text(value, 40).strip().lower() or None
    return None


def kept_headers(headers: Mapping[str, str]) -> str | None:
    """The few other headers worth keeping, as JSON; None when there are none.

    Of a Referer only the origin stays: the rest of it may name a mailbox.
    """
    kept = {name: clean_text(headers[name], 80) for name in _KEPT_HEADERS if name in headers}
    if "accept-language" in headers:
        kept["accept-language"] = "yes"
    referer = _origin_only(headers.get("referer", ""))
    if referer:
        kept["referer"] = referer
    return json.dumps(kept, separators=(",", ":")) if kept else None


def _origin_only(referer: str) -> str | None:
    try:
        parts = urlsplit(referer)
        host = parts.hostname
    except ValueError:
        return None
    return clean_text(f"{parts.scheme}://{host}", 80) if host and parts.scheme in ("http", "https") else None
