"""Real mail programs of the distribution, and the standard library: each sends a letter through a server.

What a program writes into the mail is its own: its Message-ID, its Date, its MIME. A refusal raises
AssertionError with what the program said.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import smtplib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.clients.letters import NAME, SENDER, Letter, Outgoing
from tests.clients.thunderbird import with_thunderbird
from tests.servers.programs import need

Send = Callable[[Letter, Outgoing, Path], Awaitable[None]]


async def _run(command: list[str], given: bytes, folder: Path) -> None:
    """Runs the program with a home of its own, so that nothing of this machine's owner gets in."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb"},
    )  # fmt: skip
    async with asyncio.timeout(60):
        said, _ = await process.communicate(given)
    assert process.returncode == 0, said.decode(errors="replace")


async def with_smtplib(letter: Letter, server: Outgoing, _folder: Path) -> None:
    await asyncio.to_thread(_send, letter, server)


def _send(letter: Letter, server: Outgoing) -> None:
    context = ssl.create_default_context(cafile=str(server.authority)) if server.authority else None
    make = smtplib.SMTP_SSL if server.security == "tls" else smtplib.SMTP
    more = {"context": context} if server.security == "tls" else {}
    with make(server.host, server.port, timeout=30, **more) as client:
        if server.security == "starttls":
            client.starttls(context=context)
        if server.user:
            client.login(server.user, server.password)
        mail = email.message_from_bytes(letter.as_bytes(), policy=email.policy.default)
        assert client.send_message(mail, SENDER, list(letter.everybody)) == {}


async def with_swaks(letter: Letter, server: Outgoing, folder: Path) -> None:
    """Tells the server Bcc recipients as they are, and leaves the header out."""
    (swaks,) = need("swaks")
    (folder / "page.html").write_text(letter.page)
    command = [swaks, "--server", server.host, "--port", str(server.port), "--from", SENDER]
    command += ["--to", ",".join(letter.everybody), "--header-To", ", ".join(letter.to)]
    command += ["--header-From", f"{NAME} <{SENDER}>", "--header-Subject", letter.subject]
    command += ["--add-header", f"Cc: {', '.join(letter.cc)}"] if letter.cc else []
    command += ["--attach-type", "text/plain", "--attach-body", letter.text]
    command += ["--attach-type", "text/html", "--attach-body", f"@{folder / 'page.html'}"]
    if server.security != "none":
        command += ["--tls" if server.security == "starttls" else "--tlsc", "--tls-verify"]
        command += ["--tls-ca-path", str(server.authority)]
    if server.user:
        command += ["--auth", "LOGIN", "--auth-user", server.user, "--auth-password", server.password]
    await _run(command, b"", folder)


async def with_msmtp(letter: Letter, server: Outgoing, folder: Path) -> None:
    """As sendmail: the recipients stand in the mail, and Bcc is taken out of it by the program."""
    (msmtp,) = need("msmtp")
    (folder / "password").write_text(server.password + "\n")
    secure = server.security != "none"
    settings = [
        "account default", f"host {server.host}", f"port {server.port}", f"from {SENDER}",
        f"tls {'on' if secure else 'off'}", f"auth {'plain' if server.user else 'off'}",
    ]  # fmt: skip
    if secure:
        starts = "on" if server.security == "starttls" else "off"
        settings += [f"tls_starttls {starts}", f"tls_trust_file {server.authority}"]
    if server.user:
        settings += [f"user {server.user}", f"passwordeval cat {folder / 'password'}"]
    (folder / "msmtprc").write_text("\n".join(settings) + "\n")
    (folder / "msmtprc").chmod(0o600)
    await _run([msmtp, "-C", str(folder / "msmtprc"), "-t"], letter.as_bytes(cte="base64"), folder)


async def with_neomutt(letter: Letter, server: Outgoing, folder: Path) -> None:
    """In batch mode, with its own SMTP client; the mail is a single part of HTML."""
    (neomutt,) = need("neomutt")
    scheme = "smtps" if server.security == "tls" else "smtp"
    user = server.user.replace("@", "%40") + "@" if server.user else ""
    settings = {
        "smtp_url": f"{scheme}://{user}{server.host}:{server.port}/", "smtp_pass": server.password,
        "from": SENDER, "realname": NAME, "hostname": "home.example", "content_type": "text/html",
        "ssl_starttls": "yes" if server.security == "starttls" else "no",
        "ssl_force_tls": "no" if server.security == "none" else "yes",
        "ssl_ca_certificates_file": str(server.authority or ""), "ssl_usesystemcerts": "no",
        "copy": "no", "use_envelope_from": "yes", "certificate_file": str(folder / "known"),
        "allow_8bit": "no", "smtp_authenticators": "plain",
    }  # fmt: skip
    lines = [f'set {name} = "{value}"' for name, value in settings.items() if value]
    (folder / "muttrc").write_text("\n".join(lines) + "\n")
    command = [neomutt, "-n", "-F", str(folder / "muttrc"), "-s", letter.subject]
    for option, people in (("-c", letter.cc), ("-b", letter.bcc)):
        command += [part for one in people for part in (option, one)]
    await _run([*command, "--", *letter.to], letter.page.encode(), folder)


SENDERS: dict[str, Send] = {
    "smtplib": with_smtplib,
    "swaks": with_swaks,
    "msmtp": with_msmtp,
    "neomutt": with_neomutt,
    "thunderbird": with_thunderbird,
}
