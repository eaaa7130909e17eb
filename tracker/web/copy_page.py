"""The copy page, `/m/SIGNED`: from here pixel and links go into the user's own mail, by the clipboard.

The address is signed, so that nobody comes to another one's by trying. Seeing the page means composing: the
mail's arming is put off, and the browser is known as the sender's own for a day. The page never loads the
pixel.
"""

from __future__ import annotations

import datetime as dt
import html
import logging
from urllib.parse import unquote, urlsplit

from aiohttp import hdrs, web

from models import Message
from models.database import DATABASE_FAULTS
from tracker.hits import arming, own_devices
from tracker.hits.agents import AgentKind, agent_of
from tracker.insights.snapshot import Snapshot, snapshot
from tracker.keys import unsign
from tracker.mail.draft import clean_line, shorten
from tracker.mail.tracked import label_of, link_url, pixel_url
from tracker.services import Services
from tracker.web.intake import describe
from tracker.web.keys import INTAKE, SERVICES
from tracker.web.pages import Markup, fill, not_found, page, try_later

log = logging.getLogger(__name__)

_PIXEL_STYLE = "width:1px;height:1px;border:0"
_LONGEST = 100  # characters of a signed code


def add_routes(app: web.Application) -> None:
    """Mounts the page."""
    app.router.add_get("/m/{signed:.*}", show)


async def show(request: web.Request) -> web.Response:
    """The page of the mail, or one that says nothing of what was asked for."""
    services = request.app[SERVICES]
    signed = request.match_info["signed"]
    code = unsign(services.settings.key, "copy", signed) if len(signed) <= _LONGEST else None
    if code is None:
        return not_found()
    try:
        message = await Message.get_or_none(code=code)
        if message is not None and _is_a_person(request):
            await _learn(request, services, message)
        found = await snapshot(message.id) if message is not None else None
    except DATABASE_FAULTS as error:
        log.warning("the copy page has no database: %s", type(error).__name__)
        return try_later()
    return not_found() if found is None else _draw(services, found)


def _is_a_person(request: web.Request) -> bool:
    """Whether a browser shows the page now: no HEAD, no link preview, nothing that loads ahead."""
    described = describe(request.headers, ())
    kind = agent_of(described.agent).kind
    return request.method == hdrs.METH_GET and described.purpose is None and kind is AgentKind.BROWSER


async def _learn(request: web.Request, services: Services, message: Message) -> None:
    described = describe(request.headers, request.headers.getall("X-Forwarded-For", ()))
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    host = peer[0] if isinstance(peer, tuple) else None
    device = request.app[INTAKE].origin(host, described.forwarded, described.agent).device
    await arming.copy_page_shown(services, message)
    if device is not None:
        await own_devices.learn(services, message.account_id, device, "copy-page")


def _draw(services: Services, mail: Snapshot) -> web.Response:
    message = mail.message
    pixel = next((link for link in mail.links if link.kind == "open"), None)
    picture = pixel_html(pixel_url(services, pixel)) if pixel is not None else ""
    links = [
        (link_url(services, link), link.target or "", True) for link in mail.links if link.kind == "click"
    ]
    untracked = message.details.get("untracked", []) if isinstance(message.details, dict) else []
    links += [(url, url, False) for url in untracked]
    subject = message.subject or "Mail without a subject"
    body = fill(
        "copy_page",
        {
            "code": message.code,
            "subject": subject,
            "recipients": _recipients(mail),
            "notice": _notice(mail),
            "preview": _preview(links, bool(picture)),
            "links": _link_fields(links),
            "html": mail_html([(url, link_text(target)) for url, target, _ in links], picture),
            "pixel": picture,
            "pasting": _pasting(mail),
            "sending": _sending(services, message),
        },
    )
    return page(f"{shorten(subject, 80)} · mailbell", body, script="copy_page", attribute=_PIXEL_STYLE)


def pixel_html(url: str) -> str:
    """The pixel as it stands in a mail. Without words, and not hidden: what is hidden, some clients skip."""
    return f'<img src="{html.escape(url)}" width="1" height="1" alt="" border="0" style="{_PIXEL_STYLE}">'


def mail_html(links: list[tuple[str, str]], picture: str) -> str:
    """What goes on the clipboard: the links (address, words), one a line, then the pixel."""
    lines = [f'<a href="{html.escape(url)}">{html.escape(words)}</a>' for url, words in links]
    return "<br>\n".join(lines) + ("\n" if lines and picture else "") + picture


def link_text(url: str) -> str:
    """Words for a link until its sender types better ones: of ".../q3-deck.pdf" it is "Q3 deck".

    Never an address: shown over a tracking address, it would look like phishing, and be marked so.
    """
    parts = urlsplit(url)
    last = unquote(parts.path.rstrip("/").rpartition("/")[2], errors="replace")
    words = clean_line(last.partition(".")[0].replace("-", " ").replace("_", " "), 40)
    if not words or "\ufffd" in words or len(max(words.split(), key=len)) > 24:
        names = (parts.hostname or "").removeprefix("www.").split(".")
        words = max(names[:-1] or names, key=len)
        words = "Link" if not words or words.isdecimal() else words
    return words[:1].upper() + words[1:]


def _recipients(mail: Snapshot) -> str:
    shown = [one.name or one.address for one in mail.recipients[:5]]
    more = len(mail.recipients) - len(shown)
    names = ", ".join(shown) + (f" and {more} more" if more else "")
    return f"To {names}" if names else "No recipients named"


def _notice(mail: Snapshot) -> Markup:
    """What keeps this mail from being recorded, if anything does."""
    refused = [one.address for one in mail.recipients if one.opted_out_at is not None]
    if refused:
        text = f"{', '.join(refused)} opted out of tracking. The links work, and nothing is recorded."
    elif mail.links and not any(link.recording for link in mail.links):
        text = "Nothing of this mail is recorded any more. The links go on working."
    else:
        return Markup("")
    return fill("copy_notice", {"text": text})


def _preview(links: list[tuple[str, str, bool]], has_pixel: bool) -> Markup:
    shown = [f'<p><span class="link">{html.escape(link_text(target))}</span></p>' for _, target, _ in links]
    if has_pixel:
        shown.append('<p class="soft small">+ an invisible picture, 1 × 1</p>')
    return Markup("\n".join(shown) or '<p class="soft">Nothing: this mail is not tracked.</p>')


def _link_fields(links: list[tuple[str, str, bool]]) -> Markup:
    if not links:
        return Markup("")
    rows = []
    for url, target, is_tracked in links:
        label = label_of(target)
        note = f"leads to {label}" if is_tracked else f"{label}, not tracked"
        rows.append(fill("copy_link", {"url": url, "text": link_text(target), "label": label, "note": note}))
    return fill("copy_links", {"rows": Markup("\n".join(rows))})


def _pasting(mail: Snapshot) -> str:
    if not any(link.kind == "open" for link in mail.links):
        return "There is no picture in this one: only clicks are seen."
    return "Copying or pasting may load the picture once. That is you, and it is not counted."


def _sending(services: Services, message: Message) -> Markup:
    if message.mode == "off":
        return fill("sending_off")
    moment = message.armed_at or message.arms_at
    composing = message.armed_at is None and moment > services.now()
    values = {
        "code": message.code,
        "moment": moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "shown": f"{moment.astimezone(dt.UTC):%H:%M:%S} UTC",
    }
    return fill("sending_composing" if composing else "sending_armed", values)
