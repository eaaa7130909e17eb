"""`python -m bot reclassify`: replays the rules over history, with a progress bar on stderr and a report.

Called by bot/operate.py. What it does to hits, counters and cards is tracker/hits/reclassify.py's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from bot.words import plural
from tracker.hits.classify import RULES_VERSION
from tracker.hits.reclassify import Progress, Report, Span, reclassify
from tracker.services import Services

_STEPS = 10  # lines of progress where there is no terminal


async def replay(services: Services, span: Span, *, dry_run: bool, anew: bool) -> None:
    """Runs it and prints what changed, by rule, to stdout. Raises WriterDownError."""
    with _shown() as progress:
        report = await reclassify(services, span, dry_run=dry_run, anew=anew, progress=progress)
    click.echo("\n".join(tell(report, dry_run=dry_run)))


def tell(report: Report, *, dry_run: bool) -> list[str]:
    """The report in lines: each change of class and reason with its count, the most frequent first."""
    seen = (
        f"{plural(report.hits, 'hit')} of {plural(report.mails, 'mail')} judged anew by rules {RULES_VERSION}"
    )
    if report.resumed:
        seen += ", going on where the last replay stopped"
    changed = sum(report.changed.values())
    if not changed:
        return [f"{seen}: nothing changes"]
    verb = "would change" if dry_run else "changed"
    lines = [f"{seen}: {plural(changed, 'hit')} {verb}"]
    ordered = sorted(report.changed.items(), key=lambda item: (-item[1], item[0]))
    return lines + [f"  {before} → {after}: {count}" for (before, after), count in ordered]


@contextmanager
def _shown() -> Iterator[Progress]:
    """A bar on a terminal, else a line for each tenth; both on stderr."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    with click.progressbar(length=1, label="judging anew", file=sys.stderr, show_pos=True) as bar:

        def move(done: int, total: int) -> None:
            bar.length = max(1, total)
            bar.update(done - bar.pos)

        yield move


def _lines() -> Progress:
    told = 0

    def note(done: int, total: int) -> None:
        nonlocal told
        step = done * _STEPS // total if total else _STEPS
        if step > told:
            told = step
            click.echo(f"{done} of {total} hits", err=True)

    return note
