"""What mail programs need to send through mailbell, in words and as files that they read themselves.

Used by the connect page. Pure: settings and a mailbox in, bytes out. The password of the mailbox at its
provider stands in none of it; the application password only in a file made while it is shown.
"""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from tracker.sending.credentials import Server
from tracker.sending.providers import guess_provider, servers_for
from tracker.settings import Settings

_NAMESPACE = uuid.UUID("6f1c1d5e-5b0c-4d2a-9a53-3d1d2f6f0b7e")  # of the profiles' identifiers


@dataclass(frozen=True)
class Login:
    """How a mail program reaches us, and with what."""

    server: Server
    user: str
    password: str | None = field(default=None, repr=False)  # None: not at hand


def submission_server(settings: Settings) -> Server | None:
    """Our submission server as mail programs reach it; None where it is off (no port, or no certificate).

    In a trial nobody forwards ports: it is the listener's own.
    """
    has_port = settings.submission_port is not None or settings.submissions_port is not None
    has_certificate = settings.tls_cert is not None or settings.is_trial
    if not (has_port and has_certificate):
        return None
    host = settings.public_smtp_host or urlsplit(settings.public_url).hostname or "localhost"
    port = settings.public_submission_port
    if settings.is_trial and "public_submission_port" not in settings.model_fields_set:
        port = settings.submission_port or settings.submissions_port
    if port is None:
        return None
    is_tls = port in (465, settings.submissions_port) and port != settings.submission_port
    return Server(host, port, "tls" if is_tls else "starttls")


def apple_profile(address: str, imap: Server, imap_user: str, login: Login) -> bytes:
    """A configuration profile for iOS, iPadOS and macOS: the mailbox, sending through us.

    developer.apple.com/documentation/devicemanagement/mail (payload com.apple.mail.managed). The device asks
    for the passwords that do not stand in it.
    """
    account: dict[str, Any] = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"mailbell.mail.{_identifier(address)}",
        "PayloadUUID": _identifier("mail", address, login.server.host),
        "PayloadDisplayName": f"{address} through mailbell",
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAccountDescription": f"{address} (mailbell)",
        "EmailAddress": address,
        "IncomingMailServerAuthentication": "EmailAuthPassword",
        "IncomingMailServerHostName": imap.host,
        "IncomingMailServerPortNumber": imap.port,
        "IncomingMailServerUseSSL": imap.security != "none",
        "IncomingMailServerUsername": imap_user,
        "OutgoingMailServerAuthentication": "EmailAuthPassword",
        "OutgoingMailServerHostName": login.server.host,
        "OutgoingMailServerPortNumber": login.server.port,
        "OutgoingMailServerUseSSL": True,
        "OutgoingMailServerUsername": login.user,
        "OutgoingPasswordSameAsIncomingPassword": False,
    }
    if login.password is not None:
        account["OutgoingPassword"] = login.password
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"mailbell.{_identifier(address)}",
        "PayloadUUID": _identifier("profile", address, login.server.host),
        "PayloadDisplayName": f"{address} through mailbell",
        "PayloadDescription": "Adds this mailbox, with mailbell as its outgoing server.",
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [account],
    }
    return plistlib.dumps(profile)


def _identifier(*parts: str) -> str:
    """Always the same for the same mailbox, so that a second profile replaces the first."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join(parts))).upper()


def autoconfig(domain: str, imap: Server, login: Login, imap_user: str = "%EMAILADDRESS%") -> bytes:
    """Thunderbird's configuration file for addresses of `domain`, sending through us.

    wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat, version 1.1.
    """
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<clientConfig version="1.1">',
        f'  <emailProvider id="{_text(domain)}">',
        f"    <domain>{_text(domain)}</domain>",
        f"    <displayName>{_text(domain)} through mailbell</displayName>",
        "    <displayShortName>mailbell</displayShortName>",
        *_server_lines("incomingServer", "imap", imap, imap_user),
        *_server_lines("outgoingServer", "smtp", login.server, login.user),
        "  </emailProvider>",
        "</clientConfig>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _server_lines(element: str, kind: str, server: Server, user: str) -> list[str]:
    socket = {"tls": "SSL", "starttls": "STARTTLS", "none": "plain"}[server.security]
    return [
        f'    <{element} type="{kind}">',
        f"      <hostname>{_text(server.host)}</hostname>",
        f"      <port>{server.port}</port>",
        f"      <socketType>{socket}</socketType>",
        "      <authentication>password-cleartext</authentication>",
        f"      <username>{_text(user)}</username>",
        f"    </{element}>",
    ]


def public_autoconfig(settings: Settings, address: str, exchangers: Sequence[str] = ()) -> bytes | None:
    """The file for any address at all, or None where we cannot tell: it follows from the domain alone.

    Whether the address is known here makes no difference. The address itself is the name of the login
    (tracker/sending/passwords.py).
    """
    server = submission_server(settings)
    domain = address.rpartition("@")[2].lower()
    _, imap = servers_for(guess_provider(address, exchangers), address, exchangers)
    if server is None or imap is None or not domain:
        return None
    return autoconfig(domain, imap, Login(server, "%EMAILADDRESS%"))


def is_own_domain(settings: Settings, domain: str) -> bool:
    """Whether this instance is at home in the domain, as bell.acme.com is in acme.com."""
    hosts = (urlsplit(settings.public_url).hostname, settings.public_smtp_host, settings.capture_domain)
    return any(f".{host}".lower().endswith(f".{domain}") for host in hosts if host)


def _text(text: str) -> str:
    return escape(text, {'"': "&quot;"})
