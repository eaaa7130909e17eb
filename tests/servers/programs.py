"""Programs of the distribution that tests drive: where they are, or one line that says which one is missing.

Without them a test is skipped; in CI, which installs them (.ci/run), it fails.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress

import pytest

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/postfix/sbin"])


def need(*names: str, as_root: bool = False) -> list[str]:
    """The paths of the programs; ends the test where one is missing, or where root is and we are not it."""
    paths = {name: shutil.which(name, path=_PATH) for name in names}
    missing = [name for name, path in paths.items() if path is None]
    if as_root and os.geteuid() != 0:
        missing.append(f"the right to start {names[0]} (root)")
    if missing:
        text = f"missing on this machine: {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    return [path for path in paths.values() if path is not None]


async def end_process(process: asyncio.subprocess.Process) -> None:
    """Ends a process that leads a session of its own, and those of its session that outlive it."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
