"""The certificate of the submission server: the operator's, renewed while it runs, or a trial's own."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest

from tests.conftest import Clock
from tests.tracker.page_services import services
from tests.tracker.sending import office
from tracker.sending import tls
from tracker.sending.spool import Spool
from tracker.sending.submission import ListenError, submit_mail
from tracker.sending.tls import Certificate, CertificateError, open_certificate, own_certificate_path
from tracker.settings import Settings


def trial(folder: Path, **more: object) -> Settings:
    return Settings.model_validate({"data_dir": folder, **more})


def made(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate and its key, as files of an operator."""
    folder.joinpath(name).mkdir()
    open_certificate(trial(folder / name))
    return folder / name / "tls_cert.pem", folder / name / "tls_key.pem"


async def seen_at(port: int) -> bytes | None:
    """The certificate that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return shown


async def test_a_trial_makes_its_own_and_clients_may_trust_it(sqlite_database, clock: Clock, tmp_path: Path):
    async with office(sqlite_database, clock, tmp_path) as post:
        trusting = ssl.create_default_context(cafile=str(own_certificate_path(post.services.settings)))
        _, writer = await asyncio.open_connection(
            "127.0.0.1", post.port_tls, ssl=trusting, server_hostname="localhost"
        )
        writer.transport.abort()
    assert (tmp_path / "tls_key.pem").stat().st_mode & 0o777 == 0o600


async def test_a_trial_keeps_the_one_it_has_until_the_host_changes(tmp_path: Path):
    open_certificate(trial(tmp_path))
    first = (tmp_path / "tls_cert.pem").read_bytes()
    open_certificate(trial(tmp_path))
    assert (tmp_path / "tls_cert.pem").read_bytes() == first
    open_certificate(trial(tmp_path, public_smtp_host="mail.home.example"))
    assert (tmp_path / "tls_cert.pem").read_bytes() != first


async def test_a_crash_between_key_and_certificate_is_mended(tmp_path: Path):
    open_certificate(trial(tmp_path))
    _, other = made(tmp_path, "other")
    shutil.copy(other, tmp_path / "tls_key.pem")
    assert open_certificate(trial(tmp_path)) is not None


async def test_renewed_files_are_taken_up_and_broken_ones_are_not(
    sqlite_database, clock: Clock, tmp_path: Path, monkeypatch
):
    certificate, key = made(tmp_path, "first")
    later, later_key = made(tmp_path, "later")
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
    given = {"tls_cert": str(certificate), "tls_key": str(key)}
    async with office(sqlite_database, clock, tmp_path, **given) as post:
        first = await seen_at(post.port_tls)
        shutil.copy(later, certificate)  # and the key is still the one before
        assert await seen_at(post.port_tls) == first
        certificate.unlink()
        assert await seen_at(post.port_tls) == first
        shutil.copy(later_key, key)
        shutil.copy(later, certificate)
        assert await seen_at(post.port_tls) == ssl.PEM_cert_to_DER_cert(later.read_text())


async def test_files_that_do_not_belong_together_are_named(tmp_path: Path):
    certificate, _ = made(tmp_path, "first")
    _, key = made(tmp_path, "later")
    with pytest.raises(CertificateError, match=r"TLS_CERT: .*\(key values mismatch\)"):
        Certificate(certificate, key)
    with pytest.raises(CertificateError, match=r"no PEM|no start line"):
        Certificate(Path(__file__), key)


async def test_without_a_certificate_nobody_sends_and_the_log_says_why(clock: Clock, tmp_path: Path, caplog):
    spool = Spool(tmp_path / "spool")
    async with submit_mail(services(clock, tmp_path), spool, print, "127.0.0.1", 0, 0) as server:
        assert server is None
    (said,) = [one.getMessage() for one in caplog.records]
    assert "TLS_CERT" in said
    assert "SUBMISSION_PORT" in said
    spool.close()


async def test_a_port_in_use_is_named(clock: Clock, tmp_path: Path):
    given = services(clock, tmp_path, base_url="http://localhost")
    spool = Spool(tmp_path / "spool")
    async with submit_mail(given, spool, print, "127.0.0.1", 0, None) as server:
        assert server is not None
        (taken,) = server.ports
        with pytest.raises(ListenError) as deaf:
            async with submit_mail(given, spool, print, "127.0.0.1", None, taken):
                pass
    assert (deaf.value.setting, deaf.value.port) == ("SUBMISSIONS_PORT", taken)
    spool.close()
