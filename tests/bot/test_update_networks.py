"""`update-networks`: whole or not at all, what changed in words, and exit codes that scripts rely on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from bot.operate import OperatorError
from bot.update_networks import add_command
from tracker.hits.network_lists import build, in_use
from tracker.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command with DATA_DIR in the test's folder, ending as `python -m bot` does."""

    def finish(work: Callable[[Settings], Coroutine[Any, Any, int]]) -> None:
        try:
            sys.exit(asyncio.run(work(Settings.model_validate({"data_dir": tmp_path / "data"}))))
        except OperatorError as error:
            click.echo(str(error), err=True)
            sys.exit(1)

    group = click.Group()
    add_command(group, finish)
    return lambda *words: CliRunner().invoke(group, ["update-networks", *map(str, words)])


def label(tmp_path: Path, address: str) -> str | None:
    return build(in_use(tmp_path / "data" / "networks")).label(address)


def aws(numbers: range) -> str:
    prefixes = [{"ip_prefix": f"3.{n * 2}.0.0/16", "service": "EC2"} for n in numbers]
    return json.dumps({"createDate": "2026-10-05-0-0-0", "prefixes": prefixes, "ipv6_prefixes": []})


def kept(tmp_path: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}


def test_a_plain_list_is_taken_and_the_next_says_what_changed(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "mine.txt"
    source.write_text("6.6.6.0/24\n6.6.8.0/24\n")
    result = run(source, "--label", "mail-filter", "--name", "Mine & Co")
    assert (result.exit_code, result.stdout) == (0, "mail-filter/Mine & Co: 2 networks, all new\n")
    assert "running services take it over within a minute" in result.stderr
    assert label(tmp_path, "6.6.6.6") == "mail-filter/Mine & Co"

    source.write_text("6.6.6.0/24\n6.6.10.0/24\n6.6.12.0/24\n")
    result = run(source, "--label", "mail-filter", "--name", "Mine & Co")
    assert result.stdout == "mail-filter/Mine & Co: 2 → 3 networks (2 new, 1 gone)\n"
    assert label(tmp_path, "6.6.8.1") is None
    assert run(source, "--label", "mail-filter", "--name", "Mine & Co").stdout.endswith(
        "the same as before\n"
    )
    assert list(kept(tmp_path)) == ["mail-filter-mine-co.txt"]
    assert (tmp_path / "data" / "networks" / "mail-filter-mine-co.txt").stat().st_mode & 0o777 == 0o644


def test_a_clouds_json_replaces_what_came_with_mailbell(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ip-ranges.json").write_text(aws(range(100)))
    assert label(tmp_path, "18.208.22.64") == "hosting/AWS"
    refused = run(tmp_path / "ip-ranges.json")
    assert refused.exit_code == 1
    assert "would shrink to 6 % of its addresses; nothing was changed" in refused.stderr
    assert label(tmp_path, "18.208.22.64") == "hosting/AWS"
    assert kept(tmp_path) == {}
    assert run(tmp_path / "ip-ranges.json", "--force").exit_code == 0
    assert label(tmp_path, "18.208.22.64") is None
    assert label(tmp_path, "3.2.1.1") == "hosting/AWS"
    assert label(tmp_path, "5.9.1.1") == "hosting/Hetzner"


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x01", b"6.6.6.0/24\n0.0.0.0/0\n", b"6.6.6.0/24\n10.0.0.0/8\n", b"{", b"<html>"]
)
def test_what_cannot_be_used_changes_nothing(run: Run, tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "mine"
    source.write_bytes(b"6.6.6.0/24\n")
    assert run(source, "--label", "hosting").exit_code == 0
    before = kept(tmp_path)
    source.write_bytes(data)
    result = run(source, "--label", "hosting")
    assert result.exit_code == 1
    assert "nothing was changed" in result.stderr
    assert "Traceback" not in result.output
    assert kept(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a SOURCE, or --show"),
        (["mine", "--show"], "name a SOURCE, or --show"),
        (["mine"], "add --label mail-filter|security|relay|hosting"),
        (["mine", "--label", "bank"], "'bank' is not one of"),
        (["mine", "--label", "hosting", "--name", "../x"], "--name '../x'"),
        (["none.txt", "--label", "hosting"], "there is no such file"),
        ([".", "--label", "hosting"], "there is no such file"),
        (["http://lists.example/x", "--label", "hosting"], "must begin with https://"),
        (["file:///etc/passwd", "--label", "hosting"], "must begin with https://"),
        (["https://[", "--label", "hosting"], "is no URL"),
        (["https:///x", "--label", "hosting"], "must begin with https://"),
    ],
)
def test_wrong_use_ends_with_two_and_says_what_to_put(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("6.6.6.0/24\n")
    result = run(*words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert kept(tmp_path) == {}


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/x", "https://localhost:9/x", "https://[::1]:9/x"])
def test_a_private_host_is_refused(run: Run, url: str) -> None:
    result = run(url, "--label", "hosting")
    assert result.exit_code == 1
    assert "ALLOW_PRIVATE_UPSTREAM" in result.stderr


def test_show_tells_every_list_its_age_and_where_it_is_from(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "networks"
    folder.mkdir(parents=True)
    (folder / "old.txt").write_text("# label: relay\n# date: 2020-01-01\n[Old]\n6.6.6.0/24\n")
    result = run("--show")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    (hetzner,) = [line for line in lines if " Hetzner " in line]
    assert hetzner.startswith("hosting")
    assert hetzner.endswith("comes with mailbell")
    (old,) = [line for line in lines if " Old " in line]
    assert "days (old)  old.txt" in old
    assert [line.split()[0] for line in lines] == sorted(
        (line.split()[0] for line in lines), key=["mail-filter", "security", "relay", "hosting"].index
    )


def test_it_is_one_of_the_short_commands(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("6.6.6.0/24\n")
    words = [sys.executable, "-m", "bot", "update-networks"]
    environment = {"DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [*words, "mine.txt", "--label", "hosting"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, b"hosting/mine: 1 network, all new\n")
    shown = subprocess.run([*words, "--show"], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert b"hosting-mine.txt" in shown.stdout
