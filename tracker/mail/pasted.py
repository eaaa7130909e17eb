"""A mail pasted into a chat, read as what `track` needs: its "From: … To: … Subject: …", whoever wrote it.

Pure. Called by bot/conversation.py before a text loses its lines. The labels are those of Gmail, Outlook,
Apple Mail and Thunderbird in the languages below. What is no such block is None, and is left as it is.
"""

from __future__ import annotations

import re

from tracker.mail.draft import DraftError, clean_line, parse_draft, read_url

MOST_LINES = 400  # in which the block may begin
MOST_URLS = 20
_GAP = 1  # blank lines between two labels, as some chats make them

_LABELS = {
    "from": "from von de da van från fra lähettäjä od kimden от відправник 发件人 寄件者 差出人 feladó "
    "expéditeur mittente remitente avsender afsender",
    "to": "to an à a para per aan till til vastaanottaja do kime кому 收件人 destinataire destinatario 宛先 "
    "címzett komu alıcı",
    "cc": "cc kopie copie copia kopia kopi kopio kópia копия 抄送",
    "subject": "subject betreff objet asunto oggetto assunto onderwerp ämne emne aihe temat konu тема "
    "předmět predmet 主题 主旨 件名 tárgy",
    "date": "date sent datum gesendet envoyé fecha enviado enviada data inviato verzonden skickat sendt dato "
    "päivämäärä lähetetty wysłano tarih дата отправлено 日期 发送时间 日時 "
    "dátum reply-to antwort bcc",
}
_KINDS = {word: kind for kind, words in _LABELS.items() for word in words.split()}
_WORD = "|".join(sorted(map(re.escape, _KINDS), key=len, reverse=True))
_LABEL = re.compile(
    rf"[>\s*_]{{0,12}}({_WORD})\s?[*_]{{0,2}}\s?[:：][*_]{{0,2}}\s*(.{{0,2000}})", re.IGNORECASE
)
_FORWARDED = re.compile(r"(?:fwd?|wg|tr|rv|i|enc|vb|vs|pd|ilt|пересл)\s?[:：]\s*", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s<>\"'|\])}]{1,2000}", re.IGNORECASE)


def read_pasted(text: str) -> str | None:
    """The text as one line for `track`: recipients, the quoted subject, the links of the body; or None."""
    lines = text.splitlines()
    if len(lines) < 3:
        return None
    for place, line in enumerate(lines[:MOST_LINES]):
        if _LABEL.fullmatch(line):
            found, end = _read_block(lines, place)
            if "subject" in found and "to" in found and ("from" in found or "date" in found):
                return _as_line(found, "\n".join(lines[end:]))
    return None


def _read_block(lines: list[str], start: int) -> tuple[dict[str, str], int]:
    """The labelled lines from `start` on, with what they continue on, and where the block ends."""
    found: dict[str, str] = {}
    kind, blank, place = "", 0, start
    while place < len(lines):
        line = lines[place]
        match = _LABEL.fullmatch(line)
        if match is not None and _KINDS[match[1].lower()] not in found:
            kind = _KINDS[match[1].lower()]
            found[kind] = match[2].strip()
            blank = 0
        elif not line.strip(" >\t"):
            blank += 1
            if blank > _GAP or _is_last(lines, place):
                break
        elif kind in ("to", "cc") and line.startswith((" ", "\t")) and not blank:
            found[kind] += f" {line.strip()}"
        else:
            break
        place += 1
    return found, place


def _is_last(lines: list[str], place: int) -> bool:
    """Whether no label follows the blank line."""
    return place + 1 >= len(lines) or _LABEL.fullmatch(lines[place + 1]) is None


def _as_line(found: dict[str, str], body: str) -> str | None:
    people = []
    for value in (found["to"], found.get("cc", "")):
        try:
            people += [
                f"{one.name} <{one.address}>" if one.name else one.address
                for one in parse_draft(clean_line(value) or "-").recipients
            ]
        except DraftError:
            continue
    subject = clean_line(found["subject"]).strip("* _")
    while mark := _FORWARDED.match(subject):
        subject = subject[mark.end() :]
    subject = subject.replace('"', "'")
    urls = dict.fromkeys(url for one in _URL.findall(body) if (url := _usable(one)))
    parts = [*dict.fromkeys(people), f'"{subject}"' if subject else "", " ".join([*urls][:MOST_URLS])]
    return ", ".join(filter(None, parts[:-1])) + f" {parts[-1]}".rstrip() or None


def _usable(url: str) -> str | None:
    try:
        return read_url(url.rstrip(".,;:!?*_"))
    except DraftError:
        return None
