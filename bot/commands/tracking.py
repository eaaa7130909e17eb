"""`track`: makes a mail tracked, gives its pixel and links. `link`: one tracked link, alone or in a mail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.chat import Button, Reply
from bot.commands.arguments import own_mail
from bot.commands.registry import Command, CommandError, Question, Request
from bot.commands.sides import told_of_sides
from bot.words import listed, one_line, quoted
from models import Recipient
from tracker.mail.binding import find_tokens
from tracker.mail.compose import Tracked, add_link, parse_draft, track, tracked_fields
from tracker.mail.draft import EXAMPLE, Draft, DraftError
from tracker.mail.parsing import tokens_in
from tracker.mail.tracked import label_of
from tracker.sending.compose import find_sender, send_draft

# Quoted, a subject is one even where it holds an address or a URL; before <ana@acme.com> it is a name.
_QUOTED_SUBJECT = re.compile(r'(?<!\S)"([^"]+)"(?!\s*<)(?!\S)')


async def answer_track(request: Request) -> Reply:
    """The new mail's pixel, links and copy page. Somebody else's errors of use come as DraftError."""
    known, text = await _known_mail(request)
    if known is not None:
        return known
    tracked = await track(request.services, request.account, read_draft(text))
    return await _describe(request, tracked)


async def _known_mail(request: Request) -> tuple[Reply | None, str]:
    """What there is to say where the text quotes a mail that is tracked already; else the text.

    Our own links are never tracked once more: one that is nobody's mail here is left out.
    """
    place = request.services.settings.public_url
    tokens = tokens_in([request.arguments.encode("utf-8", "replace")], place)
    if not tokens:
        return None, request.arguments
    found = await find_tokens(request.account.id, tokens)
    if not found:
        ours = re.compile(rf"<?{re.escape(place)}/[co]/[\w-]+\S*", re.IGNORECASE)
        return None, ours.sub(" ", request.arguments).strip() or "-"
    code = found[0].code
    return Reply(
        title=f"{quoted(found[0].subject)} is tracked already, as {code}: its links are in that text.",
        buttons=((Button("Details", f"show {code}"), Button("Sent", f"sent {code}")),),
        data={"message": code},
    ), ""


def read_draft(text: str) -> Draft:
    """The draft, with a quoted subject taken word for word."""
    found = _QUOTED_SUBJECT.findall(text)
    if len(found) != 1 or not ("@" in found[0] or "://" in found[0]):
        return parse_draft(text)
    rest = _QUOTED_SUBJECT.sub(" ", text).strip()
    return replace(parse_draft(rest or "-"), subject=found[0].strip()[:255])


async def _describe(request: Request, tracked: Tracked) -> Reply:
    message = tracked.message
    people = await Recipient.filter(message_id=message.id).order_by("position", "id")
    to = listed([one_line(one.address, 64) for one in people])
    pixel = [("Pixel", tracked.pixel_url)] if tracked.pixel_url else []
    links = _named(tracked.links)
    return Reply(
        title=f"{quoted(message.subject)}{f' to {to}' if to else ''} is tracked as {message.code}.",
        lines=(
            *_next_steps(request, tracked),
            *tracked.warnings,
            *await told_of_sides(request.account, people, message.mode),
        ),
        copyable=(*pixel, *links),
        links=(("Open the copy page", tracked.copy_url),),
        # Its card has the other buttons; a mail that is not tracked counts nothing from whenever on.
        buttons=((Button("Sent", f"sent {message.code}"),),) if message.mode != "off" else (),
        data=tracked_fields(tracked),
    )


def _named(links: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each tracked link with what people call it, "acme.com/deck"; the whole address where two share that."""
    labels = [label_of(url) for url, _ in links]
    return [
        (label if labels.count(label) == 1 else one_line(url, 60), ours)
        for label, (url, ours) in zip(labels, links, strict=True)
    ]


def _next_steps(request: Request, tracked: Tracked) -> list[str]:
    if tracked.message.mode == "off":
        return ["Tracking is off for this mail, so nothing will be recorded. See: settings"]
    seconds = request.services.settings.arm_after_seconds
    by_itself = f" (Or by itself {seconds} seconds after you last saw the copy page.)" if seconds else ""
    lines = [
        "1. Open the copy page, copy, paste it into your mail, and send.",
        f"2. Press Sent: it counts from then on.{by_itself}",
    ]
    if tracked.pixel_url is None:
        lines.append("Clicks only: there is no pixel, so opens stay unseen.")
    if tracked.capture_address:
        lines.append(f"Put {tracked.capture_address} in BCC, and I know when it left.")
    return lines


async def answer_link(request: Request) -> Reply:
    """A tracked link on its own, or in the mail whose code stands beside it."""
    words = request.arguments.split()
    urls = [word for word in words if "://" in word]
    codes = [word for word in words if "://" not in word]
    if len(urls) != 1 or len(codes) > 1:
        raise CommandError("I need one link, and maybe a mail's code: link https://acme.com/deck k7m2qx")
    message = await own_mail(request, codes[0]) if codes else None
    tracked = await add_link(request.services, request.account, urls[0].strip("<>"), message)
    code = tracked.message.code
    where = f"in {quoted(tracked.message.subject)} ({code})" if message else f"as {code}"
    waits = () if message else _counts_from(request)
    buttons = (Button("Details", f"show {code}"), Button("Mute", f"mute {code}"))
    return Reply(
        title=f"The link is tracked {where}.",
        lines=(
            "Put it where the plain link would stand; I ring when it is clicked.",
            *waits,
            *tracked.warnings,
        ),
        copyable=tuple(_named(tracked.links)),
        buttons=((Button("Sent", f"sent {code}"), *buttons) if waits else buttons,),
        data=tracked_fields(tracked),
    )


def _counts_from(request: Request) -> tuple[str, ...]:
    """A click before the link is out is its maker's, trying it."""
    seconds = request.services.settings.arm_after_seconds
    return (f"It counts in {seconds} seconds by itself, or at once when you press Sent.",) if seconds else ()


async def answer_write(request: Request) -> Reply:
    """Sends a short mail from the account's own mailbox; without a text it is `track`."""
    given, _, text = request.arguments.partition(" | ")
    if not text.strip():
        return await answer_track(replace(request, arguments=given.rstrip(" |")))
    lines = "\n".join(line.strip() for line in text.split("¶"))
    sent = await send_draft(request.services, request.account, read_draft(given), lines)
    return Reply(
        title=f"On its way to {listed([one_line(one, 64) for one in sent.recipients])}.",
        lines=(
            f"It goes out from {one_line(sent.sender, 64)}.",
            "Its card comes in a moment, and I ring when it is opened.",
        ),
        data={"sender": sent.sender, "recipients": list(sent.recipients)},
    )


async def _can_send(request: Request) -> str | None:
    """Whoever has a mailbox connected is asked for the text as well."""
    return "write" if await find_sender(request.services, request.account) is not None else None


def _type_text(answer: str) -> str:
    return f"| {answer}"


def _type_plain_subject(answer: str) -> str:
    return _type_subject(answer.replace("|", "/"))


def _check_recipients(answer: str) -> str | None:
    try:
        known = bool(parse_draft(answer).recipients)
    except DraftError as error:
        return str(error)
    return (
        None
        if known
        else "I find no address in that. Type one or several, such as: ana@acme.com, bob@acme.com"
    )


def _check_links(answer: str) -> str | None:
    try:
        draft = parse_draft(answer)
    except DraftError as error:
        return str(error)
    if draft.recipients or not (draft.urls or draft.untracked):
        return "I find no link in that. Type one or several that begin with https://, or - for none."
    return None


def _type_subject(answer: str) -> str:
    """In quotes where words of the subject could be taken for an address or a link."""
    if "@" not in answer and "://" not in answer:
        return answer
    return '"' + answer.replace('"', "'") + '"'


TRACK = Command(
    verb="track",
    summary="Make a mail tracked: pixel and links to copy into it",
    usage="ADDRESSES SUBJECT LINKS",
    handler=answer_track,
    details=(
        "Give what you know, in any order: addresses, a subject, links. The word track may be left out.",
        "A link that ends in #notrack stays as it is.",
    ),
    examples=(EXAMPLE, "track ana@acme.com, bob@acme.com Lunch on Friday"),
    form=(
        Question("recipients", "Who is it for?", "Addresses, with commas between", check=_check_recipients),
        Question("subject", "What is the subject?", "As in your mail", required=False, typed=_type_subject),
        Question(
            "links", "Which links stand in it?", "One or several that begin with https://",
            required=False, multiline=True, check=_check_links,
        ),
    ),
    instead=_can_send,
    personal=True,
)  # fmt: skip
WRITE = Command(
    verb="write",
    summary="Send a short tracked mail from your own mailbox",
    usage="ADDRESSES SUBJECT LINKS | TEXT",
    handler=answer_write,
    details=(
        "For whoever has connected a mailbox. What stands after the | is the mail's text.",
        "Links are tracked unless they end in #notrack.",
    ),
    examples=("write ana@acme.com Q3 proposal | Hi Ana, here is the deck: https://acme.com/deck",),
    form=(
        TRACK.form[0],
        replace(TRACK.form[1], typed=_type_plain_subject),
        TRACK.form[2],
        Question(
            "text", "Shall I send it? Type its text", "Leave it empty to send it from your mail program",
            required=False, multiline=True, typed=_type_text, keeps_lines=True,
        ),
    ),
    hidden=True,
    personal=True,
)  # fmt: skip
LINK = Command(
    verb="link",
    summary="Make one tracked link",
    usage="URL [CODE]",
    handler=answer_link,
    details=("With a mail's code the link belongs to that mail; alone it is counted on its own.",),
    examples=("link https://acme.com/deck", "link https://acme.com/deck k7m2qx"),
    personal=True,
)
