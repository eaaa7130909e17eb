"""A real IMAP server, Dovecot of the distribution: started by a test from a folder of its own, in a second.

It speaks IMAP in the clear with STARTTLS on one port, and TLS on another; its users log in with a password or
with a token (XOAUTH2, checked by its signature). A test delivers by writing into a user's Maildir, as a
delivery agent does, and may stop and start the server, or change a password.
"""

from __future__ import annotations

import asyncio
import base64
import grp
import hmac
import itertools
import json
import os
import pwd
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes.mailbell import free_port
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.programs import end_process, need

PASSWORD = "apple-pear-plum"

_CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {login}
imap_capability = {capability}
imap_idle_notify_interval = {notify}
mailbox_idle_check_interval = 1 s
maildir_very_dirty_syncs = no
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/passwords
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {port_tls}
    ssl = yes
  }}
}}
service stats {{
  chroot =
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
_OAUTH = """
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={folder}/keys/
username_attribute = email
"""
_KEY = b"a key that signs tokens for tests"
_PLAIN = "IMAP4rev1 SASL-IR LITERAL+"

_names = itertools.count(1)


@dataclass
class Dovecot:
    """A running server, or one that a test stopped and starts again."""

    folder: Path
    port: int
    port_tls: int
    certificates: Certificates
    command: tuple[str, ...]
    passwords: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        """A user, or a new password for one."""
        self.passwords[name] = password
        lines = "".join(f"{user}:{{PLAIN}}{secret}\n" for user, secret in self.passwords.items())
        made = self.folder / "passwords.new"
        made.write_text(lines)
        made.chmod(0o644)
        made.rename(self.folder / "passwords")

    def token(self, name: str, seconds: int = 3600) -> str:
        """An access token (JWT) that the server takes for the user, for so long."""
        now = int(time.time())
        claims = {"email": name, "sub": name, "iat": now - 5, "exp": now + seconds}
        parts = [_base64(json.dumps(one).encode()) for one in ({"alg": "HS256", "typ": "JWT"}, claims)]
        signed = ".".join(parts)
        return f"{signed}.{_base64(hmac.digest(_KEY, signed.encode(), 'sha256'))}"

    def deliver(self, name: str, raw: bytes | str) -> None:
        """Puts a mail into the user's INBOX, as a delivery agent does: whole, then renamed."""
        content = raw.encode() if isinstance(raw, str) else raw
        box = self.folder / "mail" / name
        for part in ("", "tmp", "new", "cur"):
            (box / part).mkdir(parents=True, exist_ok=True)
            self._own(box / part)
        file = f"{next(_names):06}.test"
        (box / "tmp" / file).write_bytes(content.replace(b"\r\n", b"\n"))
        self._own(box / "tmp" / file)
        (box / "tmp" / file).rename(box / "new" / file)

    def _own(self, path: Path) -> None:
        os.chown(path, *_owner())

    def number_anew(self, name: str) -> None:
        """The mailbox gets another UIDVALIDITY, as after a restore at the provider."""
        for path in (self.folder / "mail" / name).glob("dovecot*"):
            path.unlink()

    async def start(self) -> None:
        nothing = asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(
            *self.command, start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing
        )
        for _ in range(1_000):
            if self.process.returncode is not None:
                break
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                greeting = await reader.readline()
                writer.close()
                if greeting.startswith(b"* OK"):
                    return
            await asyncio.sleep(0.02)
        raise AssertionError(f"dovecot does not start: {self.said[-3_000:]}")

    async def stop(self) -> None:
        """Ends it with every connection that it has."""
        process, self.process = self.process, None
        if process is not None:
            await end_process(process)

    async def until_said(self, holds: Callable[[str], Any], seconds: float = 60) -> Any:
        """Waits until the log holds something."""
        async with asyncio.timeout(seconds):
            while not (found := holds(self.said)):
                await asyncio.sleep(0.02)
        return found

    @property
    def said(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _owner() -> tuple[int, int]:
    found = pwd.getpwnam("mail")
    return found.pw_uid, found.pw_gid


def _user(*names: str) -> str:
    """The first of the users that this distribution has."""
    known = {one.pw_name for one in pwd.getpwall()}
    return next(name for name in names if name in known)


@asynccontextmanager
async def dovecot(*users: str, idle: bool = True, notify: str = "2 mins") -> AsyncIterator[Dovecot]:
    """A server with these users, all with PASSWORD; without `idle` it knows no IDLE.

    `notify` is how often it says "still here" to those who wait.
    """
    (program,) = need("dovecot", as_root=True)
    folder = Path(tempfile.mkdtemp(prefix="mbdc", dir="/tmp"))
    folder.chmod(0o755)
    try:
        running = Dovecot(
            folder, free_port(), free_port(), make_certificates(folder),
            (program, "-F", "-c", str(folder / "dovecot.conf")),
        )  # fmt: skip
        for name in ("run", "state", "mail"):
            (folder / name).mkdir()
        os.chown(folder / "mail", *_owner())
        internal = _user("dovecot", "nobody")
        config = _CONFIG.format(
            folder=folder, certificate=running.certificates.certificate, key=running.certificates.key,
            uid=_owner()[0], gid=_owner()[1], user=internal,
            group=grp.getgrgid(pwd.getpwnam(internal).pw_gid).gr_name, login=_user("dovenull", "nobody"),
            port=running.port, port_tls=running.port_tls, notify=notify,
            capability="" if idle else _PLAIN,
        )  # fmt: skip
        (folder / "dovecot.conf").write_text(config.replace("imap_capability = \n", ""))
        (folder / "oauth2.conf").write_text(_OAUTH.format(folder=folder))
        keys = folder / "keys" / "default" / "HS256"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(base64.b64encode(_KEY))
        for name in users:
            running.add_user(name)
        await running.start()
        try:
            yield running
        finally:
            await running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
