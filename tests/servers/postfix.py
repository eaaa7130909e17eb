"""Debian's postfix, and dovecot for its passwords, as somebody's mail provider: from one folder, on loopback.

It takes submission with a password over STARTTLS or TLS, and what comes from loopback, as a provider takes
its own users' mail; all that it delivers stands in one maildir. What is for the capture domain it sends on by
SMTP, as the real one would. Started by `postfix(…)`; gone at the end of the block, with every process of it.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes.mailbell import free_port
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.programs import end_process, need

USER, PASSWORD = "me@home.example", "pr0vider's own"

_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/state
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = provider.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
smtpd_recipient_limit = 2000
smtpd_client_connection_count_limit = 0
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/dovecot/auth
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = yes
broken_sasl_auth_clients = no
local_header_rewrite_clients =
message_size_limit = 60000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
transport_maps = regexp:{folder}/transport
virtual_mailbox_domains = regexp:{folder}/domains
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtp_tls_security_level = none
minimal_backoff_time = 5s
maximal_backoff_time = 5s
queue_run_delay = 5s
bounce_notice_recipient = postmaster@provider.example
in_flow_delay = 0
"""

_MASTER = """
{plain} inet n - n - - smtpd
{tls} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_DOVECOT = """
base_dir = {folder}/dovecot
state_dir = {folder}/dovecot
log_path = {folder}/dovecot.log
protocols =
ssl = no
auth_mechanisms = plain login
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/passwords
}}
service auth {{
  unix_listener auth {{
    mode = 0666
  }}
}}
service stats {{
  chroot =
}}
service anvil {{
  chroot =
}}
"""


_TRACE = re.compile(
    rb"(?:(?:Return-Path|X-Original-To|Delivered-To): [^\n]*\n)*(?:Received: [^\n]*\n(?:[ \t][^\n]*\n)*)?"
)


@dataclass
class Postfix:
    """A running provider: `port` takes STARTTLS, `port_tls` TLS from the first byte."""

    folder: Path
    port: int
    port_tls: int
    certificates: Certificates

    def mails(self, address: str) -> list[bytes]:
        """What was delivered to the address, oldest first, with line ends as on the wire.

        Without what the provider puts on top of each: Return-Path, X-Original-To, Delivered-To, Received.
        """
        paths = sorted(
            (self.folder / "mail" / "all" / "new").glob("*"), key=lambda one: one.stat().st_mtime_ns
        )
        found = [path.read_bytes() for path in paths]
        for_them = b"\nDelivered-To: %s\n" % address.encode()
        return [_without_trace(raw).replace(b"\n", b"\r\n") for raw in found if for_them in raw[:2_000]]

    async def until(self, holds: Callable[[], Any], seconds: float = 60) -> Any:
        """Waits for what a delivery brings about; what the log says is in the failure."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := holds()):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(self.said[-3_000:]) from None
        return found

    @property
    def said(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""


def _without_trace(raw: bytes) -> bytes:
    """From the first header that the provider did not write; the last of its own is Received."""
    found = _TRACE.match(raw)
    return raw[found.end() :] if found else raw


@asynccontextmanager
async def postfix(capture_domain: str = "bell.example", capture_port: int = 0) -> AsyncIterator[Postfix]:
    """A provider that is ready to take mail; what is for `capture_domain` goes on to `capture_port`.

    Its folder has a short name and is readable for its own user, which pytest's folders are not.
    """
    master, dovecot = need("master", "dovecot", as_root=True)
    with _folder() as folder:
        running = Postfix(folder, free_port(), free_port(), make_certificates(folder))
        _write_files(running, capture_domain, capture_port)
        commands = (
            (dovecot, "-F", "-c", str(folder / "dovecot.conf")),
            (master, "-c", str(folder / "etc"), "-d"),
        )
        processes = [await _start(*command) for command in commands]
        try:
            await _answers(running, processes)
            yield running
        finally:
            for process in reversed(processes):
                await end_process(process)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mbpf", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_files(running: Postfix, capture_domain: str, capture_port: int) -> None:
    folder, own = running.folder, pwd.getpwnam("postfix")
    given = {
        "folder": folder, "certificate": running.certificates.certificate, "key": running.certificates.key,
        "plain": f"127.0.0.1:{running.port}", "tls": f"127.0.0.1:{running.port_tls}",
        "uid": own.pw_uid, "gid": own.pw_gid, "user": "postfix", "group": grp.getgrgid(own.pw_gid).gr_name,
    }  # fmt: skip
    domain = re.escape(capture_domain)
    files = {
        "etc/main.cf": _MAIN.format(**given),
        "etc/master.cf": _MASTER.format(**given),
        "transport": f"/@{domain}$/ smtp:[127.0.0.1]:{capture_port}\n",
        "domains": f"/^{domain}$/ DUNNO\n/./ here\n",
        "dovecot.conf": _DOVECOT.format(**given),
        "passwords": f"{USER}:{{PLAIN}}{PASSWORD}\n",
    }
    for name in ("etc", "queue", "queue/pid", "dovecot"):
        (folder / name).mkdir()
    queues = "incoming active deferred bounce defer corrupt flush hold saved trace private public maildrop"
    for name in ("state", "mail", *(f"queue/{one}" for one in queues.split())):
        (folder / name).mkdir()
        os.chown(folder / name, own.pw_uid, own.pw_gid)
    for name, content in files.items():
        (folder / name).write_text(content)


async def _start(*command: str) -> asyncio.subprocess.Process:
    nothing = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *command, start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing
    )


async def _answers(running: Postfix, processes: list[asyncio.subprocess.Process]) -> None:
    """Waits for a greeting and for the socket of the passwords."""
    socket = running.folder / "dovecot" / "auth"
    for _ in range(1_000):
        dead = [process for process in processes if process.returncode is not None]
        if dead:
            break
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            greeting = await reader.readline()
            writer.close()
            if greeting.startswith(b"220") and socket.exists():
                return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the provider does not start: {running.said[-3_000:]}")
