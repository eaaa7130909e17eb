"""Erases a person from an account: every mail to her alone, and her part in the others.

Called by the command `forget ADDRESS`. Her links go on leading where they led, for they stand in her mailbox;
but of their tokens only a keyed hash is kept (`veiled_token`). What stands in chats about her is replaced
there. An audit row says that it was done, and holds no address either.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tortoise.expressions import F, Q

from models import (
    Account,
    Alert,
    Captured,
    Card,
    Dialogue,
    Hit,
    Identity,
    Link,
    Message,
    Outgoing,
    Person,
    Recipient,
    Reminder,
)
from models.columns import EPOCH
from models.database import atomically, forget_traces_on_disk
from models.wake import LINKS, OUTBOX
from tracker.audit import note
from tracker.hits.rescore import rescore
from tracker.insights.lists import FORGOTTEN as HUSK
from tracker.insights.stale import mark_stale
from tracker.keys import new_code, veiled_token
from tracker.mail.forget import NEVER_SHOWN, NOTHING_COUNTED, delete_in_batches, erase_message
from tracker.mail.spellings import address_forms
from tracker.mail.traces import FORGOTTEN, leave_alert_traces, leave_answer_traces
from tracker.sending.spool import envelopes
from tracker.services import Services

_WAITING = "waiting"


class StillSendingError(Exception):
    """A mail to her is still on its way to the provider: what it is sent from cannot go yet."""


@dataclass(frozen=True)
class ForgottenPerson:
    """What went, and how many links go on leading somewhere."""

    mails: int  # to her alone: gone
    parts: int  # mails to others too: she is out of them
    hits: int
    links: int

    @property
    def is_nothing(self) -> bool:
        return not (self.mails or self.parts)


async def forget_person(services: Services, account: Account, address: str) -> ForgottenPerson:
    """Erases everything of `address` that the account has. Safe to run again, also after a crash.

    Raises StillSendingError, and WriterDownError or what the database raises: what is done stays done.
    """
    forms = address_forms(address)
    await _refuse_while_sending(services, account, forms)
    parts = await Recipient.filter(address__in=forms, message__account_id=account.id).order_by("id")
    await Link.filter(recipient_id__in=[part.id for part in parts]).update(recording=False)
    await services.writer.settle()  # what came of her a moment ago falls out
    mails = hits = links = 0
    for part in parts:
        message = await Message.get_or_none(id=part.message_id)
        if message is None:  # it went with her address in another spelling, or its owner forgot it meanwhile
            continue
        is_alone = not await Recipient.filter(message_id=message.id).exclude(address__in=forms).exists()
        links += await _keep_links_leading(services, account, message, part, is_alone)
        mails += is_alone
        hits += await (erase_message(services, message) if is_alone else _erase_part(services, part, forms))
    await _erase_mentions(services, account, forms)
    await forget_traces_on_disk()
    gone = ForgottenPerson(mails, len(parts) - mails, hits, links)
    await note(services, "forget", account.id, address, {"mails": len(parts), "hits": hits, "links": links})
    services.wake.ring(OUTBOX)
    services.wake.ring(LINKS)
    return gone


async def _refuse_while_sending(services: Services, account: Account, forms: Sequence[str]) -> None:
    """A spooled mail makes its rows, and makes them anew for as long as one of its copies waits."""
    spools = Outgoing.filter(_copies_to(account, forms)).values_list("spool", flat=True)
    if await Outgoing.filter(spool__in=await spools, state=_WAITING).exists():
        raise StillSendingError
    names = await asyncio.to_thread(_spooled_to, services.settings.data_dir / "spool", account.id, forms)
    if set(names) - {row.spool for row in await Outgoing.filter(spool__in=names)}:
        raise StillSendingError


def _spooled_to(spool: Path, account_id: int, forms: Sequence[str]) -> list[str]:
    """The account's mails to her in the spool of this machine."""
    return [
        name
        for name, envelope in envelopes(spool)
        if envelope.account_id == account_id and any(one.lower() in forms for one in envelope.recipients)
    ]


def _copies_to(account: Account, forms: Sequence[str]) -> Q:
    """Copies that were sent, or wait: their address stands as its sender wrote it, in letters of any case."""
    hers = Q(*(Q(address__iexact=form) for form in forms), join_type="OR")
    return Q(hers, account_id=account.id)


async def _keep_links_leading(
    services: Services, account: Account, message: Message, part: Recipient, is_alone: bool
) -> int:
    """Moves her links out of the mail, under veiled tokens; how many there are."""
    mine = Q(message_id=message.id) if is_alone else Q(recipient_id=part.id)
    key = services.settings.key

    async def move() -> int:
        links = await Link.filter(mine, kind="click")
        if not links:
            return 0
        # Two who forget at once may have made two of them: any will do.
        husk = await Message.filter(account_id=account.id, origin=HUSK).order_by("id").first()
        husk = husk or await Message.create(
            account_id=account.id, origin=HUSK, code=new_code(), mode="off", created_at=EPOCH, arms_at=EPOCH
        )
        for link in links:
            await Link.filter(id=link.id).update(
                token=veiled_token(key, link.token), message_id=husk.id, recipient_id=None,
                recording=False, label="", position=0, hits=0, counted=0, created_at=EPOCH,
            )  # fmt: skip
        return len(links)

    return await atomically(move)


async def _erase_part(services: Services, part: Recipient, forms: Sequence[str]) -> int:
    """Takes her out of a mail that others got too; how many of its hits were hers."""
    message_id = part.message_id
    hits = await delete_in_batches(Hit, message_id=message_id, recipient_id=part.id)
    await delete_in_batches(Alert, recipient_id=part.id, state__in=NEVER_SHOWN)

    async def work() -> None:
        now = services.now()
        message = await Message.get(id=message_id)
        await leave_alert_traces(now, recipient_id=part.id)
        await leave_answer_traces(message, now)
        await Alert.filter(recipient_id=part.id).delete()
        await Link.filter(recipient_id=part.id).delete()  # her pixel
        await Recipient.filter(id=part.id).delete()
        await Message.filter(id=message_id).update(
            revision=F("revision") + 1, subject=_without(message.subject, forms), details=_kept(message),
            last_event_at=None, **NOTHING_COUNTED,
        )  # fmt: skip
        await Recipient.filter(message_id=message_id).update(loaded_at=None, **NOTHING_COUNTED)
        await Card.filter(message_id=message_id).update(dirty_at=now)
        await mark_stale(message.account_id, [message_id])

    await atomically(work)
    await rescore(services, message_id)
    return hits


def _kept(message: Message) -> dict[str, object] | None:
    """Of a mail's details: since when its owner has it record less."""
    details = message.details if isinstance(message.details, dict) else {}
    return {name: details[name] for name in ("mode_since",) if name in details} or None


def _without(subject: str, forms: Sequence[str]) -> str:
    """The subject with her address blotted out."""
    return re.sub("|".join(map(re.escape, forms)), "…", subject, flags=re.IGNORECASE)


async def _erase_mentions(services: Services, account: Account, forms: Sequence[str]) -> None:
    """What names her beside the mails she got: settings, copies that came in, what was told in chats."""
    mentions = await _rows_that_name(services, "alert", "facts", account, forms)
    mentions += await _rows_that_name(services, "alert", "fix_text", account, forms)
    copies = await _rows_that_name(services, "captured", "facts", account, forms)

    async def work() -> None:
        await leave_alert_traces(services.now(), id__in=mentions)
        is_trace = Q(fix_text=FORGOTTEN, fix_text__isnull=False)  # NULL is neither equal nor unequal
        await Alert.filter(~is_trace, id__in=mentions).delete()
        await _blot_out_of_subjects(account, forms)
        await _end_dialogues(account, forms)
        await _blot_out_of_reminders(account, forms)
        await Captured.filter(Q(id__in=copies) | Q(account_id=account.id, from_address__in=forms)).delete()
        await Outgoing.filter(_copies_to(account, forms)).delete()
        await Person.filter(account_id=account.id, address__in=forms).delete()

    await atomically(work)


async def _blot_out_of_subjects(account: Account, forms: Sequence[str]) -> None:
    named = Q(*(Q(subject__icontains=form) for form in forms), join_type="OR")
    for message in await Message.filter(named, account_id=account.id):
        await Message.filter(id=message.id).update(subject=_without(message.subject, forms))


async def _blot_out_of_reminders(account: Account, forms: Sequence[str]) -> None:
    """An owner's own words may name her."""
    named = Q(*(Q(text__icontains=form) for form in forms), join_type="OR")
    await Reminder.filter(named, account_id=account.id).update(text=None)


async def _end_dialogues(account: Account, forms: Sequence[str]) -> None:
    """Questions half answered, with her address in an answer."""
    for one in await Identity.filter(account_id=account.id):
        for talk in await Dialogue.filter(platform=one.platform, user_id=one.user_id):
            if any(form in json.dumps(talk.answers, ensure_ascii=False).lower() for form in forms):
                await talk.delete()


async def _rows_that_name(
    services: Services, table: str, column: str, account: Account, forms: Sequence[str]
) -> list[int]:
    """Ids of the account's rows whose column has one of the addresses in it, in letters of any case."""
    found: set[int] = set()
    # As it is, as JSON has it, and as JSON within JSON does (the headers of a held copy).
    once = [json.dumps(form)[1:-1] for form in forms]
    for form in {*forms, *once, *(json.dumps(form)[1:-1] for form in once)}:
        pattern = "%" + re.sub(r"([\\%_])", r"\\\1", form) + "%"
        rows = await services.writer.fetch(
            f"SELECT id FROM {table} WHERE account_id = ? AND "  # noqa: S608, names of this file
            f"LOWER(CAST({column} AS TEXT)) LIKE ? ESCAPE '\\'",
            (account.id, pattern),
        )
        found.update(int(row[0]) for row in rows)
    return sorted(found)
