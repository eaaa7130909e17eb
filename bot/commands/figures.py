"""`stats`: what became of the mails of the last days, in a few lines, and what did not count."""

from __future__ import annotations

import datetime as dt

from bot.chat import Button, Reply
from bot.commands.arguments import read_length
from bot.commands.registry import Command, CommandError, Request
from bot.words import one_line, plural
from tracker.hits.verdicts import Verdict
from tracker.insights.stats import Stats, stats

DEFAULT = dt.timedelta(days=30)
ENOUGH = 10  # mails; under that a percentage says more than is known


async def answer_stats(request: Request) -> Reply:
    """`stats [7d|30d|90d|all]`."""
    word = request.arguments.strip().lower()
    length = None if word in ("all", "everything") else (read_length(word) if word else DEFAULT)
    if length is None and word not in ("all", "everything"):
        raise CommandError(
            f"“{one_line(word, 30)}” is no length of time; type stats 7d, stats 30d or stats 90d"
        )
    since = request.services.now() - length if length else None
    found = await stats(request.account, since)
    period = f"in the last {_said_length(length)}" if length else "in all"
    buttons = (Button("7 days", "stats 7d"), Button("30 days", "stats 30d"), Button("90 days", "stats 90d"))
    if not found.mails:
        return Reply(title=f"No tracked mails {period}.", buttons=(buttons,), private=False)
    return Reply(
        title=f"{plural(found.mails, 'mail')} {period}:",
        lines=tuple(_lines(found)),
        buttons=(buttons, (Button("Unopened", "list unopened"), Button("Clicked", "list clicked"))),
        data={
            "mails": found.mails,
            "opened": found.opened,
            "clicked": found.clicked,
            "opens": found.opens,
            "clicks": found.clicks,
            "classes": dict(found.classes),
        },
    )


def _said_length(length: dt.timedelta) -> str:
    """The length as it was asked for: "30 days", not "a month"."""
    for unit, noun in ((dt.timedelta(days=1), "day"), (dt.timedelta(hours=1), "hour")):
        if length % unit == dt.timedelta():
            return plural(length // unit, noun)
    return plural(length // dt.timedelta(minutes=1), "minute")


def _lines(found: Stats) -> list[str]:
    opened = _share(found.opened, found.open_rate, found.mails)
    lines = [f"opened: {opened} – {plural(found.opens, 'open')}"]
    if found.with_links:
        clicked = _share(found.clicked, found.click_rate, found.with_links)
        lines.append(f"clicked: {clicked} of {found.with_links} with links – {plural(found.clicks, 'click')}")
    if found.replied:
        lines.append(f"answered: {found.replied}")
    silent = found.mails - found.opened
    if silent:
        lines.append(f"no open seen: {silent}")
    others = _not_counted(found)
    return [*lines, f"Not counted: {others}"] if others else lines


def _share(count: int, rate: float | None, of: int) -> str:
    return f"{count} ({rate:.0%})" if rate is not None and of >= ENOUGH else str(count)


def _not_counted(found: Stats) -> str:
    """Most frequent first: "4 security scan, 2 you"."""
    counts = [(count, name) for name, count in found.classes.items() if count and not _counts(name)]
    named = [f"{count} {_said(name)}" for count, name in sorted(counts, key=lambda one: (-one[0], one[1]))]
    return ", ".join(named)


def _counts(name: str) -> bool:
    return name in set(Verdict) and Verdict(name).counts


def _said(name: str) -> str:
    return Verdict(name).said if name in set(Verdict) else "being looked at"


STATS = Command(
    verb="stats",
    summary="How many were opened and clicked",
    usage="[7d | 30d | 90d | all]",
    handler=answer_stats,
    details=("Of the mails made in that time; without one: in the last 30 days.",),
    examples=("stats", "stats 7d"),
)
