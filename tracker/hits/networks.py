"""Whose network is this address from? An immutable look-up from full addresses to labels.

Asked once for each new address at arrival (tracker/web/intake.py), because only the truncated address is
stored: the rules see the label and nothing else. Built from the lists that tracker/hits/network_lists.py
reads. It never touches a file or the network, and never fails on anything that is no address.
"""

from __future__ import annotations

import heapq
import socket
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

MAIL_FILTER = "mail-filter"  # mail is filtered here, and nobody reads: a scan at any time
SECURITY = "security"  # companies that check mail and links: a scan soon after sending
RELAY = "relay"  # people's relays: proves nothing, and keeps an address from counting as hosting
HOSTING = "hosting"  # machines for rent: a scan within moments of sending
# Where lists overlap, the first of these wins; of one kind, the narrower network.
KINDS = (MAIL_FILTER, SECURITY, RELAY, HOSTING)


class Block(NamedTuple):
    """A network: its first and last address as numbers."""

    version: int  # 4 or 6
    first: int
    last: int


def label_of(kind: str, name: str) -> str:
    """What is stored: the kind and whose network it is, such as "hosting/AWS"; at most 40 characters."""
    return f"{kind}/{name}"[:40] if name else kind


def kind_of(label: str | None) -> str | None:
    """The part of a label that the rules ask for."""
    return None if label is None else label.partition("/")[0]


def owner_of(label: str) -> str:
    """Whose network a label names, for sentences; the kind where nobody is named."""
    return label.partition("/")[2] or label


class Networks:
    """Sorted, disjoint ranges: one bisection tells the label of an address in about a microsecond."""

    __slots__ = ("_labels", "_marks4", "_marks6", "_starts4", "_starts6")

    def __init__(self, blocks: Iterable[tuple[Block, str]]) -> None:
        """Each block with its label, as `label_of` makes it; overlaps and any order are fine."""
        labels: dict[str, int] = {}
        by_version: dict[int, list[_Span]] = {4: [], 6: []}
        for (version, first, last), label in blocks:
            number = labels.setdefault(label, len(labels) + 1)
            kind = kind_of(label)
            rank = KINDS.index(kind) if kind in KINDS else len(KINDS)
            by_version[version].append((first, last + 1, (rank, last - first, number)))
        self._labels = (None, *labels)
        starts, marks = _flatten(by_version[4])
        self._starts4, self._marks4 = array("L", starts), array("H", marks)
        # Not for arrays: an IPv6 address has 128 bits.
        self._starts6, marks = _flatten(by_version[6])
        self._marks6 = array("H", marks)

    def __len__(self) -> int:
        """How many disjoint ranges there are."""
        return sum(1 for marks in (self._marks4, self._marks6) for mark in marks if mark)

    def label(self, address: str | None) -> str | None:
        """The label of a full address as `facts.client_address` writes it; None for any other text."""
        if not address:
            return None
        try:
            if ":" in address:
                number = int.from_bytes(socket.inet_pton(socket.AF_INET6, address))
                return self._labels[self._marks6[bisect_right(self._starts6, number) - 1]]
            number = int.from_bytes(socket.inet_pton(socket.AF_INET, address))
        except (OSError, ValueError):
            return None
        return self._labels[self._marks4[bisect_right(self._starts4, number) - 1]]


_Rank = tuple[int, int, int]  # kind, size, number of the label
_Span = tuple[int, int, _Rank]  # first address, the one after the last, rank


def _flatten(spans: list[_Span]) -> tuple[list[int], list[int]]:
    """Where each stretch begins and the number of its label (0: none), the best of overlapping spans winning.

    The first stretch begins at 0, so that every address falls into one.
    """
    starts, marks = [0], [0]
    spans.sort()
    edges = sorted({edge for first, after, _ in spans for edge in (first, after)})
    open_spans: list[tuple[_Rank, int]] = []  # rank, where it ends
    at = 0
    for edge in edges:
        while at < len(spans) and spans[at][0] == edge:
            heapq.heappush(open_spans, (spans[at][2], spans[at][1]))
            at += 1
        while open_spans and open_spans[0][1] <= edge:
            heapq.heappop(open_spans)
        mark = open_spans[0][0][2] if open_spans else 0
        if mark != marks[-1]:
            if edge == starts[-1]:
                marks[-1] = mark
            else:
                starts.append(edge)
                marks.append(mark)
    return starts, marks
