"""`python -m bot connect`: the contract that scripts rely on, in a real process."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.processes.mailbell import environment, free_port
from tests.servers.mailhost import mail_host


async def run(folder: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments, cwd=folder,
        env=environment(free_port(), **settings), stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def test_the_command_line_connects_a_mailbox_as_the_page_does(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("battery staple")
    async with mail_host(alice_at_acme_dot_com="correct horse") as host:
        wanted = [
            "connect", "--host", "127.0.0.1", "--port", str(host.port), "--security", "none", "--user",
            "alice@acme.com", "--address", "Alice@acme.com", "--json", "--password-file",
        ]  # fmt: skip
        code, out, err = await run(tmp_path, *wanted, "password")
        assert (code, out) == (1, "")
        assert "migrate" in err
        assert (await run(tmp_path, "migrate"))[0] == 0
        code, out, err = await run(tmp_path, *wanted, "password")
        assert (code, out) == (1, "")
        assert "ALLOW_PRIVATE_UPSTREAM" in err
        permitted = {"ALLOW_PRIVATE_UPSTREAM": "true", "CAPTURE_PORT": "2525"}
        code, out, err = await run(tmp_path, *wanted, "password", **permitted)
        assert code == 0, err
        printed = json.loads(out)
        assert set(printed) == {"submission_user", "submission_password", "capture_address", "public_address"}
        assert printed["capture_address"].endswith("@localhost")
        assert "horse" not in out + err
        code, out, err = await run(tmp_path, *wanted, "wrong", **permitted)
        assert (code, out) == (1, "")
        assert "Username and Password not accepted" in err
        assert "battery" not in err
        assert "Traceback" not in err
        assert (await run(tmp_path, *wanted, "nofile", **permitted))[0] == 2
        assert (await run(tmp_path, "connect", "--host", "x"))[0] == 2
        assert (await run(tmp_path, *wanted, "password", "--security", "maybe"))[0] == 2
    stored = b"".join(one.read_bytes() for one in (tmp_path / "data").glob("mailbell.db*"))
    assert b"alice@acme.com" in stored
    for secret in ("correct horse", printed["submission_password"]):
        assert secret.encode() not in stored
