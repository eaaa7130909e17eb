"""A mail as it goes over the wire to the provider: dots doubled, CRLF alone at the end of a line.

Called by tracker/sending/upstream.py. Pure; linear in the size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

PIECE = 256 * 1024

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def dotted(content: bytes) -> bytes:
    """The mail as it goes over the wire, without the last dot (RFC 5321, 4.5.2): CRLF alone ends a line.

    Bare ones, which some server could take for the end of the mail, are refused before this, at the door.
    """
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        content = _BARE.sub(b"\r\n", content)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    content = content.replace(b"\r\n.", b"\r\n..")
    return b"." + content if content.startswith(b".") else content


def in_pieces(content: bytes) -> Iterator[bytes]:
    """The bytes, so many at a time as may wait to be sent."""
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]
