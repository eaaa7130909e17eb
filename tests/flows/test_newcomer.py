"""The first minutes of a newcomer, with the real process: demo, track, and the short commands beside it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from tests.processes.mailbell import environment, free_port, mailbell

SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


async def short_command(
    directory: Path, port: int, *arguments: str, stdout: Any = asyncio.subprocess.PIPE, **settings: str
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `python -m bot ARGUMENTS` beside a running service."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *arguments, cwd=directory, env=environment(port, **settings),
        stdout=stdout, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out or b"").decode(), err.decode()


async def test_demo_rings_three_times_reminds_and_tells_click_and_answer(tmp_path):
    given = {"CAPTURE_PORT": str(free_port()), "LOG_LEVEL": "debug"}
    async with mailbell(tmp_path, "--json", "--exit", from_nothing=True, **given) as bell:
        await bell.say("demo")
        bell.process.stdin.close()
        third = await bell.wait_for(lambda line: "(3rd time)" in line.get("text", ""))
        assert third["kind"] == "alert"
        assert (third["event"], third["recipient"], third["count"]) == ("open", "ana@acme.com", 3)
        click = await bell.wait_for(lambda line: line.get("event") == "click")
        assert "clicked acme.com/deck" in click["text"]
        assert await bell.wait_for(lambda line: line.get("event") == "reminder")
        reply = await bell.wait_for(lambda line: line.get("event") == "reply")
        assert reply["recipient"] == "ana@acme.com"
        assert await asyncio.wait_for(bell.process.wait(), 30) == 0
    logged = "\n".join(bell.errors)
    assert "listening on" in logged
    assert not [part for part in ("acme.com", "/o/", "/c/", "[address]", "[token]") if part in logged]
    opens = [line["text"] for line in bell.lines if line.get("event") == "open"]
    assert len(opens) == 3
    cards = [line for line in bell.lines if line["kind"] in ("card", "card_edit")]
    assert cards[0]["kind"] == "card"
    assert "opened ×3 · clicked · replied" in cards[-1]["text"]


async def test_track_answers_with_pixel_link_and_copy_page_and_a_stranger_opening_it_rings(tmp_path):
    async with mailbell(tmp_path, "--json", ARM_AFTER_SECONDS="0") as bell:
        await bell.say("/track ana@acme.com Q3 proposal https://acme.com/deck?x=1&y=%20")
        reply = await bell.wait_for(lambda line: line["kind"] == "reply")
        assert reply["command"] == 1
        assert reply["capture_address"] is None
        (link,) = reply["links"]
        assert link["url"] == "https://acme.com/deck?x=1&y=%20"
        # All on one connection, as browsers do: a page that asks the database comes after the pixel.
        async with aiohttp.ClientSession(headers={"User-Agent": SAFARI}) as reader:
            async with reader.get(reply["pixel_url"].replace("localhost", "127.0.0.1")) as response:
                assert response.status == 200
                assert len(await response.read()) == 43
            tracked = link["tracked_url"].replace("localhost", "127.0.0.1")
            async with reader.get(tracked, allow_redirects=False) as response:
                assert response.status == 302
                assert response.headers["Location"] == "https://acme.com/deck?x=1&y=%20"
            async with reader.get(reply["copy_url"].replace("localhost", "127.0.0.1")) as response:
                assert response.status == 200
                assert "Q3 proposal" in await response.text()
        ring = await bell.wait_for(lambda line: line["kind"] == "alert")
        assert '"Q3 proposal" was opened by ana@acme.com' in ring["text"]
        assert await bell.end() == 0


async def test_every_hit_is_in_the_export_while_the_service_runs(tmp_path):
    async with mailbell(tmp_path, "--json", ARM_AFTER_SECONDS="0") as bell:
        await bell.say("track ana@acme.com Q3 proposal")
        reply = await bell.wait_for(lambda line: line["kind"] == "reply")
        async with aiohttp.ClientSession(headers={"User-Agent": SAFARI}) as reader:
            for _ in range(3):
                async with reader.get(reply["pixel_url"].replace("localhost", "127.0.0.1")):
                    pass
        await bell.wait_for(lambda line: line["kind"] == "alert")
        code, out, err = await short_command(tmp_path, bell.port, "export", "--format", "json")
        assert (code, err) == (0, "")
        rows = [json.loads(line) for line in out.splitlines()]
        assert len(rows) == 3
        assert {row["recipient"] for row in rows} == {"ana@acme.com"}
        assert rows[0]["class"] == "human"
        with Path("/dev/full").open("w") as full:
            code, _, err = await short_command(tmp_path, bell.port, "export", stdout=full)
        assert (code, err.count("\n")) == (1, 1)
        assert "No space left" in err
        code, out, err = await short_command(tmp_path, bell.port, "backup", "saved.mailbell")
        assert code == 0, err
        assert (tmp_path / "saved.mailbell").stat().st_size > 0


async def test_a_second_process_on_the_same_sqlite_file_is_refused_with_a_clear_line(tmp_path):
    async with mailbell(tmp_path, "--json") as first:
        await first.say("help")
        await first.wait_for(lambda line: line["kind"] == "reply")
        async with mailbell(tmp_path, "--json") as second:
            assert await asyncio.wait_for(second.process.wait(), 30) == 2
            await asyncio.gather(*second._readers)
        assert len(second.errors) == 1
        assert "Traceback" not in second.errors[0]


async def test_bad_settings_end_the_start_with_one_line_each_and_exit_code_2(tmp_path):
    async with mailbell(tmp_path, BASE_URL="https://mail.acme.com", LOG_LEVEL="loud") as bell:
        assert await asyncio.wait_for(bell.process.wait(), 30) == 2
        await asyncio.gather(*bell._readers)
    assert sorted(line.partition(":")[0] for line in bell.errors) == ["LOG_LEVEL", "SECRET_KEY"]


async def test_a_taken_port_is_named(tmp_path):
    async with mailbell(tmp_path, "--json") as first:
        await first.say("help")
        await first.wait_for(lambda line: line["kind"] == "reply")
        (tmp_path / "other").mkdir()
        async with mailbell(tmp_path / "other", "--json", port=first.port) as second:
            assert await asyncio.wait_for(second.process.wait(), 30) == 2
            await asyncio.gather(*second._readers)
        assert f"PORT: cannot listen on 127.0.0.1:{first.port}" in second.errors[-1]


async def test_end_of_input_leaves_the_services_running_until_sigterm(tmp_path):
    async with mailbell(tmp_path, "--json") as bell:
        await bell.say("help")
        await bell.wait_for(lambda line: line["kind"] == "reply")
        bell.process.stdin.close()
        async with aiohttp.ClientSession() as reader, reader.get(bell.url + "/healthz") as response:
            health = await response.json()
        assert health["status"] == "ok"
        began = time.monotonic()
        assert await bell.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 20


async def test_the_claim_code_is_one_line_on_stderr(tmp_path):
    async with mailbell(tmp_path, "--json") as bell:
        line = await bell.wait_for_error("claim code: ")
        assert line.startswith("claim code: ")


async def test_a_list_is_imported_and_bad_rows_are_named(tmp_path):
    (tmp_path / "list.csv").write_text(
        "to,subject,urls\nana@acme.com,Q3 proposal,https://acme.com/deck\nnobody,,ftp://x\n"
    )
    code, out, err = await short_command(tmp_path, 1, "migrate")
    assert code == 0, err
    code, out, err = await short_command(tmp_path, 1, "import-list", "list.csv", "--json")
    assert code == 1
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert row["links"][0]["url"] == "https://acme.com/deck"
    assert "line 3" in err
