"""Which addresses are the Internet's, and which lead to this machine or into the network behind it.

Pure. Asked wherever somebody else names a server that we then contact: tracker/sending/hosts.py for mail
servers, tracker/hits/network_fetch.py for lists.
"""

from __future__ import annotations

import ipaddress

from tracker.hits.facts import parse_address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_OLD_MAPPED = ipaddress.ip_network("::/96")  # RFC 4291, 2.5.5.1


def is_public(address: str) -> bool:
    """Whether the address is one of the Internet: not private, loopback, link-local, shared or multicast.

    An IPv4 address within an IPv6 one (mapped, 6to4, NAT64) counts for what it is.
    """
    parsed = parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.sixtofour
        if parsed in _NAT64 or parsed in _OLD_MAPPED:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if parsed.is_site_local:
            return False
    return parsed is not None and parsed.is_global and not parsed.is_multicast


def is_loopback_address(address: str) -> bool:
    """Whether the address is this machine's own."""
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback
