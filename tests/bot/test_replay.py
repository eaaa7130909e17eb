"""`python -m bot reclassify` beside a database: what it prints, and where."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bot.replay import tell
from models import Hit
from tests.conftest import Clock
from tests.tracker.judging import GMAIL, court
from tracker.hits.reclassify import Report
from tracker.hits.rules import RULES_VERSION


def test_the_report_names_each_change_the_most_frequent_first():
    changed = Counter({("human (browser)", "bot (bot)"): 2, ("unknown (no-agent)", "bot (bot)"): 1200})
    lines = tell(Report(hits=3000, mails=1, changed=changed, resumed=True), dry_run=True)
    assert lines == [
        f"3,000 hits of 1 mail judged anew by rules {RULES_VERSION}, going on where the last replay stopped: "
        "1,202 hits would change",
        "  unknown (no-agent) → bot (bot): 1200",
        "  human (browser) → bot (bot): 2",
    ]
    assert tell(Report(), dry_run=False)[0].endswith("nothing changes")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"DATA_DIR": str(folder), "BASE_URL": "http://localhost:8080", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", "bot", "reclassify", *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
        cwd=Path(__file__).parent.parent.parent,
    )  # fmt: skip


async def test_it_works_beside_a_running_service_and_reports_on_stdout(
    sqlite_database, clock: Clock, tmp_path: Path
):
    async with court(sqlite_database, clock) as room:
        mail = await room.mail()
        for _ in range(3):
            clock.advance(minutes=5)
            await room.request(await room.pixel(mail), GMAIL)
        await room.judge_all()
        await Hit.all().update(verdict="unknown", reason="strange-agent", ordinal=None)
        dry = run(tmp_path, "--dry-run")
        assert dry.returncode == 0, dry.stderr
        assert "unknown (strange-agent) → proxied (image-proxy): 3" in dry.stdout
        assert "3 of 3 hits" in dry.stderr
        assert await Hit.filter(verdict="unknown").count() == 3
        done = run(tmp_path)
        assert done.stdout.splitlines()[0].endswith("3 hits changed")
        assert await Hit.filter(verdict="proxied").count() == 3
        assert "nothing changes" in run(tmp_path, "--since", "3650d").stdout


@pytest.mark.parametrize(
    ("arguments", "said"), [(("--since", "yesterday"), "7d"), (("--account", "nobody"), "0 accounts match")]
)
async def test_a_wrong_wish_is_told_in_one_line(sqlite_database, tmp_path: Path, arguments, said: str):
    told = run(tmp_path, *arguments)
    assert told.returncode == 1
    assert said in told.stderr
    assert "Traceback" not in told.stderr
