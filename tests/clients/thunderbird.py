"""Thunderbird without a window, told what to do through Marionette, the protocol that its own tests use.

It keeps a profile of its own, trusts the test's authority, and writes and sends a mail as its compose window
does. Marionette is JSON over TCP, each message with its length and a colon before it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.clients.letters import NAME, SENDER, Letter, Outgoing
from tests.processes.mailbell import free_port
from tests.servers.programs import need

_PREFERENCES = """
user_pref("marionette.port", {port});
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mail.spotlight.firstRunDone", true);
user_pref("mailnews.start_page.enabled", false);
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("mail.html_compose", true);
"""

_SEND = """
const [letter, server, done] = arguments;
(async () => {
  const fill = (target, values) => {
    for (const [name, value] of Object.entries(values)) {
      try { target[name] = value; } catch (error) { throw new Error(`${name}: ${error}`); }
    }
  };
  const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
  if (server.authority) {
    Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB)
      .addCertFromBase64(server.authority, "CTu,u,u");
  }
  const smtp = MailServices.outgoingServer.createServer("smtp");
  const own = smtp.QueryInterface(Ci.nsISmtpServer);
  own.hostname = server.host;
  own.port = server.port;
  smtp.username = server.user;
  smtp.password = server.password;
  smtp.authMethod = server.user ? Ci.nsMsgAuthMethod.passwordCleartext : Ci.nsMsgAuthMethod.none;
  smtp.socketType = {
    none: Ci.nsMsgSocketType.plain, starttls: Ci.nsMsgSocketType.alwaysSTARTTLS, tls: Ci.nsMsgSocketType.SSL,
  }[server.security];
  const identity = MailServices.accounts.createIdentity();
  fill(identity, {
    email: letter.sender, fullName: letter.name, smtpServerKey: smtp.key, doFcc: false, composeHtml: true,
  });
  const account = MailServices.accounts.createAccount();
  account.incomingServer = MailServices.accounts.createIncomingServer("nobody", "localhost", "none");
  account.addIdentity(identity);
  const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
  fill(fields, {
    from: `${letter.name} <${letter.sender}>`, to: letter.to, cc: letter.cc, bcc: letter.bcc,
    subject: letter.subject, forcePlainText: false,
    deliveryFormat: Ci.nsIMsgCompSendFormat.HTML,
  });
  const listener = {
    onStartSending() {}, onProgress() {}, onStatus() {}, onGetDraftFolderURI() {}, onSendNotPerformed() {},
    onTransportSecurityError() {},
    onStopSending(id, status, said) { done(status ? `${status.toString(16)} ${said}` : "sent"); },
  };
  await Cc["@mozilla.org/messengercompose/send;1"].createInstance(Ci.nsIMsgSend).createAndSendMessage(
    null, identity, account.key, fields, false, false, Ci.nsIMsgCompDeliverMode.Now, null, "text/html",
    letter.page, null, null, listener, server.password, "", Ci.nsIMsgCompType.New);
})().catch(error => done(String(error)));
"""


class Marionette:
    """A session; `ask` sends a command and gives its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._number = 0

    async def hear(self) -> Any:
        length = await self._reader.readuntil(b":")
        return json.loads(await self._reader.readexactly(int(length[:-1])))

    async def ask(self, command: str, **parameters: Any) -> Any:
        self._number += 1
        said = json.dumps([0, self._number, command, parameters]).encode()
        self._writer.write(b"%d:%s" % (len(said), said))
        _, _, error, answer = await self.hear()
        assert error is None, error
        return answer

    def close(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def thunderbird(folder: Path) -> AsyncIterator[Marionette]:
    """Thunderbird with an empty profile in `folder`; gone at the end of the block."""
    (program,) = need("thunderbird")
    profile, port = folder / "profile", free_port()
    profile.mkdir()
    (profile / "user.js").write_text(_PREFERENCES.format(port=port))
    process = await asyncio.create_subprocess_exec(
        program, "--headless", "--no-remote", "--marionette", "--remote-allow-system-access",
        "--profile", str(profile), start_new_session=True,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        session = await _begin(port)
        yield session
        session.close()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()


async def _begin(port: int) -> Marionette:
    async with asyncio.timeout(90):
        while True:
            with suppress(OSError):
                session = Marionette(*await asyncio.open_connection("127.0.0.1", port))
                break
            await asyncio.sleep(0.1)
        await session.hear()
        await session.ask("WebDriver:NewSession")
        await session.ask("Marionette:SetContext", value="chrome")
        await session.ask("WebDriver:SetTimeouts", script=60_000)
    return session


async def with_thunderbird(letter: Letter, server: Outgoing, folder: Path) -> None:
    """Sends the letter as HTML; AssertionError with what Thunderbird said where it could not."""
    authority = server.authority.read_text() if server.authority else ""
    lines = [line for line in authority.splitlines() if line and not line.startswith("-")]
    typed = {
        "sender": SENDER, "name": NAME, "subject": letter.subject, "page": letter.page,
        "to": ", ".join(letter.to), "cc": ", ".join(letter.cc), "bcc": ", ".join(letter.bcc),
    }  # fmt: skip
    given = {
        "host": server.host, "port": server.port, "security": server.security, "user": server.user,
        "password": server.password, "authority": "".join(lines),
    }  # fmt: skip
    async with thunderbird(folder) as session:
        said = await session.ask(
            "WebDriver:ExecuteAsyncScript", script=_SEND, args=[typed, given], sandbox="system"
        )
    assert said["value"] == "sent", said
