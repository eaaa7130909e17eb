"""What to put instead of a value that a setting cannot have: one plain sentence for each kind of fault.

Called by tracker/settings.py, for operators who read the line in a terminal. Pure but for `check_file`, which
looks whether a file can be read; it never shows a value.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

HIGHEST_PORT = 65535
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# The last label of a name is no number: 300.1.1.1 is a mistyped address.
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\.?$){_LABEL}\.?", re.IGNORECASE)


def remedy(field: FieldInfo, kind: str, text: str, context: dict[str, Any]) -> str:
    """What to put; `kind`, `text` and `context` are pydantic's of this fault of this field."""
    if kind == "value_error":
        return text.removeprefix("Value error, ")
    if kind == "literal_error":
        words = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        return f"put one of {words}"
    if kind.startswith("bool"):
        return "put true or false"
    if kind.startswith(("int", "greater_than", "less_than")):
        low = next((one.ge for one in field.metadata if isinstance(one, Ge)), 0)
        high = next((one.le for one in field.metadata if isinstance(one, Le)), None)
        if high == HIGHEST_PORT:
            return f"put a number from 0 to {high}, or leave it empty to switch this off"
        if kind.startswith("less_than"):
            return f"put a whole number of {high} or less"
        return f"put a whole number of {low} or more"
    return "put a plain text"


def check_host(value: str, example: str) -> str:
    """The address or name of a host; ValueError says what to put."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if len(value) > 253 or not _NAME.fullmatch(value):
            raise ValueError(f"put {example}") from None
    return value


def check_file(path: str) -> str:
    """A file that can be read, by its path; ValueError says why not, and what to put."""
    try:
        if not Path(path).is_fifo():  # opening one could wait for ever
            with Path(path).open("rb") as file:
                file.read(1)
            return path
        why = "it is a pipe"
    except OSError as error:
        why = str(error.strerror)
    except ValueError:
        why = "no path holds a NUL"
    raise ValueError(f"put the path of a file that can be read (this one: {why})")
