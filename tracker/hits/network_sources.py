"""Foreign lists of networks, recognised by what they look like: the clouds' JSON, SPF records, plain lists.

Pure: `update-networks` (bot/update_networks.py) hands in bytes that anybody may have written and gets a
checked list of ours, or a ListError that says what is wrong. Nothing is taken from what is not whole.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

from tracker.hits.network_lists import (
    MAX_BLOCKS,
    MAX_BYTES,
    ListError,
    NetworkList,
    check,
    join_blocks,
    parse_block,
)
from tracker.hits.networks import HOSTING, Block

FEWEST = 10  # a cloud with fewer networks is a broken answer, not a small cloud

_FIELD = re.compile(r"[\s,;#]")
_SPF = re.compile(r"(?:^|[\s\"])v=spf1\s")


class LabelNeededError(ListError):
    """The source does not say what its networks are; whoever calls must."""


def recognise(
    data: bytes, *, label: str | None, name: str | None, default_name: str, origin: str, today: dt.date
) -> NetworkList:
    """The list in `data`, checked. `label` and `name` win over what the source says of itself."""
    if len(data) > MAX_BYTES:
        raise ListError(f"it is larger than {MAX_BYTES >> 20} MB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ListError("it is no text") from None
    if "\x00" in text:
        raise ListError("it is no text")
    date, fewest = today, 1
    if text.lstrip()[:1] in ("{", "["):
        own_name, date, texts = _read_cloud(text, today)
        name, label, fewest = name or own_name, label or HOSTING, FEWEST
    elif _SPF.search(text):
        texts = _read_spf(text)
    else:
        texts = _read_plain(text)
    if label is None:
        raise LabelNeededError("a list of networks does not say what they are")
    blocks = join_blocks(_blocks(texts))
    if len(blocks) < fewest:
        raise ListError(f"it holds {len(blocks)} networks; fewer than {fewest} can't be all")
    return check(NetworkList(label, name or default_name, blocks, date, origin, "as its publisher says"))


def _blocks(texts: Iterator[tuple[str, str]]) -> Iterator[Block]:
    for number, (where, text) in enumerate(texts):
        if number >= MAX_BLOCKS:
            raise ListError(f"it has more than {MAX_BLOCKS} networks")
        try:
            yield parse_block(text)
        except ListError as error:
            raise ListError(f"{where}: {error}") from None


def _read_plain(text: str) -> Iterator[tuple[str, str]]:
    """One network a line; what follows a comma, a blank or # is passed over (Apple publishes such a CSV)."""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        field = _FIELD.split(line, maxsplit=1)[0]
        if field and not field.startswith("//"):
            yield f"line {number}", field


def _read_spf(text: str) -> Iterator[tuple[str, str]]:
    """The ip4: and ip6: of SPF records, also in the quoted pieces that `dig +short TXT` prints."""
    for word in re.sub(r'"[ \t]+"', "", text).replace('"', " ").split():
        kind, _, network = word.lstrip("+").partition(":")
        if kind.lower() in ("ip4", "ip6"):
            yield "the SPF record", network


def _read_cloud(text: str, today: dt.date) -> tuple[str, dt.date, Iterator[tuple[str, str]]]:
    """Name, date and networks of what AWS, Google Cloud and Azure publish for programs."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ListError("it begins like JSON and is none") from None
    if isinstance(found, dict):
        if isinstance(values := found.get("values"), list):
            return "Azure", today, _azure(values)
        prefixes = found.get("prefixes")
        if isinstance(prefixes, list) and isinstance(found.get("ipv6_prefixes"), list):
            return "AWS", _date(found.get("createDate"), today), _aws(prefixes + found["ipv6_prefixes"])
        if isinstance(prefixes, list):
            return "Google Cloud", _date(found.get("creationTime"), today), _google(prefixes)
    raise ListError("it is JSON, but not as AWS, Google Cloud or Azure publish their networks")


def _entries(values: list[Any], *names: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Each entry with the network that it names under one of `names`."""
    for value in values:
        network = (
            next((value[name] for name in names if name in value), None) if isinstance(value, dict) else None
        )
        if not isinstance(network, str):
            raise ListError("it has an entry without a network")
        yield value, network


def _aws(values: list[Any]) -> Iterator[tuple[str, str]]:
    """Of ip-ranges.json what is rented out (EC2); the rest are services that fetch nothing."""
    entries = list(_entries(values, "ip_prefix", "ipv6_prefix"))
    return (("prefixes", network) for value, network in entries if value.get("service") == "EC2")


def _google(values: list[Any]) -> Iterator[tuple[str, str]]:
    """All of cloud.json. goog.json looks alike and is Google itself, with Gmail's image proxy: refused."""
    for value, network in _entries(values, "ipv4Prefix", "ipv6Prefix"):
        if value.get("service") != "Google Cloud":
            raise ListError("it is a list of Google's own networks; take cloud.json, of those rented out")
        yield "prefixes", network


def _azure(values: list[Any]) -> Iterator[tuple[str, str]]:
    """Of the service tags the one that covers the whole cloud."""
    for value in values:
        if isinstance(value, dict) and value.get("name") == "AzureCloud":
            facts = value.get("properties")
            prefixes = facts.get("addressPrefixes") if isinstance(facts, dict) else None
            if not isinstance(prefixes, list) or not all(isinstance(one, str) for one in prefixes):
                raise ListError("its tag AzureCloud has no addressPrefixes")
            return (("AzureCloud", one) for one in prefixes)
    raise ListError("it has no tag AzureCloud")


def _date(text: Any, today: dt.date) -> dt.date:
    """The day in "2026-10-05-11-34-21" or ISO 8601; today for anything else, and for days to come."""
    try:
        return min(dt.date.fromisoformat(str(text)[:10]), today)
    except ValueError:
        return today
