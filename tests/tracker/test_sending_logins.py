"""Logins of mail programs and of providers: made, kept so that nobody reads them, found again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from models import Mailbox
from models.database import DatabaseURL
from tests import builders
from tests.conftest import Clock
from tests.tracker.page_services import services
from tracker.sending import passwords
from tracker.sending.credentials import (
    Credentials,
    LostSecretError,
    Server,
    decrypt,
    encrypt,
    imap_server,
    smtp_server,
)
from tracker.settings import load


def test_what_is_encrypted_comes_back_and_is_not_readable(clock: Clock, tmp_path: Path) -> None:
    bell = services(clock, tmp_path)
    stored = encrypt(bell, "correct horse é")
    assert "horse" not in stored
    assert encrypt(bell, "correct horse é") != stored
    assert decrypt(bell, stored) == decrypt(bell.settings, stored) == "correct horse é"


def test_another_secret_key_asks_to_connect_again(clock: Clock, tmp_path: Path) -> None:
    stored = encrypt(services(clock, tmp_path), "correct horse")
    with pytest.raises(LostSecretError, match="connect it again") as caught:
        decrypt(services(clock, tmp_path, secret_key="quite another key of 30 letters"), stored)
    assert "horse" not in repr(caught.value)
    for broken in (
        "",
        "gAAA",
        stored[:-4],
        stored[:20] + "A" + stored[21:],
        "é",
        Fernet.generate_key().decode(),
    ):
        with pytest.raises(LostSecretError):
            decrypt(services(clock, tmp_path), broken)


def test_the_key_of_a_trial_still_opens_what_it_locked(tmp_path: Path) -> None:
    trial = load({"DATA_DIR": str(tmp_path)}, tmp_path)
    stored = encrypt(trial, "correct horse")
    grown = load(
        {"DATA_DIR": str(tmp_path), "SECRET_KEY": "k" * 40, "BASE_URL": "https://a.example"}, tmp_path
    )
    assert decrypt(grown, stored) == "correct horse"
    assert decrypt(grown, encrypt(grown, "battery")) == "battery"


def test_no_repr_shows_a_secret() -> None:
    shown = repr(Credentials("ana", "correct horse")) + str(Credentials("ana", "correct horse"))
    assert "horse" not in shown
    assert "ana" in shown


def test_a_login_is_readable_and_never_the_same() -> None:
    made = [passwords.new_login() for _ in range(50)]
    assert len(set(made)) == 50
    user, password = made[0]
    assert user.startswith("bell-")
    assert [len(one) for one in password.split("-")] == [4, 4, 4, 4]


def test_a_password_typed_in_another_way_is_the_same_one() -> None:
    stored = passwords.digest("abcd-efgh-jkmn-pqrs")
    assert "abcd" not in stored
    for typed in ("abcd-efgh-jkmn-pqrs", "ABCD EFGH JKMN PQRS", "abcdefghjkmnpqrs"):
        assert passwords.matches(typed, stored)
    for typed in ("", "abcd-efgh-jkmn-pqrt", "abcd", stored):
        assert not passwords.matches(typed, stored)
    for broken in ("", "scrypt$1$8$1$AA==$AA==", "plain$abcd"):
        assert not passwords.matches("abcd", broken)


async def _alices(clock: Clock, password: str) -> Mailbox:
    alice = await builders.account("alice", clock())
    return await Mailbox.create(
        account=alice, address="alice@acme.com", provider="other", created_at=clock(),
        smtp_host="smtp.acme.com", smtp_port=465, smtp_security="tls", submission_user="bell-k7m2qx9d",
        submission_digest=passwords.digest(password),
    )  # fmt: skip


async def test_a_login_finds_its_mailbox_and_nobody_elses(database: DatabaseURL, clock: Clock) -> None:
    mailbox = await _alices(clock, "abcd-efgh-jkmn-pqrs")
    for user in ("bell-k7m2qx9d", " BELL-k7m2qx9d ", "alice@acme.com", "Alice@ACME.com"):
        found = await passwords.find_mailbox(user, "abcd-efgh-jkmn-pqrs")
        assert found is not None
        assert found.id == mailbox.id
    for user, password in (
        ("bell-k7m2qx9d", "abcd-efgh-jkmn-pqrt"),
        ("bell-other", "abcd-efgh-jkmn-pqrs"),
        ("bob@acme.com", "abcd-efgh-jkmn-pqrs"),
        ("bell-k7m2qx9d" + " " * 60 + "x", "abcd-efgh-jkmn-pqrs"),
        ("", ""),
        ("bell-k7m2qx9d", ""),
        ("bell-k7m2qx9d\x00", "abcd-efgh-jkmn-pqrs"),
        ("é" * 64, "\x00\ud800"),
        ("x" * 10_000, "y" * 1_000_000),
    ):
        assert await passwords.find_mailbox(user, password) is None, user[:20]


async def test_an_address_that_two_accounts_connected_is_no_name(
    sqlite_database: DatabaseURL, clock: Clock
) -> None:
    await _alices(clock, "abcd-efgh-jkmn-pqrs")
    bob = await builders.account("bob", clock())
    await Mailbox.create(
        account=bob, address="alice@acme.com", provider="other", created_at=clock(), smtp_host="x",
        smtp_port=1, smtp_security="tls", submission_user="bell-bob",
        submission_digest=passwords.digest("bobs"),
    )  # fmt: skip
    for password in ("abcd-efgh-jkmn-pqrs", "bobs"):
        assert await passwords.find_mailbox("alice@acme.com", password) is None
    assert await passwords.find_mailbox("bell-bob", "bobs")


async def test_a_password_that_was_right_costs_nothing_the_next_time(
    sqlite_database: DatabaseURL, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox = await _alices(clock, "abcd-efgh-jkmn-pqrs")
    asked: list[str] = []
    real = passwords.matches
    monkeypatch.setattr(passwords, "matches", lambda one, two: (asked.append(one), real(one, two))[1])
    for _ in range(3):
        assert await passwords.find_mailbox("bell-k7m2qx9d", "abcd-efgh-jkmn-pqrs")
    assert len(asked) == 1
    # A wrong one costs each time, and so does an unknown name.
    for user in ("bell-k7m2qx9d", "bell-k7m2qx9d", "bell-nobody"):
        assert await passwords.find_mailbox(user, "wrong") is None
    assert len(asked) == 4
    # A new password puts the remembered one out of use.
    mailbox.submission_digest = passwords.digest("new")
    await mailbox.save()
    assert await passwords.find_mailbox("bell-k7m2qx9d", "abcd-efgh-jkmn-pqrs") is None
    assert await passwords.find_mailbox("bell-k7m2qx9d", "new")


async def test_a_mailbox_without_a_login_lets_nobody_in(sqlite_database: DatabaseURL, clock: Clock) -> None:
    mailbox = await _alices(clock, "abcd")
    mailbox.submission_digest = None
    await mailbox.save()
    assert await passwords.find_mailbox("bell-k7m2qx9d", "abcd") is None
    assert await passwords.find_mailbox("bell-k7m2qx9d", "") is None


async def test_the_log_holds_no_password(
    sqlite_database: DatabaseURL, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await _alices(clock, "abcd-efgh-jkmn-pqrs")
    await passwords.find_mailbox("bell-k7m2qx9d", "abcd-efgh-jkmn-pqrs")
    assert "efgh" not in caplog.text


async def test_a_mailbox_names_its_servers(sqlite_database: DatabaseURL, clock: Clock) -> None:
    mailbox = await _alices(clock, "abcd")
    assert smtp_server(mailbox) == Server("smtp.acme.com", 465, "tls")
    assert imap_server(mailbox) is None
    mailbox.imap_host, mailbox.imap_port = "imap.acme.com", 993
    assert imap_server(mailbox) == Server("imap.acme.com", 993, "tls")
