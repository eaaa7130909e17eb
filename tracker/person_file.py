"""Everything an account holds about one person, to hand over: JSON that she and a program can read.

Called by the command `export ADDRESS`. Instants are UTC in ISO 8601. Tokens stay out: they are keys to the
account's mail, and say nothing about her.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from models import Account, Captured, Hit, OptOut, Person, Recipient, Reminder
from tracker.audit import note
from tracker.hits.reasons import sentence
from tracker.mail.opt_out import address_digest
from tracker.mail.spellings import address_forms
from tracker.services import Services


async def person_file(services: Services, account: Account, address: str) -> bytes | None:
    """The file, or None where the account knows nothing of `address`. An audit line says it was made."""
    forms = address_forms(address)
    parts = (
        await Recipient.filter(address__in=forms, message__account_id=account.id)
        .order_by("id")
        .prefetch_related("message")
    )
    # Written in two spellings she may have two rows: the older one is what her owner knows most of.
    person = await Person.filter(account_id=account.id, address__in=forms).order_by("id").first()
    came_in = await Captured.filter(account_id=account.id, from_address__in=forms).order_by("id")
    if not (parts or person or came_in):
        return None
    mails = [await _mail(part) for part in parts]
    found: dict[str, Any] = {
        "address": forms[0],
        "made_at": _moment(services.now()),
        "opted_out": await OptOut.filter(digest=address_digest(services, address)).exists(),
        "known": _known(person),
        "mails": mails,
        "came_in": [{"at": _moment(one.at), "what": one.state, "via": one.via} for one in came_in],
    }
    counts = {"mails": len(mails), "hits": sum(len(mail["events"]) for mail in mails)}
    await note(services, "export", account.id, address, counts)
    return json.dumps(found, ensure_ascii=False, indent=2).encode()


def _known(person: Person | None) -> dict[str, Any] | None:
    if person is None:
        return None
    return {
        "name": person.name,
        "since": _moment(person.created_at),
        "timezone": person.timezone,
        "muted": person.muted,
        "learned": person.learned,
    }


async def _mail(part: Recipient) -> dict[str, Any]:
    mail = part.message
    hits = await Hit.filter(message_id=mail.id, recipient_id=part.id).order_by("at")
    reminders = await Reminder.filter(recipient_id=part.id).order_by("due_at")
    return {
        "mail": mail.code,
        "subject": mail.subject,
        "written_as": part.name,
        "sent_at": _moment(mail.sent_at or mail.armed_at or mail.created_at),
        "opens": part.opens,
        "clicks": part.clicks,
        "loaded_by_apple_at": _moment(part.loaded_at),
        "replied_at": _moment(part.replied_at),
        "bounced_at": _moment(part.bounced_at),
        "opted_out_at": _moment(part.opted_out_at),
        "events": [_event(hit) for hit in hits],
        "reminders": [{"due_at": _moment(one.due_at), "kind": one.kind} for one in reminders],
    }


def _event(hit: Hit) -> dict[str, Any]:
    return {
        "at": _moment(hit.at),
        "kind": hit.kind,
        "class": hit.verdict,
        "why": sentence(hit),
        "network": hit.network,
        "client": hit.client,
    }


def _moment(at: dt.datetime | None) -> str | None:
    return None if at is None else at.astimezone(dt.UTC).isoformat()
