"""Logins of mail programs at our submission server: made, kept as a digest, and checked.

A login is a name and an application password of one mailbox, made by `connect`. Checking costs 50 ms of a
processor on purpose, in threads of its own; a password that was right a moment ago is known again without.
An unknown name costs as much as a wrong password.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from models import Mailbox
from models.columns import clean_text
from tracker.keys import new_code

# RFC 7914; these cost 16 MB and some 50 ms.
_N, _R, _P = 2**14, 8, 1
_GROUPS = 4  # of four letters: 31^16, 79 bits
_KNOWN = 1_000
_LONGEST = 200
_LONGEST_NAME = 320
_USER_LENGTH = 8

# Two at a time, so that guessing takes no more than two processors and 32 MB.
_workers = ThreadPoolExecutor(2, "scrypt")
_process_key = secrets.token_bytes(32)
_known: OrderedDict[tuple[str, str], bytes] = OrderedDict()  # (name, digest) of right passwords


def new_login() -> tuple[str, str]:
    """A name such as "bell-k7m2qx9d" and a password such as "k7m2-qx9d-abcd-efgh", both new."""
    return f"bell-{new_code(_USER_LENGTH)}", new_password()


def new_password() -> str:
    """An application password that can be read out and typed on a phone."""
    return "-".join(new_code(4) for _ in range(_GROUPS))


def digest(password: str) -> str:
    """The stored form of a password. It takes some 50 ms: call it in a thread."""
    return _digest(password, secrets.token_bytes(16))


def _digest(password: str, salt: bytes) -> str:
    made = hashlib.scrypt(_plain(password), salt=salt, n=_N, r=_R, p=_P, dklen=32)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(made)}"


def _plain(password: str) -> bytes:
    """Typed in capitals, with spaces or without dashes it is the same password."""
    kept = "".join(one for one in password[:_LONGEST].lower() if one not in "- \t\u00a0")
    return kept.encode("utf-8", "replace")


def matches(password: str, stored: str) -> bool:
    """Whether `stored` is the digest of this password; in constant time. Call it in a thread."""
    kind, _, rest = stored.partition("$")
    parts = rest.split("$")
    if kind != "scrypt" or parts[:3] != [str(_N), str(_R), str(_P)]:
        return False
    return hmac.compare_digest(_digest(password, base64.b64decode(parts[3])), stored)


async def find_mailbox(user: str, password: str) -> Mailbox | None:
    """The mailbox whose login this is, or None. Run it where nobody cancels it.

    The mailbox's address is a name as well, where one account alone has connected it: it is what mail
    programs put in by themselves.
    """
    name = user.strip().lower()
    mailbox = await _named(name)
    stored = (mailbox.submission_digest if mailbox else None) or _nobody()
    hashed = hmac.digest(_process_key, _plain(password), "sha256")
    if mailbox is not None and _is_known(name, stored, hashed):
        return mailbox
    is_right = await asyncio.get_running_loop().run_in_executor(_workers, matches, password, stored)
    if mailbox is None or not is_right:
        return None
    _known[name, stored] = hashed
    while len(_known) > _KNOWN:
        _known.popitem(last=False)
    return mailbox


async def _named(name: str) -> Mailbox | None:
    if not name or len(name) > _LONGEST_NAME or name != clean_text(name):
        return None
    if "@" not in name:
        return await Mailbox.get_or_none(submission_user=name[:64])
    found = await Mailbox.filter(address=name, submission_digest__isnull=False).limit(2)
    return found[0] if len(found) == 1 else None


def _is_known(name: str, stored: str, hashed: bytes) -> bool:
    """Whether this very password was right before, for the login as it is now."""
    return hmac.compare_digest(_known.get((name, stored), b""), hashed)


_made_up: list[str] = []


def _nobody() -> str:
    """The digest that passwords of unknown names are held against; nothing matches it."""
    if not _made_up:
        _made_up.append(f"scrypt${_N}${_R}${_P}${_text(bytes(16))}${_text(secrets.token_bytes(32))}")
    return _made_up[0]


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
