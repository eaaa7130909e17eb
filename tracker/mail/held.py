"""Copies from an address that is not known as the account's: taken or let go, at their owner's word.

Called by the command `capture`. They were held by tracker/mail/capture.py, with headers and tokens alone.
"""

from __future__ import annotations

from models import Account, Captured
from models.database import DATABASE_FAULTS
from models.writer import WriterDownError
from tracker.mail.addresses import CaptureBox
from tracker.mail.capture import take_copy
from tracker.mail.parsing import Parsed
from tracker.services import Services


async def release_held(services: Services, account: Account, address: str) -> int:
    """Takes the mails that were held because nobody knew `address` as the account's; how many.

    Each is noted first, as if it had just come: what is not understood here the next sweep does
    (tracker/mail/intake.py), also after a crash, and where the database does not answer.
    """
    rows = await Captured.filter(account_id=account.id, state="held", from_address=address).order_by("id")
    taken, stuck = 0, False
    for row in rows:
        facts = row.facts if isinstance(row.facts, dict) else {}
        parsed = Parsed.from_json(str(facts.get("mail", "{}")))
        box = CaptureBox(account.id, is_public=False, tag=str(facts.get("tag", "")))
        if await Captured.filter(id=row.id, state="held").update(state="noted"):
            taken += 1
            if stuck:
                continue
            try:
                await take_copy(services, box, parsed, row.key, row.at, noted=True)
            except (*DATABASE_FAULTS, WriterDownError):
                stuck = True
    return taken


async def ignore_held(account: Account, row_id: int) -> Captured | None:
    """Lets a held mail go, with what was kept of it; None where the account holds none such."""
    row = await Captured.get_or_none(id=row_id, account_id=account.id, state="held")
    if row is None:
        return None
    gone = await Captured.filter(id=row.id, state="held").update(state="ignored", facts=None)
    return row if gone else None
