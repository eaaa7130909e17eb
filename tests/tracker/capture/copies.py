"""Mails as they come to a capture address, and what is told of them."""

from __future__ import annotations

import email.utils
from email.message import EmailMessage

from models import Alert, Link, Message
from tests.tracker.judging import Court
from tracker.mail.addresses import (
    CaptureBox,
)
from tracker.mail.capture import key_of, take_copy
from tracker.mail.parsing import parse_mail

HOME = "alice@home.example"


def written(
    room: Court,
    body: str = "",
    *,
    sender: str = HOME,
    to: str = "ana@acme.com",
    number: str = "1",
    **more: str,
) -> bytes:
    """A mail in HTML, as a client puts it into BCC."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = more.pop("subject", "Q3 proposal")
    message["Message-ID"] = f"<{number}@home.example>"
    message["Date"] = email.utils.format_datetime(more.pop("date", room.clock()))
    for name, value in more.items():
        message[name.replace("_", "-")] = value
    message.set_content(f"<p>Hello</p>{body}", subtype="html", cte="quoted-printable")
    return message.as_bytes()


async def body_of(room: Court, mail: Message) -> str:
    url = room.services.settings.public_url
    links = await Link.filter(message_id=mail.id)
    return " ".join(f"{url}/o/{x.token}.gif" if x.kind == "open" else f"{url}/c/{x.token}" for x in links)


async def arrive(room: Court, raw: bytes, tag: str = "", *, public: bool = False, account=None) -> str:
    parsed = parse_mail(raw, room.services.settings.public_url)
    box = CaptureBox((account or room.alice).id, public, tag)
    return await take_copy(room.services, box, parsed, key_of(parsed, raw), room.clock())


async def told() -> list[str]:
    rows = await Alert.filter(event="notice").order_by("id")
    return [row.facts["text"] for row in rows]
