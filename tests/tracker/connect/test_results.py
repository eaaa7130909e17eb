"""What the connect page gives: what to type into a mail program, files for it, and passwords once."""

from __future__ import annotations

import asyncio
import plistlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from models import Account, Alert, Mailbox
from models.database import DatabaseURL
from tests.conftest import Clock
from tests.servers.mailhost import MailHost
from tests.tracker.connect.person import Person, connect, login
from tests.tracker.site import Site, open_site
from tracker.sending import passwords
from tracker.sending.tickets import make_ticket
from tracker.web import connect_try


async def test_the_result_says_what_to_type_and_shows_the_password_once(
    site: Site, host: MailHost, alice: Account
) -> None:
    person, url = await connect(site, host, alice)
    mailbox = await Mailbox.get(account_id=alice.id)
    password = re.search(r"<code>((?:[0-9a-z]{4}-){3}[0-9a-z]{4})</code>", person.text)
    assert password is not None
    for words in (
        "localhost",
        "2587",
        "STARTTLS",
        mailbox.submission_user,
        "Send mail as",
        "Thunderbird",
        "iPhone",
    ):
        assert words in person.text
    assert await passwords.find_mailbox(mailbox.submission_user or "", password[1])
    await person.get(url)
    assert password[1] not in person.text


# What the payload must say, by Apple's own description of com.apple.mail.managed.
OF_APPLE = {
    "PayloadType": "com.apple.mail.managed",
    "EmailAccountType": "EmailTypeIMAP",
    "IncomingMailServerAuthentication": "EmailAuthPassword",
    "IncomingMailServerHostName": "127.0.0.1",
    "IncomingMailServerPortNumber": 993,
    "IncomingMailServerUseSSL": True,
    "IncomingMailServerUsername": "alice@acme.com",
    "OutgoingMailServerAuthentication": "EmailAuthPassword",
    "OutgoingMailServerHostName": "localhost",
    "OutgoingMailServerPortNumber": 2587,
    "OutgoingMailServerUseSSL": True,
    "OutgoingPasswordSameAsIncomingPassword": False,
}


async def test_files_are_made_for_who_just_connected_and_for_nobody_else(
    site: Site, host: MailHost, alice: Account, clock: Clock
) -> None:
    person, url = await connect(site, host, alice)
    password = re.search(r'name="password" value="([^"]+)"', person.text)
    assert password is not None
    answer = await person.post(f"{url}/profile", password=password[1])
    assert answer.content_type == "application/x-apple-aspen-config"
    profile = plistlib.loads(await answer.read())
    (account,) = profile["PayloadContent"]
    assert profile["PayloadType"] == "Configuration"
    assert account.items() >= OF_APPLE.items()
    assert {"PayloadIdentifier", "PayloadUUID", "PayloadVersion"} <= account.keys() & profile.keys()
    assert account["OutgoingPassword"] == password[1]
    assert account["EmailAddress"] == "alice@acme.com"
    answer = await person.post(f"{url}/profile", password="abcd-abcd-abcd-abcd")
    assert "OutgoingPassword" not in plistlib.loads(await answer.read())["PayloadContent"][0]
    answer = await person.post(f"{url}/autoconfig")
    assert ElementTree.fromstring(await answer.text()).find(".//outgoingServer/hostname").text == "localhost"
    stranger = Person(site)
    assert (await stranger.post(f"{url}/profile", password=password[1])).status == 403
    assert (await person.post(f"{url}/nothing")).status == 404
    fresh = await make_ticket(site.services, alice)
    assert (await person.post(f"{fresh}/profile")).status == 404
    clock.advance(minutes=31)
    assert (await person.post(f"{url}/profile", password=password[1])).status == 404


async def test_the_public_file_does_not_tell_who_is_known(site: Site, host: MailHost, alice: Account) -> None:
    host.logins["known@gmail.com"] = "correct horse"
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    await person.post(url, **login(host, address="known@gmail.com", username="known@gmail.com"))
    assert await Mailbox.filter(address="known@gmail.com").exists()
    texts = []
    for name in ("known", "unknown"):
        path = f"/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress={name}@gmail.com"
        answer = await site.client.get(path)
        assert answer.status == 200
        texts.append(await answer.text())
    assert texts[0] == texts[1]
    tree = ElementTree.fromstring(texts[0])
    assert tree.find(".//incomingServer/hostname").text == "imap.gmail.com"
    assert tree.find(".//outgoingServer/username").text == "%EMAILADDRESS%"
    for wrong in ("", "?emailaddress=alice@acme.com", "?emailaddress=%3Cx%3E", "?emailaddress=" + "x" * 3000):
        assert (await site.client.get(f"/.well-known/autoconfig/mail/config-v1.1.xml{wrong}")).status == 404


async def test_the_file_for_a_domain_of_ones_own_names_whoever_takes_its_mail(
    sqlite_database: DatabaseURL, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def exchangers(domain: str) -> list[str]:
        asked.append(domain)
        return ["aspmx.l.google.com"]

    monkeypatch.setattr(connect_try, "mail_exchangers", exchangers)
    async with open_site(
        sqlite_database,
        clock,
        tmp_path,
        base_url="https://bell.acme.com",
        tls_cert=__file__,
        tls_key=__file__,
    ) as site:
        for _ in range(3):
            answer = await site.client.get("/mail/config-v1.1.xml?emailaddress=ana@acme.com")
            text = await answer.text()
            assert "imap.gmail.com" in text
            assert "<hostname>bell.acme.com</hostname>" in text
        for stranger in ("ana@evil.example", "ana@notacme.com", "ana@com", "ana@x.bell.acme.com"):
            answer = await site.client.get(f"/mail/config-v1.1.xml?emailaddress={stranger}")
            assert answer.status == 404
    assert asked == ["acme.com"]


async def test_a_new_password_is_made_on_the_page_alone(site: Site, host: MailHost, alice: Account) -> None:
    _, _ = await connect(site, host, alice)
    mailbox = await Mailbox.get(account_id=alice.id)
    before = mailbox.submission_digest
    person, url = Person(site), await make_ticket(site.services, alice, "renew", mailbox)
    await person.get(url)
    assert "A new password for alice@acme.com?" in person.text
    await person.post(url, **login(host))  # this ticket renews, and does nothing else
    await mailbox.refresh_from_db()
    assert mailbox.submission_digest == before
    answer = await person.post(url, step="renew")
    assert answer.status == 200
    await mailbox.refresh_from_db()
    assert mailbox.submission_digest != before
    assert (await person.post(url, step="renew")).status == 410


async def test_signing_in_again_keeps_what_programs_log_in_with(
    site: Site, host: MailHost, alice: Account, clock: Clock
) -> None:
    _, _ = await connect(site, host, alice)
    mailbox = await Mailbox.get(account_id=alice.id)
    mailbox.failed_at, mailbox.failure = clock(), "535 no"
    await mailbox.save()
    before = mailbox.submission_digest
    person, url = Person(site), await make_ticket(site.services, alice, "again", mailbox)
    await person.get(url)
    assert 'value="alice@acme.com"' in person.text
    assert str(host.port) in person.text
    assert (await person.post(url, **login(host))).status == 200
    assert "as before" in person.text
    await mailbox.refresh_from_db()
    assert (mailbox.failed_at, mailbox.submission_digest) == (None, before)


async def _reading(login_answer: bytes) -> asyncio.Server:
    """As much of an IMAP server as a login sees."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        while line := await reader.readline():
            tag, word = line.split()[:2]
            said = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n"}.get(word.upper(), b"")
            if word.upper() == b"EXAMINE":
                said = b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1]\r\n* OK [UIDNEXT 1]\r\n"
            answer = login_answer if word.upper() == b"LOGIN" else b"OK done"
            writer.write(said + tag + b" " + answer + b"\r\n")
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "refused", "words"),
    [
        (b"OK welcome", False, "replies are looked for"),
        (
            b"NO [AUTHENTICATIONFAILED] <b>Wrong</b> for reading",
            True,
            "&lt;b&gt;Wrong&lt;/b&gt; for reading",
        ),
    ],
)
async def test_a_login_that_may_send_and_not_read_is_connected_and_told_on_the_page(
    site: Site, host: MailHost, alice: Account, answer: bytes, refused: bool, words: str
) -> None:
    server = await _reading(answer)
    port = str(server.sockets[0].getsockname()[1])
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    typed = login(host, imap_host="127.0.0.1", imap_port=port, imap_security="none", watch="on")
    assert (await person.post(url, **typed)).status == 200
    server.close()
    mailbox = await Mailbox.get()
    assert (mailbox.failed_at, mailbox.imap_on) == (None, True)
    assert (mailbox.imap_failed_at is not None, mailbox.imap_told_at is not None) == (refused, refused)
    assert words in person.text
    assert ("connect watch alice@acme.com" in person.text) is refused
    assert ("replies are not looked for" in person.text) is refused
    assert not await Alert.exists()


async def test_a_server_for_reading_that_is_away_is_told_and_tried_again(
    site: Site, host: MailHost, alice: Account
) -> None:
    person, url = Person(site), await make_ticket(site.services, alice)
    await person.get(url)
    typed = login(host, imap_host="127.0.0.1", imap_port="1", imap_security="none", watch="on")
    assert (await person.post(url, **typed)).status == 200
    assert "Sending works, but 127.0.0.1" in person.text
    assert "I go on trying" in person.text
    mailbox = await Mailbox.get()
    assert (mailbox.imap_on, mailbox.imap_failed_at) == (True, None)
