"""The lists behind the labels: files that say of whom they are, from when, and under which licence.

Those in tracker/hits/data come with mailbell; those in DATA_DIR/networks are written by `update-networks` and
replace what comes with it of the same kind and name. Read at the start and when a file changes
(tracker/web/networks_watch.py), never on the way of a request. A file that cannot be used is told and left
out.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.hits.networks import KINDS, Block, Networks, label_of

log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "data"
FOLDER = "networks"  # inside DATA_DIR
OLD = dt.timedelta(days=180)

MAX_BYTES = 32 * 1024 * 1024
MAX_BLOCKS = 500_000  # Apple's list of relays has 290,000
SHORTEST = {4: 8, 6: 16}  # a shorter prefix is a mistake: no company has so much
# An eighth of all IPv4 addresses; the largest cloud has an eightieth.
MAX_ADDRESSES = 2**29

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .&+-]{0,27}")
_HEADER = re.compile(r"#\s*(label|date|origin|licence):\s*(.*)")
# Nobody's hits come from these: special-purpose addresses of RFC 6890 that are not reachable from everywhere.
_LOCAL4 = tuple(
    (int(network.network_address), int(network.broadcast_address))
    for network in map(
        ipaddress.IPv4Network,
        ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
         "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
    )
)  # fmt: skip
_GLOBAL6 = ipaddress.IPv6Network("2000::/3")


class ListError(Exception):
    """A list that cannot be used; the text says where and why."""


@dataclass(frozen=True)
class NetworkList:
    """The networks of one owner."""

    kind: str
    name: str
    blocks: tuple[Block, ...]
    date: dt.date
    origin: str = ""
    licence: str = ""
    path: Path | None = None

    @property
    def key(self) -> tuple[str, str]:
        """A list replaces another of the same key."""
        return self.kind, self.name.casefold()


def parse_block(text: str) -> Block:
    """A network such as 203.0.113.0/24, or a lone address; ListError if it is none, too large or private."""
    address, slash, length = text.partition("/")
    family, bits = (socket.AF_INET6, 128) if ":" in address else (socket.AF_INET, 32)
    if slash and not (length.isascii() and length.isdecimal() and len(length) < 4):
        raise ListError(f"{_shown(text)} is no network")
    try:
        first = int.from_bytes(socket.inet_pton(family, address))
    except (OSError, ValueError):
        raise ListError(f"{_shown(text)} is no network") from None
    prefix = int(length) if slash else bits
    version = 6 if bits == 128 else 4
    if prefix > bits:
        raise ListError(f"{_shown(text)} is no network")
    if prefix < SHORTEST[version]:
        raise ListError(f"{_shown(text)} is far too large; /{SHORTEST[version]} is the largest")
    rest = (1 << (bits - prefix)) - 1
    if first & rest:
        raise ListError(f"{_shown(text)} begins inside a network of that length")
    if _is_local(version, first, first + rest):
        raise ListError(f"{_shown(text)} is private or special, not of the Internet")
    return Block(version, first, first + rest)


def _is_local(version: int, first: int, last: int) -> bool:
    if version == 6:
        return first < int(_GLOBAL6.network_address) or last > int(_GLOBAL6.broadcast_address)
    return any(low <= last and first <= high for low, high in _LOCAL4)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 50 else text[:50] + "…")


def join_blocks(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The same addresses in as few ranges as there can be: sorted, neither overlapping nor touching."""
    joined: list[Block] = []
    for block in sorted(blocks):
        before = joined[-1] if joined else None
        if before is not None and before.version == block.version and block.first <= before.last + 1:
            if block.last > before.last:
                joined[-1] = before._replace(last=block.last)
        else:
            joined.append(block)
    return tuple(joined)


def count_addresses(blocks: Iterable[Block]) -> int:
    """How much of the Internet they are, in IPv4 addresses; a /32 of IPv6 weighs as much as 256 of them."""
    return sum(
        (last - first + 1) if version == 4 else (last - first + 1) >> 88 for version, first, last in blocks
    )


def write_blocks(blocks: Iterable[Block]) -> list[str]:
    """Networks as text, in as few as there can be."""
    lines: list[str] = []
    for version, first, last in join_blocks(blocks):
        kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        lines += map(str, ipaddress.summarize_address_range(kind(first), kind(last)))
    return lines


def check(one: NetworkList) -> NetworkList:
    """`one` as it is, or ListError: kind, name and amount are sane."""
    if one.kind not in KINDS:
        raise ListError(f"{_shown(one.kind)} is no label; there are: {', '.join(KINDS)}")
    if not NAME.fullmatch(one.name):
        raise ListError(f"{_shown(one.name)} is no name: up to 28 letters, digits, spaces and . & + -")
    if not one.blocks:
        raise ListError(f"{one.name} has no networks")
    if len(one.blocks) > MAX_BLOCKS:
        raise ListError(f"{one.name} has {len(one.blocks)} networks; the most is {MAX_BLOCKS}")
    if count_addresses(join_blocks(one.blocks)) > MAX_ADDRESSES:
        raise ListError(f"{one.name} is more than an eighth of the Internet")
    return one


def write_list(one: NetworkList) -> str:
    """The text of a file that `read_lists` reads back."""
    head = [f"# label: {one.kind}", f"# origin: {_one_line(one.origin)}", f"# date: {one.date}"]
    return "\n".join(
        [*head, f"# licence: {_one_line(one.licence)}", f"[{one.name}]", *write_blocks(one.blocks), ""]
    )


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:300]


def read_lists(text: str, path: Path | None = None) -> list[NetworkList]:
    """Every list in a file of ours; ListError names the line of the first fault."""
    header = {"label": "", "date": "", "origin": "", "licence": ""}
    found: dict[str, list[Block]] = {}
    blocks: list[Block] | None = None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line.startswith("#"):
            if blocks is None and (match := _HEADER.fullmatch(line)):
                header[match[1]] = match[2].strip()
        elif line.startswith("["):
            blocks = found.setdefault(line[1:].removesuffix("]"), [])
        elif line:
            if blocks is None:
                raise ListError(f"line {number}: a network before the first [name]")
            try:
                blocks.append(parse_block(line))
            except ListError as error:
                raise ListError(f"line {number}: {error}") from None
    try:
        date = dt.date.fromisoformat(header["date"])
    except ValueError:
        raise ListError("there is no line such as “# date: 2026-10-05”") from None
    made = NetworkList(header["label"], "", (), date, header["origin"], header["licence"], path)
    return [check(replace(made, name=name, blocks=tuple(ones))) for name, ones in found.items()]


def read_file(path: Path) -> list[NetworkList]:
    """The lists of one file; ListError names it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ListError(f"is larger than {MAX_BYTES >> 20} MB")
        return read_lists(path.read_text(encoding="utf-8"), path)
    except (ListError, OSError, UnicodeDecodeError) as error:
        raise ListError(f"{path.name}: {error}") from None


def shipped() -> tuple[NetworkList, ...]:
    """What comes with mailbell."""
    return tuple(one for path in sorted(SHIPPED.glob("*.txt")) for one in read_file(path))


def in_use(directory: Path) -> list[NetworkList]:
    """The lists that count: those in `directory`, then what comes with mailbell and is not replaced."""
    own: list[NetworkList] = []
    for path in sorted(directory.glob("*.txt")) if directory.is_dir() else ():
        try:
            own += read_file(path)
        except ListError as error:
            log.error("network list left out: %s", error)
    replaced = {one.key for one in own}
    return own + [one for one in shipped() if one.key not in replaced]


def build(lists: Iterable[NetworkList]) -> Networks:
    """The look-up over these lists."""
    return Networks((block, label_of(one.kind, one.name)) for one in lists for block in one.blocks)
