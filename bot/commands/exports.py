"""`export`: every hit of one's own mails as a CSV file in the chat, also what is still on its way.

With an address: what is known of one person, as JSON to hand over.
"""

from __future__ import annotations

import datetime as dt
import io
import re

from bot.chat import Reply
from bot.commands.arguments import read_length
from bot.commands.registry import Command, CommandError, Request
from bot.words import one_line, plural
from tracker.export import write_export
from tracker.mail.draft import read_address
from tracker.person_file import person_file

DEFAULT = dt.timedelta(days=30)


async def answer_export(request: Request) -> Reply:
    """`export [7d|30d|all]`, `export ADDRESS`."""
    address = read_address(request.arguments)
    if address:
        return await _hand_over(request, address)
    since = read_since(request.arguments, request.services.now())
    text = io.StringIO(newline="")
    rows = await write_export(
        request.services, text, account=request.account, since=since, as_csv=True, progress=lambda _: None
    )
    period = f" since {since:%d %b %Y}" if since else ""
    if not rows:
        return Reply(title=f"There is nothing to export{period}. For everything: export all")
    name = f"mailbell-{request.services.now():%Y-%m-%d}.csv"
    return Reply(
        title=f"{plural(rows, 'event')}{period}, with class and reason of each.",
        # The mark at the start lets spreadsheets read é and Cyrillic.
        file=(name, b"\xef\xbb\xbf" + text.getvalue().encode()),
        data={"rows": rows, "file": name},
    )


async def _hand_over(request: Request, address: str) -> Reply:
    name = one_line(address, 64)
    found = await person_file(request.services, request.account, address)
    if found is None:
        return Reply(title=f"I know nothing of {name}.")
    return Reply(
        title=f"Everything that I know of {name}, to hand over.",
        lines=(f"To erase it: forget {name}",),
        file=(f"{re.sub(r'[^a-z0-9.@-]', '_', address)[:80]}.json", found),
    )


def read_since(text: str, now: dt.datetime) -> dt.datetime | None:
    """Where the period begins; None for everything. CommandError for what is no length of time."""
    word = text.strip().lower()
    if word in ("all", "everything"):
        return None
    length = read_length(word) if word else DEFAULT
    if length is None:
        raise CommandError(
            f"“{one_line(word, 30)}” is no length of time; type export 7d, export 30d or export all"
        )
    return now - length


EXPORT = Command(
    verb="export",
    summary="All events as a CSV file, or all about one person",
    usage="[7d | 30d | all | ADDRESS]",
    handler=answer_export,
    details=("Without a length: the last 30 days. With an address: what is known of that person, as JSON.",),
    examples=("export", "export all", "export ana@acme.com"),
    personal=True,
)
