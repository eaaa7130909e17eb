"""A letter as somebody writes it, and the server that a mail program is told to send it through."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

SENDER = "me@home.example"
NAME = "Me Myself"


@dataclass(frozen=True)
class Letter:
    """What is typed into a mail program; `page` is its HTML."""

    subject: str
    page: str
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    text: str = "What the HTML says, in short."

    @property
    def everybody(self) -> tuple[str, ...]:
        return (*self.to, *self.cc, *self.bcc)

    def as_bytes(self, *, cte: str = "quoted-printable") -> bytes:
        """The mail as a program would write it that is told Bcc in a header; LF ends its lines."""
        mail = EmailMessage()
        mail["From"] = f"{NAME} <{SENDER}>"
        for name in ("to", "cc", "bcc"):
            if getattr(self, name):
                mail[name.title()] = ", ".join(getattr(self, name))
        mail["Subject"] = self.subject
        mail["Message-ID"] = email.utils.make_msgid(domain="home.example")
        mail["Date"] = email.utils.localtime()
        mail.set_content(self.text)
        mail.add_alternative(self.page, subtype="html", cte=cte)
        return mail.as_bytes()


@dataclass(frozen=True)
class Outgoing:
    """An outgoing server as it is typed into a mail program. security: none | starttls | tls."""

    port: int
    security: str = "none"
    user: str = ""
    password: str = ""
    authority: Path | None = None  # whose certificates are trusted
    host: str = "localhost"
