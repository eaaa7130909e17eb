"""Connecting a mailbox from the command line, as an operator or a script does."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clients.letters import SENDER
from tests.flows.test_newcomer import short_command
from tests.processes.mailbell import Mailbell


async def connect(
    bell: Mailbell, folder: Path, port: int, user: str, password: str, security: str, settings: dict[str, str]
) -> tuple[str, str]:
    """Connects SENDER's mailbox at a provider on loopback; user and password for mail programs."""
    (folder / "password").write_text(password)
    code, out, err = await short_command(
        folder, bell.port, "connect", "--host", "localhost", "--port", str(port), "--security", security,
        "--user", user, "--password-file", "password", "--address", SENDER, "--json", **settings,
    )  # fmt: skip
    assert code == 0, err
    made = json.loads(out)
    return made["submission_user"], made["submission_password"]
