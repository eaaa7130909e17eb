"""IMAP connections of the standard library, to addresses that were looked at, within limits.

Made by tracker/replies/session.py. The host's name is only what the certificate has to hold; a name that
leads elsewhere the second time gains nothing.
"""

from __future__ import annotations

import imaplib
import socket

from imap_tools import BaseMailBox

from tracker.sending import upstream
from tracker.sending.upstream import CertificateError

CONNECT_SECONDS = 15.0
COMMAND_SECONDS = 30.0
MOST_LITERAL = 1024 * 1024  # bytes that a server may send in one piece


class Box(BaseMailBox):
    """The library's mailbox around a connection of our own making."""

    def __init__(self, client: imaplib.IMAP4) -> None:
        self._made = client
        super().__init__()

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        return self._made


class _Bounded:
    """No server makes us keep more than a literal's worth in memory."""

    def read(self, size: int) -> bytes:
        if size > MOST_LITERAL:
            raise imaplib.IMAP4.abort("the server sends too much in one piece")
        return super().read(size)  # type: ignore[misc, no-any-return]


class Plain(_Bounded, imaplib.IMAP4):
    """To the address that was looked at; the name is for the certificate alone."""

    def __init__(self, address: str, host: str, port: int) -> None:
        self._address = address
        super().__init__(host, port, CONNECT_SECONDS)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        made = socket.create_connection((self._address, self.port), timeout)
        made.settimeout(COMMAND_SECONDS)
        return made


class Tls(_Bounded, imaplib.IMAP4_SSL):
    """The same, encrypted from the first byte."""

    def __init__(self, address: str, host: str, port: int) -> None:
        self._address = address
        super().__init__(host, port, ssl_context=upstream.tls_context(), timeout=CONNECT_SECONDS)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        made = socket.create_connection((self._address, self.port), timeout)
        try:
            secured = upstream.tls_context().wrap_socket(made, server_hostname=self.host)
        except BaseException:
            made.close()
            raise
        secured.settimeout(COMMAND_SECONDS)
        return secured


def start_tls(client: imaplib.IMAP4) -> None:
    if "STARTTLS" not in client.capabilities:
        raise CertificateError(f"{client.host} offers no encryption")
    client.starttls(upstream.tls_context())
