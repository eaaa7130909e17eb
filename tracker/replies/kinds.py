"""What kind of mail came back: from a person, a machine that answers, a list, a server that gave up.

Pure, of the standard library alone: asked by tracker/mail/parsing.py, which runs in a process of its own, of
whole mails and of headers alone. Headers decide (RFC 3834, RFC 3464 and what programs write instead); the
words of a subject are asked last.
"""

from __future__ import annotations

import re
from email.message import Message

MOST_HOPS = 50

_BULK = ("bulk", "junk")
# What programs say of themselves beside Auto-Submitted (RFC 3834, 5); their value does not matter.
_ELDERS = (
    "X-Autoreply", "X-Autorespond", "X-Auto-Reply", "X-AutoReply-From", "X-Mail-Autoreply",
    "X-Autoresponder", "X-FC-MachineGenerated", "X-Vacation",
)  # fmt: skip
_DAEMONS = re.compile(
    r"mailer-?daemon|mailerdaemon|mail-daemon|postmaster|postoffice|bounces?|"
    r"microsoftexchange[0-9a-f]{8,}|mail\.?delivery\.?(?:sub)?system"
)
# How mail programs begin the subject of an answer that nobody wrote.
_AWAY = re.compile(
    r"(?:"
    # English, as every program's default
    r"auto(?:matic|mated)?[- ]?(?:repl(?:y|ies)|response|answer)|autoreply|automatic(?:ally)? generated|"
    r"out[ -]of[ -](?:the[ -])?office|ooo\b|away from (?:the|my) (?:office|desk)|"
    r"on (?:vacation|holiday|leave)\b|"
    r"vacation (?:reply|response|message|notice)|i am (?:currently )?(?:out|away|on)|"
    # German
    r"automatische (?:antwort|abwesenheit)|abwesen(?:d|heit)|nicht im (?:büro|buero)|(?:ich bin )?im urlaub|"
    r"außer haus|ausser haus|urlaubs?(?:notiz|benachrichtigung|meldung|abwesenheit)|"
    # French
    r"r[ée]ponse automatique|absen(?:ce|t)e?\b|message d['’]absence|en cong[ée]s?|hors du bureau|"
    r"je suis (?:actuellement )?(?:absent|en cong)|notification d['’]absence|"
    # Spanish and Portuguese
    r"respuesta autom[áa]tica|resposta autom[áa]tica|fuera de (?:la )?oficina|ausencia|ausente|ausência|"
    r"de vacaciones|estoy (?:fuera|ausente|de vacaciones)|fora do escrit[óo]rio|"
    r"contestaci[óo]n autom[áa]tica|"
    # Italian
    r"risposta automatica|fuori (?:sede|ufficio)|assenza|assente|in ferie|sono (?:fuori|assente|in ferie)|"
    # Dutch, Polish, the Nordic ones, Czech, Russian
    r"automatisch antwoord|afwezig|autosvar|automatisk svar|frav[æa]r|fr[åa]nvaro|automaattinen vastaus|"
    r"odpowied[źz] automatyczna|automatyczna odpowied[źz]|nieobecno|automatick[áa] odpov|автоответ|"
    r"автоматический ответ|вне офиса"
    r")",
    re.IGNORECASE,
)


def kind_of(message: Message, sender: str) -> str:
    """One of mail, auto, bounce, list, bulk, loop, by the headers of `message` and its sender.

    `bounce` is where a server writes about mail that it could not deliver: what it says is in its parts
    (tracker/replies/bounces.py), and may be no more than that it tries again. The subject is not asked here:
    people write about holidays too; `says_away` is for mail that answers one of ours.
    """
    if len(message.get_all("Received", [])) > MOST_HOPS:
        return "loop"
    if message.get_content_type() == "multipart/report":
        report = str(message.get_param("report-type", "") or "").lower()
        return "bounce" if report in ("delivery-status", "") else "auto"
    if _is_from_a_server(message, sender):
        return "bounce"
    submitted = str(message.get("Auto-Submitted", "no")).partition(";")[0].strip().lower()
    precedence = str(message.get("Precedence", "")).strip().lower()
    if submitted not in ("no", "") or precedence == "auto_reply":
        return "auto"
    if any(name in message for name in _ELDERS) or _says_autoresponder(message):
        return "auto"
    if "List-Id" in message or precedence == "list":
        return "list"
    if precedence in _BULK:
        return "bulk"
    return "auto" if _has_no_way_back(message) else "mail"


def says_away(subject: str) -> bool:
    """Whether a subject is that of an answer that nobody wrote: "Abwesenheitsnotiz: Re: Q3 proposal"."""
    return _AWAY.match(subject.strip(" [(*-")) is not None


def _is_from_a_server(message: Message, sender: str) -> bool:
    if "X-Failed-Recipients" in message:  # Exim, and Gmail
        return True
    return _DAEMONS.fullmatch(sender.rpartition("@")[0].strip().lower()) is not None


def _says_autoresponder(message: Message) -> bool:
    words = f"{message.get('X-POST-MessageClass', '')} {message.get('Delivered-To', '')}".lower()
    return "autoresponder" in words


def _has_no_way_back(message: Message) -> bool:
    """An empty return path: nobody's mail program sends one, responders must (RFC 3834, 3.3)."""
    return str(message.get("Return-Path", "-")).strip() == "<>"
