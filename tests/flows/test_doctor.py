"""`python -m bot doctor` beside a running instance: a mail goes through both ways in, and nothing rings."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.processes.mailbell import environment, free_port, mailbell


async def doctor(folder: Path, port: int, **settings: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "doctor", "--json", cwd=folder, env=environment(port, **settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 120)
    found = [json.loads(line) for line in out.decode().splitlines()]
    return process.returncode or 0, {one["key"]: one for one in found}, err.decode()


async def test_a_working_instance_is_found_well_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    port = free_port()
    ports = {
        "CAPTURE_PORT": str(free_port()), "SUBMISSION_PORT": str(free_port()),
        "SUBMISSIONS_PORT": str(free_port()),
    }  # fmt: skip
    async with mailbell(tmp_path, "--json", port=port, **ports) as running:
        await running.say("help")
        await running.wait_for(lambda line: line["kind"] == "reply")
        code, found, err = await doctor(tmp_path, port, **ports)
        assert [one for one in found.values() if one["state"] == "wrong"] == []
        assert code == 0, err
        for key in ("base-url", "capture-port", "submission", "self-test-capture", "self-test-submission"):
            assert found[key]["state"] == "ok", found[key]
        await running.say("list")
        listed = await running.wait_for(lambda line: line.get("command") == 2)
        assert "elf-test" not in listed["text"]
        assert {line["kind"] for line in running.lines} == {"reply"}
        assert not any("Traceback" in line for line in running.errors)
        assert await running.end() == 0
    code, found, _ = await doctor(tmp_path, port, **ports)
    assert code == 1
    for key in ("base-url", "capture-port", "submission"):
        assert found[key]["state"] == "wrong", found[key]
        assert found[key]["remedy"]
    assert found["database"]["state"] == "ok"
