"""The short command `connect`: connects a mailbox as the page does, for scripts and for operators.

`bot/__main__` adds it to the command line. The password comes from a file, never from an argument: those can
be read by everybody on the machine. What it prints on stdout is shown this once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click

from bot.operate import Finish, OperatorError, account_named, opened
from models import Account
from tracker.mail.addresses import capture_addresses
from tracker.sending.credentials import Server
from tracker.sending.hosts import HostError
from tracker.sending.mailboxes import DraftError, MailboxDraft, connect_mailbox
from tracker.sending.providers import PROVIDERS
from tracker.sending.upstream import UpstreamError
from tracker.services import Services
from tracker.settings import Settings

SECURITY = click.Choice(["none", "starttls", "tls"])


@dataclass(frozen=True)
class _Asked:
    """What the options say."""

    smtp: Server
    imap: Server | None
    user: str
    password_file: Path
    address: str
    account: str | None


async def _connect(settings: Settings, asked: _Asked, as_json: bool) -> int:
    async with opened(settings) as services:
        owner = await account_named(services, asked.account)
        printed = await _connected(services, owner, asked)
    if as_json:
        click.echo(json.dumps(printed))
    else:
        for name, value in printed.items():
            click.echo(f"{name}: {value or '-'}")
    return 0


async def _connected(services: Services, owner: Account, asked: _Asked) -> dict[str, str | None]:
    try:
        secret = asked.password_file.read_text().strip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise OperatorError(f"--password-file {asked.password_file}: cannot be read as text") from None
    draft = MailboxDraft(
        address=asked.address, provider=_provider(asked.smtp.host), smtp=asked.smtp, imap=asked.imap,
        username=asked.user, secret=secret,
    )  # fmt: skip
    try:
        made = await connect_mailbox(services, owner, draft)
    except DraftError as error:
        raise OperatorError(f"--address {asked.address}: {error}") from None
    except HostError as error:
        raise OperatorError(f"--host {asked.smtp.host}: {error}") from None
    except UpstreamError as error:
        raise OperatorError(f"{asked.smtp.host} does not take the login: {error}") from None
    both = await capture_addresses(services, owner)
    return {
        "submission_user": made.submission_user,
        "submission_password": made.submission_password,
        "capture_address": both[0] if both else None,
        "public_address": both[1] if both else None,
    }


def _provider(host: str) -> str:
    """Whose server that is, by its name."""
    for one in PROVIDERS:
        servers = (one.smtp, *(smtp for _, smtp, _ in one.others))
        if any(server is not None and server.host == host.lower() for server in servers):
            return one.key
    return "other"


def add_command(main: click.Group, finish: Finish) -> None:
    """Adds it to the command line; `finish` runs it with the settings."""

    @main.command("connect", help="Connect the mailbox that mail is sent through, after trying its login.")
    @click.option("--host", required=True, help="The provider's server for sending (SMTP).")
    @click.option("--port", required=True, type=click.IntRange(1, 65_535))
    @click.option("--security", required=True, type=SECURITY, help="none only for this very machine.")
    @click.option("--user", required=True, help="User name there; mostly the address.")
    @click.option(
        "--password-file", required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="A file with nothing but the password.",
    )  # fmt: skip
    @click.option("--address", required=True, help="The mail address that is sent from.")
    @click.option("--imap-host", help="The server for reading, to see replies.")
    @click.option("--imap-port", type=click.IntRange(1, 65_535), default=993, show_default=True)
    @click.option("--imap-security", type=SECURITY, default="tls", show_default=True)
    @click.option("--account", help="Name or number of the account; the console's by default.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object.")
    def connect_command(
        host: str, port: int, security: str, user: str, password_file: Path, address: str,
        imap_host: str | None, imap_port: int, imap_security: str, account: str | None, as_json: bool,
    ) -> None:  # fmt: skip
        imap = Server(imap_host, imap_port, imap_security) if imap_host else None
        asked = _Asked(Server(host, port, security), imap, user, password_file, address, account)
        finish(lambda settings: _connect(settings, asked, as_json))
