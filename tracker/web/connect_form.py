"""What somebody typed into the connect form, and the mailbox that it describes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models import Mailbox
from tracker.mail.draft import clean_line, read_address
from tracker.sending.credentials import Server
from tracker.sending.mailboxes import MailboxDraft
from tracker.sending.providers import Provider, servers_for

_PORTS = {
    "smtp": {"tls": 465, "starttls": 587, "none": 25},
    "imap": {"tls": 993, "starttls": 143, "none": 143},
}
_HIGHEST = 65_535
_LONGEST_SECRET = 500


class FormError(ValueError):
    """A field cannot be used; the text says which, and what to type instead."""


@dataclass(frozen=True)
class Typed:
    """The fields as they were typed; they are shown again when something is wrong, but for the secret."""

    address: str = ""
    username: str = ""
    secret: str = field(default="", repr=False)
    smtp: tuple[str, str, str] = ("", "", "")  # host, port, security
    imap: tuple[str, str, str] = ("", "", "")
    watches: bool = False
    exchangers: tuple[str, ...] = ()

    @classmethod
    def of_form(cls, form: Mapping[str, str]) -> Typed:
        """From the fields of the form."""

        def line(name: str) -> str:
            return clean_line(form.get(name, ""), 320)

        def server(kind: str) -> tuple[str, str, str]:
            return line(f"{kind}_host"), line(f"{kind}_port"), line(f"{kind}_security")

        return cls(
            address=line("address"),
            username=line("username"),
            secret=form.get("secret", "").strip("\r\n"),
            smtp=server("smtp"),
            imap=server("imap"),
            watches=form.get("watch") == "on",
        )

    @classmethod
    def of_mailbox(cls, mailbox: Mailbox | None) -> Typed:
        """As a mailbox that is connected has it."""
        if mailbox is None:
            return cls()
        imap = ("", "", "")
        if mailbox.imap_host:
            imap = mailbox.imap_host, str(mailbox.imap_port or ""), mailbox.imap_security or "tls"
        return cls(
            address=mailbox.address,
            username="" if mailbox.username == mailbox.address else mailbox.username,
            smtp=(mailbox.smtp_host, str(mailbox.smtp_port), mailbox.smtp_security),
            imap=imap,
            watches=mailbox.imap_on,
        )

    def shown(self, provider: Provider, kind: str) -> tuple[str, str, str]:
        """The server to show in the form: what was typed, else the provider's."""
        typed: tuple[str, str, str] = getattr(self, kind)
        if typed[0]:
            return typed
        smtp, imap = servers_for(provider, self.address, self.exchangers)
        known = smtp if kind == "smtp" else imap
        return (known.host, str(known.port), known.security) if known else ("", "", "")


def read_address_of(typed: Typed) -> str:
    """The address, or FormError."""
    address = read_address(typed.address)
    if address is None:
        raise FormError("The address is missing or is none: type it like ana@acme.com")
    return address


def read_draft(provider: Provider, typed: Typed) -> MailboxDraft:
    """The mailbox to try; FormError."""
    address = read_address_of(typed)
    if not typed.secret:
        raise FormError(f"The {provider.called} is missing")
    if len(typed.secret) > _LONGEST_SECRET or "\x00" in typed.secret:
        raise FormError(f"That is too long for a {provider.called}: look what you pasted")
    smtp, imap = read_servers(provider, typed)
    secret = typed.secret
    if provider.called != "password":  # Google shows it with spaces, and takes it without alone
        secret = "".join(secret.split())
    return MailboxDraft(
        address=address, provider=provider.key, smtp=smtp, imap=imap, username=typed.username or address,
        secret=secret,
    )  # fmt: skip


def read_servers(provider: Provider, typed: Typed) -> tuple[Server, Server | None]:
    """The servers for sending and for reading; FormError."""
    smtp = _read_server("smtp", typed.shown(provider, "smtp"))
    if smtp is None:
        raise FormError("The server for sending is missing: your provider's help calls it SMTP server")
    return smtp, _read_server("imap", typed.shown(provider, "imap"))


def _read_server(kind: str, typed: tuple[str, str, str]) -> Server | None:
    host, port, security = typed
    if host.count(":") == 1 and not port:
        host, _, port = host.partition(":")
    if not host:
        return None
    usual = "tls" if kind == "imap" else ("tls" if port in ("", "465") else "starttls")
    security = security or usual
    if security not in ("none", "starttls", "tls"):
        raise FormError("Choose how the connection is secured: TLS or STARTTLS")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
    if port and not 1 <= number <= _HIGHEST:
        raise FormError(f"“{port[:20]}” is no port; it is a number such as {_PORTS[kind][security]}")
    return Server(host, number or _PORTS[kind][security], security)
