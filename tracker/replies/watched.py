"""The rows of mailboxes that are watched: switched on and off, refused by their provider, out of reach.

Called by the command `connect watch`, the connect page and the watcher (tracker/replies/watcher.py). A login
that is refused is told once, with what to do; what passes by itself is only noted, for the doctor.
"""

from __future__ import annotations

from collections.abc import Sequence

from models import Account, Alert, Destination, Mailbox
from models.columns import clean_text, to_micros
from models.database import atomically
from models.wake import OUTBOX
from tracker.destinations import choose
from tracker.mail.draft import read_address
from tracker.replies.threads import in_thread
from tracker.sending.credentials import Credentials, Server, imap_server
from tracker.services import Services

BELL = "mailboxes"  # a mailbox was switched on or off, or connected anew
_WHAT_TO_DO = "Type connect to connect it again; until then I see no replies there."
_FRESH = {"imap_failed_at": None, "imap_failure": None, "imap_told_at": None}
_ANEW = {"imap_validity": None, "imap_next": None, "imap_seen_at": None}


async def set_watching(services: Services, account: Account, address: str, on: bool) -> Mailbox | None:
    """Switches the watching of the account's mailbox on or off; None where there is none such.

    Switched on, it begins with what comes from then on, and a login that was refused is tried again. Raises
    LookupError where it is not known which server to read.
    """
    wanted = read_address(address)
    mailbox = await Mailbox.get_or_none(account_id=account.id, address=wanted) if wanted else None
    if mailbox is None:
        return None
    if on and imap_server(mailbox) is None:
        raise LookupError("it is not known where replies to this mailbox can be read; connect it again")
    changes = {**_FRESH, **({} if mailbox.imap_on else _ANEW)} if on else {}
    row = Mailbox.filter(id=mailbox.id)
    await atomically(lambda: row.update(imap_on=on, **changes))
    await mailbox.refresh_from_db()
    services.wake.ring(BELL)
    return mailbox


async def watch_refused(services: Services, mailbox: Mailbox, words: str) -> None:
    """Watching is wanted, and the login was just refused before its owner's eyes: told nowhere else."""
    now, row = services.now(), Mailbox.filter(id=mailbox.id)
    said = {"imap_failed_at": now, "imap_failure": clean_text(words, 300), "imap_told_at": now}
    await atomically(lambda: row.update(imap_on=True, **said))
    await mailbox.refresh_from_db()


async def check_imap(
    server: Server, credentials: Credentials, addresses: Sequence[str] | None = None
) -> None:
    """Logs in, opens INBOX and leaves. Raises UpstreamError (tracker/sending/upstream.py).

    `addresses` are those that the host's name was found to lead to and may be contacted; none means: ask.
    """
    from tracker.replies.session import Session  # its library is for those alone who read mail

    tried = Session(server, credentials, addresses)
    try:
        await in_thread(tried.open, interrupt=tried.interrupt)
    finally:
        tried.leave()


async def refuse(services: Services, number: int, words: str) -> None:
    """The provider refuses the login: noted, told once with what to do, and not tried again."""

    async def write() -> bool:
        now = services.now()
        new = Mailbox.filter(id=number, imap_failed_at__isnull=True)
        if not await new.update(imap_failed_at=now, imap_failure=clean_text(words, 300), imap_told_at=now):
            return False
        mailbox = await Mailbox.get(id=number)
        places = await Destination.filter(account_id=mailbox.account_id, off_at__isnull=True)
        text = f"{mailbox.address}: your provider does not let me read it any more (“{words}”). {_WHAT_TO_DO}"
        await Alert.bulk_create(
            (
                Alert(
                    account_id=mailbox.account_id, destination_id=place.id, event="notice",
                    event_key=f"imap:{number}:{to_micros(now)}"[:64], at=now, due_at=now,
                    facts={"text": text},
                )
                for place in choose(places, "notice")
            ),
            ignore_conflicts=True,
        )  # fmt: skip
        return True

    if await atomically(write):
        services.wake.ring(OUTBOX)


async def note_fault(number: int, words: str) -> None:
    """Why the mailbox cannot be watched for now: for the doctor, and for nobody else."""
    row = Mailbox.filter(id=number)
    await atomically(lambda: row.update(imap_failure=clean_text(words, 300)))
