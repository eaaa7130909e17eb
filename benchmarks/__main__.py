"""`make bench`: every measurement in one run, or those named: `python -m benchmarks pixel latency`.

A measurement's `run` prints its figures, and may return the goals that it missed: then the exit code is 1.
"""

from __future__ import annotations

import importlib
import sys
import time

# In the order of printing; what each shows.
MEASUREMENTS = {
    "pixel": "answered pixels per second, each on disk first, beside other servers",
    "latency": "how long a reader waits at 1,000 hits/s, beside a bare fsync",
    "sustained": "a minute of everything at once on one core",
    "judge": "what judging a hit costs",
    "rules": "what full rules take from those who wait for a pixel",
    "agents": "what user agents are taken for, on strings set aside, beside other libraries",
    "ringing": "from the open to the call of the chat's API",
    "reclassify": "replaying the rules over a million hits",
    "deliver": "from the alert in the outbox to the chat",
    "mail": "mails taken per second, each on disk first, beside plain aiosmtpd",
    "rewriting": "a pixel and links put into a newsletter of 100 kB",
    "memory": "start-up time and idle memory",
}


def main() -> None:
    names = sys.argv[1:] or list(MEASUREMENTS)
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        sys.exit(f"no measurement is called {', '.join(unknown)}; there are: {', '.join(MEASUREMENTS)}")
    missed = False
    for name in names:
        print(f"\n== {name}: {MEASUREMENTS[name]}", flush=True)
        began = time.monotonic()
        for goal in importlib.import_module(f"benchmarks.{name}").run() or ():
            print(f"  GOAL MISSED: {goal}", flush=True)
            missed = True
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    sys.exit(missed)


if __name__ == "__main__":
    main()
