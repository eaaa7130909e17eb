"""Random names and keyed hashes: tokens in mails, codes people type, signed page addresses.

Everything that must not be guessed or forged comes from here, keyed by SECRET_KEY with a purpose, so that a
hash made for one thing never fits another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

# No 0/o, 1/i/l: codes are read aloud and typed on phones.
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def new_token() -> str:
    """A token for a pixel or link: 128 random bits, URL-safe, 22 characters, no meaning inside."""
    return secrets.token_urlsafe(16)


def veiled_token(key: str, token: str) -> str:
    """What is kept of the token of a link whose reader was forgotten: it can be found, and not read back.

    A keyed hash in the form of a token, so that it stands in the same column.
    """
    digest = bytes.fromhex(keyed_hash(key, "forgotten link", token))
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def new_code(length: int = 6) -> str:
    """A short name from letters and digits that cannot be mistaken for each other."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def derived_code(key: str, purpose: str, text: str, length: int = 12) -> str:
    """A code in the same letters that always comes out the same for key, purpose and text."""
    number = int(keyed_hash(key, purpose, text, 32), 16)
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def keyed_hash(key: str, purpose: str, text: str, size: int = 16) -> str:
    """Hex BLAKE2b of `text` under the key and purpose; `size` in bytes."""
    secret = hashlib.blake2b(key.encode(), digest_size=32, person=purpose.encode()[:16]).digest()
    return hashlib.blake2b(text.encode("utf-8", "replace"), key=secret, digest_size=size).hexdigest()


def sign(key: str, purpose: str, text: str) -> str:
    """`text` with a signature: "text.signature", safe in a URL if `text` is."""
    return f"{text}.{keyed_hash(key, purpose, text)}"


def unsign(key: str, purpose: str, signed: str) -> str | None:
    """The text of a value made by `sign` with the same key and purpose, or None."""
    text, dot, signature = signed.rpartition(".")
    if not dot or not hmac.compare_digest(signature.encode(), keyed_hash(key, purpose, text).encode()):
        return None
    return text
