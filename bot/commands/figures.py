"""`stats`: what became of the mails of some time: in all, with a trend; by link, subject or domain."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import get_args

from bot.chat import Button, Reply
from bot.commands.arguments import read_length
from bot.commands.registry import Command, CommandError, Request
from bot.render.pictures import Bar, trend, trend_text
from bot.words import one_line, plural, zone_of
from models import Message
from tracker.hits.verdicts import Verdict
from tracker.insights.breakdown import By, Part, as_csv, as_json, breakdown
from tracker.insights.stats import Day, Stats, days, stats

DEFAULT = dt.timedelta(days=30)
YEAR = dt.timedelta(days=366)
ENOUGH = 10  # mails; under that a percentage says more than is known
TREND = 3  # mails; a trend of less is none
MOST_DAYS = 62  # drawn as days; more are drawn as weeks
SHOWN = 10  # parts
_EVERYTHING = frozenset({"all", "everything"})
_BY: dict[str, By] = {
    **{name: name for name in get_args(By)},
    "link": "links",
    "subject": "subjects",
    "domain": "domains",
}
_FILES = ("csv", "json")


@dataclass(frozen=True)
class _Asked:
    length: dt.timedelta | None  # None: everything
    by: By | None = None
    file: str | None = None

    @property
    def period(self) -> str:
        return f"in the last {_said_length(self.length)}" if self.length else "in all"

    @property
    def word(self) -> str:
        """As it is typed."""
        if not self.length:
            return "all"
        minutes = self.length // dt.timedelta(minutes=1)
        size, unit = next(one for one in ((1440, "d"), (60, "h"), (1, "m")) if minutes % one[0] == 0)
        return f"{minutes // size}{unit}"


async def answer_stats(request: Request) -> Reply:
    """`stats [7d|30d|90d|all] [links|subjects|domains] [csv|json]`."""
    asked = _read(request.arguments)
    since = request.services.now() - asked.length if asked.length else None
    if asked.by and not asked.file:
        return await _by(request, asked, asked.by, since)
    found = await stats(request.account, since, request.services)
    if not found.mails:
        return Reply(title=f"No tracked mails {asked.period}.", buttons=(_periods(),), private=False)
    every = await days(
        request.services,
        request.account,
        await _begin(request, since),
        _zone(request),
        request.services.now(),
    )
    if asked.file:
        return await _as_file(request, asked, found, every)
    bars = bars_of(every)
    lines = _lines(found)
    picture = None
    if found.mails >= TREND and len(bars) > 1:
        drawn = await asyncio.to_thread(trend, bars, weekly=len(every) > MOST_DAYS)
        picture = (f"stats-{request.services.now():%Y-%m-%d}.png", drawn)
        if request.incoming.place.platform == "console":
            lines += trend_text(bars)
    return Reply(
        title=f"{plural(found.mails, 'mail')} {asked.period}:",
        lines=tuple(lines),
        buttons=(
            _periods(),
            tuple(Button(f"By {by.rstrip('s')}", f"stats {asked.word} {by}") for by in get_args(By)),
            (
                Button("Unopened", "list unopened"),
                Button("Clicked", "list clicked"),
                Button("CSV", f"stats {asked.word} csv"),
            ),
        ),
        file=picture,
        data={
            "mails": found.mails,
            "opened": found.opened,
            "clicked": found.clicked,
            "opens": found.opens,
            "clicks": found.clicks,
            "classes": dict(found.classes),
        },
    )


def _read(text: str) -> _Asked:
    length: dt.timedelta | None = DEFAULT
    by: By | None = None
    file = None
    for word in text.lower().replace(",", " ").split():
        if word in _BY:
            by = _BY[word]
        elif word in _FILES:
            file = word
        elif word in _EVERYTHING:
            length = None
        elif word != "by":
            length = read_length(word)
            if length is None:
                raise CommandError(
                    f"“{one_line(word, 30)}” is no length of time; type stats 7d, stats 30d or stats 90d; "
                    "or stats links, stats subjects, stats domains; or stats 30d csv"
                )
    return _Asked(length, by, file)


def _periods() -> tuple[Button, ...]:
    return Button("7 days", "stats 7d"), Button("30 days", "stats 30d"), Button("90 days", "stats 90d")


def _zone(request: Request) -> dt.tzinfo:
    return zone_of(request.account.timezone)


async def _begin(request: Request, since: dt.datetime | None) -> dt.datetime:
    """The first day to draw; of more than a year none before the account's oldest mail."""
    now = request.services.now()
    if since is not None and now - since <= YEAR:
        return since
    oldest = (
        await Message.filter(account_id=request.account.id).exclude(mode="off").order_by("created_at").first()
    )
    begin = oldest.created_at if oldest else now
    return max(begin, since) if since else begin


def bars_of(every: list[Day]) -> list[Bar]:
    """A bar for each day, or for each week where there are many days."""
    step = 7 if len(every) > MOST_DAYS else 1
    weeks = [every[start : start + step] for start in range(len(every) % step, len(every), step)]
    return [
        Bar(
            week[0].day,
            sum(day.mails for day in week),
            sum(day.opened for day in week),
            sum(day.clicked for day in week),
        )
        for week in weeks
    ]


async def _by(request: Request, asked: _Asked, by: By, since: dt.datetime | None) -> Reply:
    parts = await breakdown(request.services, request.account, by, since)
    if not parts:
        return Reply(title=f"No {by} {asked.period}.", buttons=(_periods(),))
    lines = [f"{number}. {_part(one, by)}" for number, one in enumerate(parts[:SHOWN], 1)]
    if len(parts) > SHOWN:
        lines.append(f"{len(parts) - SHOWN} more: stats {asked.word} {by} csv")
    others = tuple(
        Button(f"By {one.rstrip('s')}", f"stats {asked.word} {one}") for one in get_args(By) if one != by
    )
    return Reply(
        title=f"By {by.rstrip('s')}, {asked.period}:",
        lines=tuple(lines),
        buttons=((*others, Button("Total", f"stats {asked.word}")),),
        data={by: [vars(one) for one in parts]},
    )


def _part(one: Part, by: By) -> str:
    name = one_line(one.name, 60) or ("(no subject)" if by == "subjects" else "(none)")
    if by == "links":
        return (
            f"{name}: {plural(one.clicks, 'click')}, clicked in {one.clicked} of {plural(one.mails, 'mail')}"
        )
    share = _share(one.opened or 0, (one.opened or 0) / one.mails, one.mails)
    said = f"{name}: {plural(one.mails, 'mail')}, opened {share}"
    said += f", clicked {one.clicked}" if one.clicked else ""
    return f"{said}, answered {one.answered}" if one.answered else said


async def _as_file(request: Request, asked: _Asked, found: Stats, every: list[Day]) -> Reply:
    kinds = (asked.by,) if asked.by else get_args(By)
    parts = {by: await breakdown(request.services, request.account, by, found.since) for by in kinds}
    name = f"mailbell-stats-{request.services.now():%Y-%m-%d}.{asked.file}"
    text = (as_csv if asked.file == "csv" else as_json)(found, every, parts)
    # The mark at the start lets spreadsheets read é and Cyrillic.
    content = (b"\xef\xbb\xbf" if asked.file == "csv" else b"") + text.encode()
    ways = ", ".join(("day", *(one.rstrip("s") for one in kinds)))
    return Reply(
        title=f"{plural(found.mails, 'mail')} {asked.period}, by {ways}.",
        file=(name, content),
        data={"file": name, "mails": found.mails},
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
    summary="How many were opened and clicked: in all, by link, subject or domain",
    usage="[7d | 30d | 90d | all] [links | subjects | domains] [csv | json]",
    handler=answer_stats,
    details=(
        "Of the mails made in that time; without one: in the last 30 days.",
        "With csv or json: everything as a file.",
    ),
    examples=("stats", "stats 7d links", "stats 90d csv"),
)
