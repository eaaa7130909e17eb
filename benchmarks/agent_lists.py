"""Public lists of user agents, fetched by package name, and which half the rules may be written from.

None of the lists is committed: pip and npm download them into the user's cache, once. A string's half is a
hash of its letters (versions of one program stay together): `development` may be looked at while writing
rules, `held out` may not, it only gives numbers. Lists marked whole are held out altogether.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import tarfile
import venv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DEVELOPMENT, HELD_OUT = "development", "held out"
# What a string is known to be, by the list it stands in.
MACHINE, PERSON, MAIL, PROXY, APP = (
    "machines",
    "people's browsers",
    "mail clients",
    "image proxies",
    "apps' requests",
)

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailbell-bench" / "agents"
SDISTS = ("crawlerdetect==0.4.2", "device-detector==6.5.1", "is-crawler==1.5.25", "fake-useragent==2.2.0")
NPM = (
    "crawler-user-agents@1.60.0", "user-agents@2.1.198", "top-user-agents@2.1.138", "woothee@1.11.1",
    "top-crawler-agents@1.0.35", "random-useragent@0.5.0", "isbot@5.2.3",
)  # fmt: skip
PEERS = (
    "crawlerdetect==0.4.2",
    "device-detector==6.5.1",
    "ua-parser==1.0.2",
    "ua-parser-builtins",
    "is-crawler==1.5.25",
)

# The lists of machines hold the mailboxes' image proxies, too, and mail clients stand among browsers: told
# apart by these words, which are not our tables.
_PROXY = re.compile(
    r"image[ _-]?proxy|shortwave|mail[ _-]?proxy|ggpht|fastmail|superhuman|ukr\.net proxy", re.I
)
_NO_MAILBOX = re.compile(r"slack|snapchat|imgproxy|extractor", re.I)
_MAIL = re.compile(
    r"thunderbird|outlook|ms-?office|lotus-?notes|postbox|airmail|emclient|incredimail|the bat!|barca|eudora"
    r"|foxmail|kontact|kmail|evolution/|windows-?live-?mail|sparrow|mailbird|mailspring|bluemail|sparkmail",
    re.I,
)

Strings = Iterable[tuple[str, str]]  # (kind, user agent)


@dataclass(frozen=True)
class AgentList:
    """One list: `whole` means that all of it is held out."""

    name: str
    read: Callable[[], Strings]
    whole: bool = False


def half_of(agent: str) -> str:
    """Which half a string falls into: versions do not matter."""
    letters = re.sub(r"[\d._]+", "0", agent.lower())
    return DEVELOPMENT if hashlib.sha256(letters.encode()).digest()[0] & 1 else HELD_OUT


def python() -> Path:
    """The interpreter of the throw-away environment, in which the peers are installed."""
    return CACHE / "venv" / "bin" / "python"


def isbot() -> Path:
    """npm's isbot, where npm is there."""
    return CACHE / "isbot" / "package" / "index.js"


def fetch() -> None:
    """Downloads what is missing; raises CalledProcessError where the registries cannot be reached."""
    CACHE.mkdir(parents=True, exist_ok=True)
    done = CACHE / "complete"
    wanted = "\n".join((*SDISTS, *NPM, *PEERS))
    if done.exists() and done.read_text() == wanted:
        return
    venv.create(CACHE / "venv", with_pip=True, clear=True)
    pip = [str(python()), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *PEERS], check=True)
    subprocess.run(
        [*pip, "download", "--no-deps", "--no-binary", ":all:", "-d", str(CACHE), *SDISTS], check=True
    )
    if npm := shutil.which("npm"):
        subprocess.run([npm, "pack", "--silent", *NPM], check=True, cwd=CACHE, stdout=subprocess.DEVNULL)
        for path in CACHE.glob("isbot-*.tgz"):
            with tarfile.open(path) as archive:
                archive.extractall(CACHE / "isbot", filter="data")
    done.write_text(wanted)


def _text(package: str, member: str) -> str:
    """A file of a downloaded package; empty where the package is not there (npm lists without npm)."""
    found = sorted(CACHE.glob(f"{package}-*gz"))
    if not found:
        return ""
    with tarfile.open(found[-1]) as archive:
        for entry in archive:
            if entry.name.partition("/")[2] == member and (file := archive.extractfile(entry)):
                return file.read().decode("utf-8", "replace")
    raise LookupError(f"{package} has no {member}")


def _lines(kind: str, package: str, member: str) -> Callable[[], Strings]:
    return lambda: ((kind, line) for line in _text(package, member).splitlines())


def _json(kind: str, package: str, member: str, key: str | None = None) -> Callable[[], Strings]:
    def read() -> Strings:
        for item in json.loads(_text(package, member) or "[]"):
            yield kind, item[key] if key else item

    return read


def _crawler_user_agents() -> Iterator[tuple[str, str]]:
    for item in json.loads(_text("crawler-user-agents", "crawler-user-agents.json") or "[]"):
        yield from ((MACHINE, agent) for agent in item.get("instances", ()))


def _fake_useragent() -> Iterator[tuple[str, str]]:
    for line in _text("fake_useragent", "src/fake_useragent/data/browsers.jsonl").splitlines():
        yield PERSON, json.loads(line)["useragent"]


def _woothee() -> Iterator[tuple[str, str]]:
    files = {
        MACHINE: ("crawler", "crawler_google"),
        PERSON: ("pc_windows", "pc_misc", "smartphone_ios", "smartphone_android"),
    }
    for kind, names in files.items():
        for name in names:
            for found in re.findall(r"target: (.+)", _text("woothee", f"woothee/testsets/{name}.yaml")):
                yield kind, _unquoted(found)


def _random_useragent() -> Iterator[tuple[str, str]]:
    for item in json.loads(_text("random-useragent", "useragent-data.json") or "[]"):
        folder = item["folder"]
        if "Spiders" in folder or "Libraries" in folder or "Validators" in folder:
            yield MACHINE, item["userAgent"]
        elif "Email" in folder or "E-mail" in folder:
            yield MAIL, item["userAgent"]
        elif "Browsers" in folder or "Mobile" in folder:
            yield PERSON, item["userAgent"]


# Device detector's kinds of clients.
_CLIENTS = {
    "browser": PERSON,
    "pim": MAIL,
    "library": MACHINE,
    "mobile app": APP,
    "mediaplayer": APP,
    "feed reader": APP,
}


def _matomo(text: str, *, bots: bool = False) -> Iterator[tuple[str, str]]:
    """Device detector's fixtures: blocks of `user_agent: …` and what the client is."""
    for block in re.split(r"^-\s*$", text, flags=re.M):
        agent = re.search(r"^ +user_agent: (.+)$", block, re.M)
        client = re.search(r"^ +client:\n +type: (.+)$", block, re.M)
        if agent is None:
            continue
        if bots:
            yield MACHINE, _unquoted(agent[1])
        elif client is not None and (kind := _CLIENTS.get(_unquoted(client[1]))):
            yield kind, _unquoted(agent[1])


def _device_detector() -> Iterator[tuple[str, str]]:
    for path in sorted(CACHE.glob("device_detector-*gz")):
        with tarfile.open(path) as archive:
            for entry in archive:
                folder, _, name = entry.name.rpartition("/")
                if folder.endswith("tests/fixtures/upstream") and (file := archive.extractfile(entry)):
                    yield from _matomo(file.read().decode("utf-8", "replace"), bots=name == "bots.yml")


def _unquoted(text: str) -> str:
    text = text.strip()
    if text.startswith('"') and text.endswith('"'):
        return str(json.loads(text)) if "\\" not in text else text[1:-1].replace('\\"', '"')
    return text[1:-1].replace("''", "'") if text.startswith("'") and text.endswith("'") else text


CD = "tests/fixtures/user_agent/"
IC = "tests/fixtures/"
LISTS = (
    AgentList("crawlerdetect: crawlers", _lines(MACHINE, "crawlerdetect", CD + "crawlers.txt")),
    AgentList("crawlerdetect: devices", _lines(PERSON, "crawlerdetect", CD + "devices.txt")),
    AgentList("crawler-user-agents", _crawler_user_agents),
    AgentList("device-detector", _device_detector),
    AgentList("is-crawler: crawlers", _lines(MACHINE, "is_crawler", IC + "crawler_user_agents.txt")),
    AgentList("is-crawler: browsers", _lines(PERSON, "is_crawler", IC + "browser_user_agents.txt")),
    AgentList("top-crawler-agents", _json(MACHINE, "top-crawler-agents", "index.json")),
    AgentList("top-user-agents", _json(PERSON, "top-user-agents", "src/index.json")),
    AgentList("is-crawler: loadkpi", _lines(MACHINE, "is_crawler", IC + "loadkpi_crawlers.txt"), whole=True),
    AgentList(
        "is-crawler: more browsers",
        _lines(PERSON, "is_crawler", IC + "browser_user_agents_extended.txt"),
        whole=True,
    ),
    AgentList("user-agents", _json(PERSON, "user-agents", "dist/user-agents.json", "userAgent"), whole=True),
    AgentList("fake-useragent", _fake_useragent, whole=True),
    AgentList("random-useragent", _random_useragent, whole=True),
    AgentList("woothee", _woothee, whole=True),
)


def _folder(folder: Path) -> Iterator[AgentList]:
    """Further lists, one string a line, named after what they hold: `machines-….txt`, `people-….txt`."""
    kinds = {"machines": MACHINE, "people": PERSON, "mail": MAIL, "proxies": PROXY, "apps": APP}
    for path in sorted(folder.glob("*.txt")):
        kind = kinds[path.name.partition("-")[0]]
        lines = path.read_text("utf-8", "replace").splitlines()
        pairs = [(kind, line) for line in lines]
        yield AgentList(path.stem, pairs.__iter__, "whole" in path.stem)


def _kind(kind: str, agent: str) -> str:
    """The more particular kind, where the string says so itself."""
    if kind in (MACHINE, APP) and _PROXY.search(agent) and not _NO_MAILBOX.search(agent):
        return PROXY
    if kind in (PERSON, APP) and _MAIL.search(agent):
        return MAIL
    return kind


def gather(folder: Path | None = None) -> dict[str, dict[str, dict[str, str]]]:
    """half → string → {kind, list}; what stands both among people and among machines is left out."""
    kinds: dict[str, set[str]] = {}
    halves: dict[str, str] = {}
    origin: dict[str, str] = {}
    for lot in (*LISTS, *(_folder(folder) if folder else ())):
        for kind, raw in lot.read():
            agent = html.unescape(raw).strip()
            if not agent:
                continue
            kinds.setdefault(agent, set()).add(_kind(kind, agent))
            if agent not in halves:
                halves[agent] = HELD_OUT if lot.whole else half_of(agent)
                origin[agent] = lot.name
    seen = {_letters(agent) for agent, half in halves.items() if half == DEVELOPMENT}
    result: dict[str, dict[str, dict[str, str]]] = {DEVELOPMENT: {}, HELD_OUT: {}}
    for agent, said in kinds.items():
        half = halves[agent]
        if half == HELD_OUT and _letters(agent) in seen:
            continue  # a whole list's string whose twin may have been looked at
        kind = next((k for k in (PROXY, MAIL) if k in said), None) or (said.pop() if len(said) == 1 else None)
        if kind is not None:
            result[half][agent] = {"kind": kind, "list": origin[agent]}
    return result


def _letters(agent: str) -> str:
    return re.sub(r"[\d._]+", "0", agent.lower())
