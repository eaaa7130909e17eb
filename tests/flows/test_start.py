"""A start that cannot work: exit code 2 and a line that names the variable, never a traceback."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.processes.mailbell import environment, free_port

_libc = ctypes.CDLL(None)


async def start(directory: Path, **settings: str) -> tuple[int, str]:
    """Exit code and stderr of `python -m bot` in `directory`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "--json", "--exit", cwd=directory,
        env={**environment(free_port()), **settings}, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, preexec_fn=_obey_permissions,
    )  # fmt: skip
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


def _obey_permissions() -> None:
    """Also as root: what a file's mode forbids is forbidden (PR_CAPBSET_DROP of CAP_DAC_OVERRIDE)."""
    _libc.prctl(24, 1, 0, 0, 0)


def _a_file_where_data_goes(directory: Path) -> None:
    (directory / "data").write_text("no directory")


def _env_in_another_encoding(directory: Path) -> None:
    (directory / ".env").write_text("ARM_AFTER_SECONDS=5\n", encoding="utf-16")


def _nothing(directory: Path) -> None:
    assert directory.is_dir()


@pytest.mark.parametrize(
    ("prepare", "settings", "said"),
    [
        (_a_file_where_data_goes, {}, "DATA_DIR: data cannot be used (File exists)"),
        (_nothing, {"DATA_DIR": "/proc/nowhere"}, "DATA_DIR: /proc/nowhere cannot be used"),
        (_nothing, {"DATABASE_URL": "sqlite:////proc/x.db"}, "DATABASE_URL: /proc/x.db"),
        (_nothing, {"HOST": "300.1.1.1"}, "HOST: '300.1.1.1' cannot be used; put an address"),
        (_nothing, {"HOST": "192.0.2.1"}, "HOST: 192.0.2.1 is no address"),
        (_env_in_another_encoding, {}, "save it as UTF-8"),
    ],
)
async def test_what_cannot_work_is_named_in_a_line(
    tmp_path: Path, prepare: Callable[[Path], None], settings: dict[str, str], said: str
) -> None:
    prepare(tmp_path)
    code, errors = await start(tmp_path, **settings)
    assert code == 2
    assert "Traceback" not in errors
    assert said in errors.splitlines()[-1]


async def test_a_database_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    code, _ = await start(tmp_path)
    assert code == 0
    (tmp_path / "data" / "mailbell.db").chmod(0o444)
    code, errors = await start(tmp_path)
    assert (code, errors.count("\n")) == (2, 1)
    assert "DATABASE_URL: data/mailbell.db cannot be written (attempt to write a readonly" in errors


async def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o555)
    code, errors = await start(tmp_path)
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith("DATA_DIR: data")


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, errors = await start(tmp_path, PORT=str(port))
    assert code == 2
    said = errors.splitlines()[-1]
    assert said.startswith(f"PORT: cannot listen on 127.0.0.1:{port} (Address already in use); put another")
    assert said.endswith(f"such as PORT={port ^ 1}")


async def test_windows_line_ends_in_the_env_file_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"ARM_AFTER_SECONDS=5\r\nLOG_LEVEL=warning\r\n")
    code, errors = await start(tmp_path)
    assert code == 0
    assert errors.startswith("claim code: ")


async def test_a_setting_that_does_nothing_yet_is_named(tmp_path: Path) -> None:
    code, errors = await start(tmp_path, SENTRY_DSN="https://key@reports.example/1", HOST="192.0.2.1")
    assert code == 2
    assert "SENTRY_DSN: is set, and does nothing yet" in errors
    assert "GEOIP_DB" not in errors
    assert "reports.example" not in errors


async def test_closed_standard_descriptors_are_no_numbers_for_files_of_ours(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"exec {sys.executable} -m bot 0<&- 1>&- 2>&-", cwd=tmp_path, env=environment(port)
    )
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while not await _answers(session, f"http://127.0.0.1:{port}/healthz"):
                await asyncio.sleep(0.1)
        for number in range(3):
            assert Path(f"/proc/{process.pid}/fd/{number}").readlink() == Path("/dev/null")
    finally:
        process.terminate()
        await process.wait()
    assert process.returncode == 0


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
