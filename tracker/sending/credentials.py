"""Logins at people's mail providers, and how they are kept: encrypted, with a key outside the database.

Written by tracker/sending/mailboxes.py, read by whoever logs in: the relay, the watcher for replies, the
doctor. A secret stands in no repr, no log and no exception; it is only ever in the hands of the library that
logs in.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models import Mailbox
from tracker.services import Services
from tracker.settings import Settings

_PURPOSE = b"mailbell mailbox secrets 1"


class LostSecretError(Exception):
    """A stored secret cannot be read: SECRET_KEY is not the one that it was stored with."""


@dataclass(frozen=True)
class Server:
    """A provider's server, for sending or for reading."""

    host: str
    port: int
    security: str  # none | starttls | tls


@dataclass(frozen=True)
class Credentials:
    """What to log in with; for `xoauth2` the secret is an access token that works now."""

    username: str
    secret: str = field(repr=False)
    auth: str = "password"  # password | xoauth2


def encrypt(owner: Services | Settings, text: str) -> str:
    """`text` as it may stand in the database."""
    return _box(_settings(owner).key).encrypt(text.encode()).decode("ascii")


def decrypt(owner: Services | Settings, stored: str) -> str:
    """The text of what `encrypt` made; LostSecretError when SECRET_KEY was another one then.

    What was stored in a trial, under the key that it made itself, is read as well once SECRET_KEY is set.
    """
    settings = _settings(owner)
    keys = [settings.key]
    with suppress(OSError):
        keys.append((settings.data_dir / "secret_key").read_text().strip())
    try:
        return _box(*keys).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise LostSecretError(
            "SECRET_KEY is not the one that this mailbox was connected with; connect it again"
        ) from None


def _settings(owner: Services | Settings) -> Settings:
    return owner if isinstance(owner, Settings) else owner.settings


@lru_cache(maxsize=8)
def _box(*keys: str) -> MultiFernet:
    """Encrypts with the first key, reads what any of them wrote. HKDF: RFC 5869, with the purpose as info."""
    made = [HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(key.encode()) for key in keys if key]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in made])


def smtp_server(mailbox: Mailbox) -> Server:
    """Where mail of this mailbox is handed over."""
    return Server(mailbox.smtp_host, mailbox.smtp_port, mailbox.smtp_security)


def imap_server(mailbox: Mailbox) -> Server | None:
    """Where replies to this mailbox can be read, if that is known."""
    if not mailbox.imap_host or not mailbox.imap_port:
        return None
    return Server(mailbox.imap_host, mailbox.imap_port, mailbox.imap_security or "tls")


async def credentials_of(services: Services, mailbox: Mailbox) -> Credentials:
    """What to log in with now; an OAuth token is renewed where it ran out.

    Raises tracker.sending.upstream.LoginError where that is not possible, with what to do in its words, and
    LaterError where the provider does not answer.
    """
    from tracker.sending.upstream import LoginError

    try:
        secret = decrypt(services, mailbox.secret or "")
    except LostSecretError as error:
        raise LoginError(str(error)) from None
    if mailbox.auth == "xoauth2":
        from tracker.sending.oauth import access_token

        secret = await access_token(services, mailbox, secret)
    return Credentials(mailbox.username or mailbox.address, secret, mailbox.auth)


async def of_mailbox(services: Services, mailbox: Mailbox) -> tuple[Server, Credentials]:
    """Where and with what to log in to send; raises as `credentials_of`."""
    return smtp_server(mailbox), await credentials_of(services, mailbox)
