"""The ports for sending through, in a real process: what the operator is told, and what stops the start."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.flows.test_start import start
from tests.processes.mailbell import free_port, mailbell
from tests.tracker.sending import Talk, trusting


@pytest.mark.parametrize("name", ["SUBMISSION_PORT", "SUBMISSIONS_PORT"])
async def test_a_port_in_use_is_named(tmp_path: Path, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, errors = await start(tmp_path, **{name: str(port)})
    assert code == 2, errors
    assert f"{name}: cannot listen on 127.0.0.1:{port}" in errors.splitlines()[-1]


async def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    given = {"TLS_CERT": "cert.pem", "TLS_KEY": "cert.pem", "SUBMISSION_PORT": str(free_port())}
    code, errors = await start(tmp_path, **given)
    assert code == 2, errors
    assert "Traceback" not in errors
    assert "TLS_CERT: cert.pem and TLS_KEY: cert.pem are no certificate" in errors.splitlines()[-1]


async def test_outside_a_trial_nobody_sends_without_a_certificate(tmp_path: Path) -> None:
    port = free_port()
    more = {"BASE_URL": "https://bell.example", "SECRET_KEY": "k" * 40, "HOST": "127.0.0.1"}
    async with mailbell(tmp_path, "--json", SUBMISSION_PORT=str(port), **more) as bell:
        assert "TLS_CERT" in await bell.wait_for_error("sending through mailbell is off")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await bell.end() == 0


async def test_a_trial_sends_over_tls_of_its_own_and_says_where(tmp_path: Path) -> None:
    ports = {"SUBMISSION_PORT": str(free_port()), "SUBMISSIONS_PORT": str(free_port())}
    async with mailbell(tmp_path, "--json", **ports) as bell:
        for kind, port in zip(("STARTTLS", "TLS"), ports.values(), strict=True):
            await bell.wait_for_error(f"taking mail to send on 127.0.0.1:{port} ({kind})")
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", int(port), ssl=trusting() if kind == "TLS" else None
            )
            talk = Talk(reader, writer)
            assert (await talk.answer()).startswith("220")
            if kind == "STARTTLS":
                await talk.encrypt()
            assert (await talk.log_in("nobody", "nothing")).startswith("535")
            writer.transport.abort()
        assert await bell.end() == 0
        assert "Traceback" not in "\n".join(bell.errors)
