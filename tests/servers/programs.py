"""Programs of the distribution that tests drive: where they are, or one line that says which one is missing.

Without them a test is skipped; in CI, which installs them (.ci/run), it fails.
"""

from __future__ import annotations

import os
import shutil

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
