"""`why`: what each request of a mail was taken for, and the reason in words that a person understands."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from bot.chat import Button, Reply
from bot.commands.registry import Command, CommandError, Request
from bot.commands.timeline import find_mail
from bot.words import moment, one_line, plural, quoted, zone_of
from models import Hit, Link, Message, Recipient, Taught
from tracker.hits.reasons import sentence
from tracker.hits.verdicts import Verdict
from tracker.insights.lists import find_message
from tracker.insights.timeline import Page, Wanted, page_of

PAGE = 6
_KINDS = {"open": "open", "opens": "open", "click": "click", "clicks": "click"}
_COUNTED = {"counted": True, "uncounted": False}
_NARROWING = _KINDS.keys() | _COUNTED.keys()
_PAGE = re.compile(r"page:(\d{1,6})")
_UNSEEN = {
    "full": "No open seen does not mean that nobody looked: pictures may be blocked.",
    "clicks": "Clicks only: there is no pixel, so opens stay unseen.",
}
_HIDDEN = "place and device hidden"


async def answer_why(request: Request) -> Reply:
    """`why CODE`, and words that narrow it: opens, clicks, counted, an address, a link, page:2."""
    message, words = await _split(request)
    number = next((int(found[1]) for word in words if (found := _PAGE.fullmatch(word))), 1)
    words = [word for word in words if not _PAGE.fullmatch(word)]
    people = await Recipient.filter(message_id=message.id).order_by("position", "id")
    links = await Link.filter(message_id=message.id).order_by("position", "id")
    wanted = _wanted(words, people, links)
    page = await page_of(message, wanted, number, PAGE)
    if not page.total:
        return _nothing(message, words)
    lessons = await _lessons(request, page)
    scribe = _Scribe(request, people, links)
    lines = [line for named in page.hits for line in scribe.lines(*named)]
    return Reply(
        title=f"{quoted(message.subject)} ({message.code}): {_counts(message)}.",
        lines=(_which(page, words), *lines),
        buttons=(*_answers(page, lessons), _turning(message, words, page)),
        data=_data(message, page),
    )


async def _split(request: Request) -> tuple[Message, list[str]]:
    """The mail, and the words after it. A first word that is no code belongs to the mail's subject."""
    words = request.arguments.split()
    message = await find_message(request.account, words[0].strip("#.,:")) if words else None
    if message is not None:
        return message, words[1:]
    narrowing = [word for word in words if _PAGE.fullmatch(word) or word.lower().strip(",") in _NARROWING]
    return await find_mail(request, " ".join(word for word in words if word not in narrowing)), narrowing


def _wanted(words: Sequence[str], people: Sequence[Recipient], links: Sequence[Link]) -> Wanted:
    kind, counted = None, None
    recipients: set[int] = set()
    found: set[int] = set()
    for word in (word.lower().strip(",") for word in words):
        if word in _KINDS:
            kind = _KINDS[word]
        elif word in _COUNTED:
            counted = _COUNTED[word]
        else:
            these = {one.id for one in people if word in one.address or word in one.name.lower()}
            those = {one.id for one in links if one.kind == "click" and word in _said_of(one)}
            if not these | those:
                raise CommandError(
                    f"no recipient and no link of this mail has “{one_line(word, 30)}” in it; "
                    "type opens, clicks, counted, uncounted, an address, or words of a link"
                )
            recipients |= these
            found |= those
    return Wanted(kind, counted, tuple(sorted(recipients)), tuple(sorted(found)))


def _said_of(link: Link) -> str:
    return f"{link.label} {link.target or ''}".lower()


def _nothing(message: Message, words: Sequence[str]) -> Reply:
    narrowed = f" that fits “{one_line(' '.join(words), 40)}”" if words else ""
    return Reply(
        title=f"{quoted(message.subject)} ({message.code}): nothing was requested yet{narrowed}.",
        lines=(_UNSEEN[message.mode],) if message.mode in _UNSEEN else (),
        buttons=((Button("Details", f"show {message.code}"),),),
        data={"message": message.code, "hits": []},
    )


def _counts(message: Message) -> str:
    return (
        f"opens total {message.total_opens}, counted {message.opens}; "
        f"clicks total {message.total_clicks}, counted {message.clicks}"
    )


def _which(page: Page, words: Sequence[str]) -> str:
    narrowed = f" for “{one_line(' '.join(words), 60)}”" if words else ""
    where = f", page {page.number} of {page.pages}" if page.pages > 1 else ""
    return f"{plural(page.total, 'request')}{narrowed}, newest first{where}:"


async def _lessons(request: Request, page: Page) -> dict[str, int]:
    """By uid: the lesson that this very hit was told by."""
    uids = [hit.uid for _, hit in page.hits]
    rows = await Taught.filter(account_id=request.account.id, uid__in=uids, undone_at=None)
    return {row.uid: row.id for row in rows}


class _Scribe:
    """Writes the entries of one mail."""

    def __init__(self, request: Request, people: Sequence[Recipient], links: Sequence[Link]) -> None:
        self._now, self._zone = request.services.now(), zone_of(request.account.timezone)
        self._people = {one.id: one.address for one in people}
        self._labels = {one.id: one.label for one in links}

    def lines(self, number: int, hit: Hit) -> list[str]:
        """When, what, who, with what; then why."""
        here = hit.at.astimezone(self._zone)
        parts = [f"#{number} {moment(hit.at, self._now, self._zone)}:{here:%S}", class_word(hit)]
        if hit.kind == "click":
            parts.append(one_line(self._labels.get(hit.link_id, ""), 48) or "a link")
        parts.append(self._who(hit))
        parts.append(_facts(hit))
        return [" · ".join(filter(None, parts)), f"   {one_line(sentence(hit), 240)}{_confirmed(hit)}"]

    def _who(self, hit: Hit) -> str:
        if hit.recipient_id is not None:
            return one_line(self._people.get(hit.recipient_id, ""), 64)
        return f"someone of {len(self._people)}" if len(self._people) > 1 else ""


def class_word(hit: Hit) -> str:
    """The class in one or two words, and whether it counts."""
    if hit.verdict is None:
        return "being looked at"
    verdict = Verdict(hit.verdict)
    if verdict.counts:
        return "clicked" if hit.kind == "click" else "opened"
    return f"{verdict.said}, not counted"


def _facts(hit: Hit) -> str:
    """What is known of who asked: the program and the network, or that both are hidden."""
    client = one_line(hit.client or "", 60)
    if hit.verdict in (Verdict.PROXIED, Verdict.PRIVACY):
        return f"{client}, {_HIDDEN}" if client else _HIDDEN
    return ", ".join(filter(None, (client, hit.network)))


def _confirmed(hit: Hit) -> str:
    if not hit.confirmed_by:
        return ""
    by = "a reply" if hit.confirmed_by.startswith("reply:") else "a later click"
    return f" Confirmed by {by}: a person was there."


_ASKED = (Verdict.HUMAN, Verdict.PROXIED, Verdict.PRIVACY, Verdict.UNKNOWN)


def _answers(page: Page, lessons: dict[str, int]) -> list[tuple[Button, ...]]:
    """For each entry that may be somebody: two answers, or the way back from one."""
    rows: list[tuple[Button, ...]] = []
    for number, hit in page.hits:
        if hit.uid in lessons:
            rows.append((Button(f"#{number}: undo", f"taught undo {lessons[hit.uid]}"),))
        elif hit.verdict in _ASKED:
            rows.append(
                (
                    Button(f"#{number}: that was me", f"me {hit.uid}"),
                    Button(f"#{number}: not a person", f"machine {hit.uid}"),
                )
            )
    return rows


def _turning(message: Message, words: Sequence[str], page: Page) -> tuple[Button, ...]:
    """The way to the next pages, where the words fit into a button."""
    base = " ".join(["why", message.code, *words])
    steps = [("Newer", page.number - 1)] if page.number > 1 else []
    steps += [("Older", page.number + 1)] if page.number < page.pages else []
    buttons = [Button(text, f"{base} page:{number}") for text, number in steps]
    fitting = [one for one in buttons if len(one.action.encode()) <= 64]
    return (*fitting, Button("Details", f"show {message.code}"))


def _data(message: Message, page: Page) -> dict[str, object]:
    return {
        "message": message.code,
        "page": page.number,
        "pages": page.pages,
        "total": page.total,
        "hits": [
            {
                "number": number,
                "id": hit.uid,
                "at": hit.at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
                "kind": hit.kind,
                "class": hit.verdict,
                "reason": hit.reason,
                "sentence": sentence(hit),
                "counted": hit.verdict in (Verdict.HUMAN, Verdict.PROXIED),
            }
            for number, hit in page.hits
        ],
    }


WHY = Command(
    verb="why",
    summary="Why each open and click of a mail counts, or does not",
    usage="[CODE] [opens | clicks | counted | uncounted] [WORDS]",
    handler=answer_why,
    details=(
        "Words narrow it to recipients and links that have them. The newest comes first.",
        "Each has a number: me CODE 3 says that the third was you, machine CODE 3 that it was no person.",
    ),
    examples=("why k7m2qx", "why k7m2qx ana@acme.com clicks", "why k7m2qx uncounted"),
)
