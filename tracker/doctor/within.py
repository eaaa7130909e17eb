"""Whether all is well inside: database, disk, journal, mails on their way out, chats, network lists."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
from collections.abc import Sequence

import humanize
from aiohttp import ClientError, ClientSession, ClientTimeout

from models import Destination, Hit, Outgoing
from models.writer import Statement, WriterDownError
from tracker.doctor.findings import About, Finding, Visit
from tracker.hits.network_lists import FOLDER, OLD, in_use
from tracker.mail.draft import clean_line

LEAST_FREE = 512 * 1024 * 1024  # bytes; mail is refused below 64 MB
LATE = dt.timedelta(minutes=15)
UNJUDGED = dt.timedelta(minutes=5)
_WRITE = Statement(
    "INSERT INTO instance_state (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    (("doctor:write", "written by the doctor"),),
)
_SECONDS = 10.0


async def check_database(visit: Visit) -> Sequence[Finding]:
    """A row can be written."""
    about = About("database", "Database")
    written = asyncio.ensure_future(visit.services.writer.apply([_WRITE]))
    await asyncio.wait([written], timeout=_SECONDS)
    try:
        if not written.done():
            raise WriterDownError("no answer in time")
        written.result()
    except WriterDownError as error:
        return [
            about.wrong(
                f"nothing can be written ({clean_line(str(error), 100)})",
                "Hits wait in the journal meanwhile. Does the database run, and is its disk full?",
            )
        ]
    return [about.ok("takes what is written")]


async def check_disk(visit: Visit) -> Sequence[Finding]:
    """There is room in DATA_DIR."""
    about = About("disk", "Disk")
    folder = visit.services.settings.data_dir
    usage = await asyncio.to_thread(shutil.disk_usage, folder)
    free = humanize.naturalsize(usage.free, binary=True)
    if usage.free < LEAST_FREE:
        return [
            about.wrong(f"{free} are free for DATA_DIR", "Make room: below 64 MB no mail is taken any more.")
        ]
    return [about.ok(f"{free} are free for DATA_DIR")]


async def check_backlog(visit: Visit) -> Sequence[Finding]:
    """Hits are judged, and mail leaves."""
    now = visit.services.now()
    unjudged = await Hit.filter(judged_at__isnull=True).order_by("id").first()
    hits = About("unjudged", "Hits")
    found = [hits.ok("are judged as they come")]
    if unjudged is not None and now - unjudged.at > UNJUDGED:
        waiting = humanize.naturaldelta(now - unjudged.at)
        found = [
            hits.wrong(f"wait to be judged since {waiting}", "Is a process with the worker role running?")
        ]
    mails = About("outgoing", "Mails on their way out")
    late = await Outgoing.filter(state="waiting", accepted_at__lt=now - LATE).count()
    if late:
        found.append(
            mails.wrong(
                f"waiting for longer than a quarter of an hour: {late}",
                "Their senders were told why. Is it this machine's network?",
            )
        )
    else:
        found.append(mails.ok("none is late"))
    return found


async def check_processes(visit: Visit) -> Sequence[Finding]:
    """What the web process says of itself: journal, lost hits, and its chats."""
    url = f"{visit.services.settings.public_url}/healthz"
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=_SECONDS)) as session,
            session.get(url) as answer,
        ):
            told = await answer.json(content_type=None)
    except (ClientError, OSError, TimeoutError, ValueError):
        return []  # BASE_URL says it
    if not isinstance(told, dict):
        return []
    journal, chats = About("journal", "Journal"), About("chats", "Chats")
    found = [journal.ok("is empty")]
    if told.get("journal"):
        found = [
            journal.wrong(
                f"hits that wait for the database: {told['journal']}", "They are written when it is back."
            )
        ]
    if told.get("hits_lost"):
        found.append(
            journal.wrong(
                f"hits that were on no disk: {told['hits_lost']}", "Make room on the disk of DATA_DIR."
            )
        )
    states = told.get("chats")
    for name, state in states.items() if isinstance(states, dict) else ():
        if state == "ok":
            found.append(chats.ok(f"{name} is connected"))
        else:
            found.append(
                chats.wrong(f"{name}: {clean_line(str(state), 120)}", "Look at its tokens in the settings.")
            )
    return found


async def check_destinations(visit: Visit) -> Sequence[Finding]:
    """The chats that an account's rings go to take them."""
    wanted = {} if visit.account_id is None else {"account_id": visit.account_id}
    found = []
    async for one in Destination.filter(**wanted).order_by("id").limit(1_000):
        about = About(f"destination-{one.id}", f"Rings in {one.platform}", one.account_id)
        place = one.title or ("the private chat" if one.private else one.chat_id)
        if one.off_at is None:
            if visit.account_id is not None:
                found.append(about.ok(f"{place} takes them"))
        elif one.off_reason and "owner" not in one.off_reason and one.platform != "console":
            found.append(
                about.note(f"{place} is switched off: {one.off_reason}", "Say settings here on there.")
            )
    return found


async def check_lists(visit: Visit) -> Sequence[Finding]:
    """The lists of networks are not too old."""
    about = About("networks", "Network lists")
    lists = await asyncio.to_thread(in_use, visit.services.settings.data_dir / FOLDER)
    old = [one for one in lists if visit.services.now().date() - one.date > OLD]
    if old:
        return [
            about.note(
                f"{len(old)} of {len(lists)} are older than {OLD.days} days; what moved since is missed",
                "Take newer ones: python -m bot update-networks",
            )
        ]
    return [about.ok(f"{len(lists)}, none older than {OLD.days} days")]
