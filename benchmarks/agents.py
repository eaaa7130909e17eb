"""User agents on public lists, in the half that the rules were not written from, beside other libraries.

`python -m benchmarks.agents` needs the package registries once (the lists are kept in the user's cache).
Further lists are read with `--folder DIR` (benchmarks/agent_lists.py says how they are named), `--half
development` shows the other half, `--misses KIND` its strings with what each is taken for. The costs need
nothing but mailbell.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks import agent_lists
from benchmarks.agent_lists import APP, DEVELOPMENT, HELD_OUT, MACHINE, MAIL, PERSON, PROXY
from tracker.hits.agents import agent_of
from tracker.hits.classify import classify
from tracker.hits.evidence import HitFacts, MailFacts
from tracker.hits.verdicts import Verdict

DAY = 86_400_000_000
SAMPLE = 3_000  # strings of each kind that are put to the peers, which take milliseconds each
# What a request of such a program is: a crawler follows links, a person's program may open or click.
ASKED = {MACHINE: ("click",), PERSON: ("click", "open"), MAIL: ("open",), PROXY: ("open",), APP: ("open",)}
KINDS = tuple(ASKED)


# Crawlers that ask for a pixel: a program that nobody knows may be a mail program there, and stays unknown.
PIXEL = "machines, on a pixel"


def verdict(agent: str, kind: str) -> str:
    """counted, machine or unknown: what a request with this user agent becomes, an hour after sending."""
    mail = MailFacts(origin="compose", mode="full", created_at=0, arms_at=0, armed_at=0)
    judged = classify(HitFacts(uid="1", at=DAY // 24, kind=kind, agent=agent_of(agent)), mail, {}).verdict
    if judged.counts or judged is Verdict.PRIVACY:
        return "counted"
    return "unknown" if judged is Verdict.UNKNOWN else "machine"


def _worst(agent: str, kind: str) -> str:
    """The worst that is made of it, over the ways in which such a program asks."""
    said = {verdict(agent, way) for way in ASKED[kind]}
    order = ("counted", "unknown", "machine")
    return next(answer for answer in (order if kind == MACHINE else order[::-1]) if answer in said)


def table(strings: dict[str, dict[str, str]]) -> None:
    """How many of each kind, and of each list, are taken for what."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for agent, known in strings.items():
        answer = _worst(agent, known["kind"])
        for name in ("all", known["list"]):
            rows.setdefault((known["kind"], name), Counter())[answer] += 1
        if known["kind"] == MACHINE:
            rows.setdefault((PIXEL, "all"), Counter())[verdict(agent, "open")] += 1
    print(f"  {'':<44}{'strings':>9}{'machine':>10}{'unknown':>10}{'counted':>10}")
    for kind in (MACHINE, PIXEL, *KINDS[1:]):
        for (of, name), counts in sorted(rows.items(), key=lambda row: row[0][1] != "all"):
            if of != kind:
                continue
            total = counts.total()
            shares = "".join(f"{counts[x] / total:>10.2%}" for x in ("machine", "unknown", "counted"))
            print(f"  {kind if name == 'all' else '    ' + name:<44}{total:>9,}{shares}")


def beside(strings: dict[str, dict[str, str]]) -> None:
    """A sample of the same strings put to other libraries: what each takes for a machine."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for agent, known in strings.items():
        by_kind[known["kind"]].append(agent)
    for agents in by_kind.values():
        agents.sort(key=lambda agent: hashlib.sha256(agent.encode()).digest())
        del agents[SAMPLE:]
    asked = [agent for agents in by_kind.values() for agent in agents]
    script = Path(__file__).with_name("agent_peers.py")
    done = subprocess.run(
        [str(agent_lists.python()), str(script), str(agent_lists.isbot())],
        input=json.dumps(asked), capture_output=True, text=True, check=True,
    )  # fmt: skip
    said: dict[str, list[bool]] = {"mailbell": [], **json.loads(done.stdout)}
    said["mailbell"] = [_worst(agent, kind) == "machine" for kind in KINDS for agent in by_kind[kind]]
    print(f"\n  taken for a machine, of a sample{'':<12}" + "".join(f"{kind:>18}" for kind in KINDS))
    for name, answers in said.items():
        line, start = "", 0
        for kind in KINDS:
            number = len(by_kind[kind])
            line += f"{sum(answers[start : start + number]) / max(number, 1):>18.2%}"
            start += number
        print(f"  {name:<44}{line}")


def cost(agents: list[str]) -> None:
    """Microseconds for a user agent that is new and for one seen before, hostile ones, and the import."""
    times = [_took(agent, 1) * 1e6 for agent in agents]
    quantiles = statistics.quantiles(times, n=100)
    print(f"\n  a new user agent: median {quantiles[49]:.0f} µs, 99 of 100 under {quantiles[98]:.0f} µs")
    seen = agents[-1_000:]
    for agent in seen:
        agent_of(agent)
    began = time.perf_counter()
    for agent in seen:
        agent_of(agent)
    known = (time.perf_counter() - began) / len(seen) * 1e6
    began = time.perf_counter()
    for agent in seen:
        verdict(agent, "open")
    ruled = (time.perf_counter() - began) / len(seen) * 1e6
    print(f"  one seen before: {known:.2f} µs; with all rules of a single request {ruled:.1f} µs")
    slowest = max(HOSTILE, key=lambda agent: _took(agent, 5))
    print(f"  hostile texts of 500 characters: at most {_took(slowest, 5) * 1e6:.0f} µs ({slowest[:12]!r}…)")
    done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
    took, grew = map(float, done.stdout.split())
    print(f"  importing the tables: {took:.1f} ms and {grew:.2f} MiB more")


_PIECES = (
    "(", ")", "android(", "(android;", "mozilla/5.0 (", "a-", "a.", "@a", "@a.", "+a.", "proxy ", "mail_",
    "\n", "x/1 ", "bot", "/1.", "http", "a", "; ", "Mozilla/5.0 (compatible; ", "gecko/", "like gecko; ",
    " a.b", "\U0001f600",
)  # fmt: skip
HOSTILE = [(start + piece * 500)[:500] for piece in _PIECES for start in ("", "mozilla/5.0 (")]

# Peak memory in KiB is too coarse: what the interpreter allocated is counted.
_IMPORT = """
import re, dataclasses, enum, functools, time, tracemalloc
began = time.perf_counter()
import tracker.hits.agents
took = (time.perf_counter() - began) * 1e3
for name in [name for name in __import__("sys").modules if name.startswith("tracker.hits.")]:
    del __import__("sys").modules[name]
tracemalloc.start()
import tracker.hits.agents
print(took, tracemalloc.get_traced_memory()[0] / 2**20)
"""


def _took(agent: str, times: int) -> float:
    """Seconds of this thread, without the memory of what was asked before: the best of some tries."""
    best = 1e9
    for _ in range(times):
        began = time.thread_time()
        agent_of.__wrapped__(agent)
        best = min(best, time.thread_time() - began)
    return best


def run(half: str = HELD_OUT, folder: Path | None = None, misses: str | None = None) -> None:
    """Prints the tables; without a registry in reach, the cost of what mailbell's own lists hold."""
    try:
        agent_lists.fetch()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"  the lists could not be fetched ({error}); only the cost is shown")
        phone = "Mozilla/5.0 (Linux; Android {}; SM-{}) AppleWebKit/537.36 Chrome/{}.0 Mobile Safari/537.36"
        cost([phone.format(n % 15, n, n) for n in range(2_000)])
        return
    halves = agent_lists.gather(folder)
    strings = halves[half]
    if misses is not None:
        for agent, known in halves[DEVELOPMENT].items():  # never the other half
            if known["kind"].startswith(misses) and (answer := _worst(agent, known["kind"])):
                print(answer, agent_of(agent), known["list"], agent, sep="\t")
        return
    other = sum(map(len, halves.values())) - len(strings)
    print(f"  {half}: {len(strings):,} strings; the other half has {other:,}")
    table(strings)
    beside(strings)
    cost(list(strings)[:20_000])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=(DEVELOPMENT, HELD_OUT), default=HELD_OUT)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--misses", choices=("machines", "people", "mail", "image", "apps"))
    run(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
