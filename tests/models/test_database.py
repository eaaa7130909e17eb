"""Where the database is, how moments are stored in it, and who may serve it."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from models import Account
from models.database import (
    DatabaseURL,
    DatabaseURLError,
    ServiceRunningError,
    hold_service_lock,
    open_database,
    parse_database_url,
)
from tests.conftest import Clock


async def test_a_moment_comes_back_as_it_was_stored(database, clock: Clock):
    await Account.create(name="alice", created_at=clock())
    found = await Account.filter(created_at__lte=clock(), created_at__gte=clock()).get()
    assert found.created_at == clock()
    assert found.muted_until is None


async def test_moments_are_compared_across_time_zones(database, clock: Clock):
    await Account.create(name="alice", created_at=clock())
    east = (clock() + dt.timedelta(minutes=1)).astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert await Account.filter(created_at__lt=east).count() == 1


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///mailbell.db", "mailbell.db"),
        ("sqlite:///data/mailbell.db", "data/mailbell.db"),
        ("sqlite:////var/lib/mailbell.db", "/var/lib/mailbell.db"),
        ("sqlite:////with%20space/ü.db", "/with space/ü.db"),
    ],
)
def test_a_sqlite_url_names_a_file(url: str, path: str):
    assert parse_database_url(url) == DatabaseURL("sqlite", path=Path(path))


def test_a_postgres_url_gives_credentials():
    found = parse_database_url(
        "postgres://ana%40acme:p%2Fw%3A%23@db.example.com:6432/mail%20bell?sslmode=require&pgbouncer=true"
    )
    assert found.credentials == {
        "host": "db.example.com", "port": 6432, "user": "ana@acme", "password": "p/w:#",
        "database": "mail bell", "ssl": "require", "statement_cache_size": 0,
    }  # fmt: skip


def test_a_password_is_in_no_text_about_the_database():
    assert "s3cret" not in repr(parse_database_url("postgres://u:s3cret@h/d"))


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("mysql://h/d", "must begin with sqlite:/// or postgres://"),
        ("", "must begin with"),
        ("sqlite://mailbell.db", "sqlite:///relative"),
        ("sqlite::memory:", "sqlite:///relative"),
        ("sqlite:///", "sqlite:///relative"),
        ("sqlite:////data/", "sqlite:///relative"),
        ("sqlite:///a.db?foreign_keys=OFF", "sqlite:///relative"),
        ("postgres://h", "database name is missing"),
        ("postgres://h:port/d", "port must be a number"),
        ("postgres://u:a/b@h/d", "port must be a number"),
        ("postgres://u:[pw@h/d", "%5B"),
        ("postgres://h/d?sslmode=maybe", "use one of disable"),
        ("postgres://h/d?fast=yes", "option fast is unknown"),
        ("postgres://h/d?sslmode=verify-full&sslrootcert=/missing.pem", "no readable certificate"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_to_write(url: str, remedy: str):
    with pytest.raises(DatabaseURLError) as told:
        parse_database_url(url)
    assert remedy in str(told.value)
    assert "pw" not in str(told.value)


@pytest.mark.parametrize(("mode", "host_checked"), [("require", False), ("verify-full", True)])
def test_a_root_certificate_is_checked_as_libpq_does(mode: str, host_checked: bool):
    import ssl

    url = parse_database_url(f"postgres://h/d?sslmode={mode}&sslrootcert=system")
    context = url.credentials["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname is host_checked


async def test_sslmode_reaches_the_driver(postgres_url: str):
    """This server has no TLS: `require` must fail, where `prefer` goes on without."""
    plain = parse_database_url(f"{postgres_url}&sslmode=prefer")
    async with open_database(plain):
        assert await Account.all().count() == 0
    tcp = {**plain.credentials, "host": "127.0.0.1", "ssl": "require"}
    with pytest.raises((ConnectionError, OSError)):
        async with open_database(DatabaseURL("postgres", credentials=tcp)):
            pass


def test_a_second_service_on_one_sqlite_file_is_refused(tmp_path: Path):
    path = tmp_path / "new" / "mailbell.db"
    script = (
        "import sys\nfrom pathlib import Path\nfrom models.database import hold_service_lock\n"
        "with hold_service_lock(Path(sys.argv[1])):\n print('held', flush=True)\n sys.stdin.read()\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], cwd=Path(__file__).parents[2], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    with (
        pytest.raises(ServiceRunningError, match=rf"process {first.pid}\) serves .*PostgreSQL"),
        hold_service_lock(path),
    ):
        raise AssertionError("two services hold one file")
    first.kill()
    first.communicate()
    with hold_service_lock(path):
        pass  # a kill leaves nothing behind that has to be removed
    with hold_service_lock(path):
        pass
