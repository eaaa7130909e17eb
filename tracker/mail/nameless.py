"""Names in a list of recipients that came without an address: `Ana <ana@acme.com>, Bob`.

Called by tracker/mail/draft.py, which takes them for words of the subject; the person should know. Pure, and
rather silent than wrong: a subject behind a comma is no name.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(r'"[^"]*"')
_NAME_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[.'’-])*")
_MOST_WORDS = 3


def names_without_address(line: str) -> list[str]:
    """Parts between commas that follow an address, hold none, and look like somebody's name.

    Either an address comes later still; or it is a capitalised word or two at the very end, behind people
    who were written with name and address.
    """
    parts = [part.strip() for part in re.split("[,;]", _QUOTED.sub("", line))]
    listed = [position for position, part in enumerate(parts) if "@" in part]
    if not listed:
        return []
    first, last = listed[0], listed[-1]
    found = [part for part in parts[first:last] if _is_name(part)]
    ends_the_list = last == len(parts) - 2 and parts[last].endswith(">")
    if ends_the_list and _is_name(parts[-1]) and parts[-1].istitle() and len(parts[-1].split()) < _MOST_WORDS:
        found.append(parts[-1])
    return found


def _is_name(part: str) -> bool:
    words = part.split()
    return 0 < len(words) <= _MOST_WORDS and all(map(_NAME_WORD.fullmatch, words))
