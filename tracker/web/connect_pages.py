"""What the connect pages look like: each function makes one page. Decides nothing, stores nothing."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from tracker.sending.clients import submission_server
from tracker.sending.credentials import imap_server
from tracker.sending.mailboxes import Connected
from tracker.sending.oauth import SITES, is_set_up
from tracker.sending.providers import PROVIDERS, Provider
from tracker.sending.tickets import Ticket
from tracker.settings import Settings
from tracker.web.browser_mark import form_mark
from tracker.web.connect_form import Typed
from tracker.web.keys import SERVICES
from tracker.web.pages import Markup, fill, notice, page

TITLE = "Connect a mailbox · mailbell"
_SECURITY = (("tls", "TLS"), ("starttls", "STARTTLS"), ("none", "none (this machine only)"))
_GMAIL_PORTS = (25, 465, 587)


def choosing(request: web.Request, ticket: Ticket, *, wrong: str = "") -> web.Response:
    """The first page: an address to guess by, or the list of providers."""
    rows = [
        fill("connect_provider", {"href": f"{ticket.path}?p={one.key}", "name": one.name})
        for one in PROVIDERS
    ]
    body = fill(
        "connect_choose",
        {
            "who": _who(ticket),
            "wrong": _wrong(wrong),
            "action": _action(request, ticket),
            "mark": form_mark(request),
            "providers": Markup("\n".join(rows)),
        },
    )
    return page(TITLE, body, status=400 if wrong else 200)


def login(
    request: web.Request,
    ticket: Ticket,
    provider: Provider,
    typed: Typed,
    *,
    wrong: str | Markup = "",
    status: int = 400,
) -> web.Response:
    """The form of one provider. What was typed stands in it again, but for the password."""
    settings = request.app[SERVICES].settings
    shared = {
        "action": _action(request, ticket),
        "mark": form_mark(request),
        "provider": provider.key,
        "name": "Your provider" if provider.smtp is None else provider.name,
    }
    caveats = Markup("\n".join(fill("connect_caveat", {"text": text}) for text in provider.caveats))
    body = fill(
        "connect_login",
        {
            **shared,
            "who": _who(ticket),
            "wrong": _wrong(wrong),
            "caveats": fill("connect_caveats", {"rows": caveats}) if provider.caveats else "",
            "sign_in": _sign_in(settings, provider, typed, shared),
            "steps": provider.steps,
            "made_at": _made_at(provider),
            "called": provider.called,
            "address": typed.address,
            "username": typed.username,
            "servers": _servers(provider, typed),
            "watch": Markup("checked") if typed.watches else "",
            "open": Markup("open") if provider.smtp is None else "",
            "back": ticket.path,
        },
    )
    return page(TITLE, body, status=status if wrong else 200)


def _sign_in(settings: Settings, provider: Provider, typed: Typed, shared: Mapping[str, str]) -> Markup:
    if provider.oauth is None:
        return Markup("")
    site = SITES[provider.oauth].name
    if not is_set_up(settings, provider.oauth):
        name = f"{provider.oauth.upper()}_CLIENT_ID"
        return fill("connect_no_sign_in", {"site": site, "setting": name})
    return fill("connect_sign_in", {**shared, "site": site, "address": typed.address})


def _made_at(provider: Provider) -> Markup:
    if provider.made_at is None:
        return Markup("")
    return fill("connect_made_at", {"url": provider.made_at, "called": provider.called})


def _servers(provider: Provider, typed: Typed) -> Markup:
    parts = []
    for kind, label in (("smtp", "Sending (SMTP)"), ("imap", "Reading (IMAP), to see replies")):
        host, port, security = typed.shown(provider, kind)
        options = "".join(
            fill(
                "connect_option",
                {"value": value, "text": text, "selected": Markup("selected") if value == security else ""},
            )
            for value, text in _SECURITY
        )
        values = {"kind": kind, "label": label, "host": host, "port": port, "options": Markup(options)}
        parts.append(fill("connect_server", values))
    return Markup("\n".join(parts))


def leaving(ticket: Ticket, site: str, url: str, address: str) -> web.Response:
    """The page between ours and Google's or Microsoft's: a link, because a form may not lead elsewhere."""
    values = {"who": _who(ticket), "site": site, "url": url, "address": address, "back": ticket.path}
    return page(TITLE, fill("connect_leaving", values))


def renewing(request: web.Request, ticket: Ticket) -> web.Response:
    """Asks before the password that programs use is replaced."""
    assert ticket.mailbox is not None
    values = {
        "who": _who(ticket),
        "address": ticket.mailbox.address,
        "action": _action(request, ticket),
        "mark": form_mark(request),
    }
    return page(TITLE, fill("connect_renew", values))


def result(request: web.Request, ticket: Ticket, made: Connected, told: str = "") -> web.Response:
    """What to put into mail programs: the only page that ever shows the application password.

    `told` is what did not work beside sending.
    """
    settings = request.app[SERVICES].settings
    mailbox, server = made.mailbox, submission_server(settings)
    title = "The new password" if ticket.purpose == "renew" else "Connected"
    if server is None:
        closed = {"title": title, "address": mailbox.address, "limits": _warned(told)}
        return page(TITLE, fill("connect_result_closed", closed))
    values: dict[str, object] = {
        "title": title,
        "address": mailbox.address,
        "host": server.host,
        "port": server.port,
        "security": "SSL/TLS" if server.security == "tls" else "STARTTLS",
        "user": made.submission_user,
    }
    values |= {
        "password": _password(made),
        "limits": Markup(_warned(told) + _limits(settings, server.port)),
        "gmail": _gmail(mailbox.provider),
        "files": _files(request, ticket, made),
        "state": "replies are looked for"
        if mailbox.imap_on and mailbox.imap_failed_at is None
        else "replies are not looked for",
    }
    values["programs"] = fill("connect_programs", values)
    return page(TITLE, fill("connect_result", values), script="connect")


def _password(made: Connected) -> Markup:
    if made.submission_password is None:
        return fill("connect_password_kept", {"address": made.mailbox.address})
    return fill("connect_password", {"password": made.submission_password})


def _warned(told: str) -> Markup:
    return fill("connect_limit", {"text": told}) if told else Markup("")


def _limits(settings: Settings, port: int) -> Markup:
    """What does not work here, before anybody tries."""
    texts = []
    if settings.is_trial:
        texts.append(
            "This mailbell runs on your own machine: only programs on this machine reach it, and they ask "
            "once whether you trust its certificate. Gmail and the Outlook apps send from their own servers "
            "and cannot reach it."
        )
    elif port not in _GMAIL_PORTS:
        texts.append(f"Gmail's “Send mail as” takes the ports 25, 465 and 587 only, and here it is {port}.")
    return Markup("".join(fill("connect_limit", {"text": text}) for text in texts))


def _gmail(provider: str) -> str:
    if provider != "gmail":
        return "Gmail asks you to confirm the address by a mail that it sends there."
    return (
        "This works for addresses that you added to Gmail. The main address of a free Gmail account is not "
        "among them: use track and the copy page there, or one of the programs below."
    )


def _files(request: web.Request, ticket: Ticket, made: Connected) -> Markup:
    imap = imap_server(made.mailbox)
    if imap is None:
        return fill("connect_no_files")
    note = ""
    if made.mailbox.auth == "xoauth2":
        note = (
            "For reading, these programs want a password of your provider (an app password) or their own "
            "sign-in: the files cannot hold it."
        )
    return fill(
        "connect_files",
        {
            "action": _action(request, ticket),
            "mark": form_mark(request),
            "password": made.submission_password or "",
            "domain": made.mailbox.address.rpartition("@")[2],
            "note": note,
        },
    )


def spent(ticket: Ticket) -> web.Response:
    """The link did its work; a new one is to be had in chat."""
    if ticket.mailbox is None:
        return notice(
            "A moment",
            "This link is at work already: its answer comes where you pressed the button. If none comes, "
            "write “connect new” to mailbell for another link.",
        )
    address = ticket.mailbox.address
    return notice(
        "This link has done its work",
        f"{address} is connected. The password for your mail programs was shown once; for a new one, write "
        f"“connect renew {address}” to mailbell.",
        status=410,
    )


def gone() -> web.Response:
    """The same for a link that never was, is too old, or was somebody's who is not in any more."""
    return notice(
        "This link does not work",
        "Links to connect a mailbox work once, for 30 minutes. Write “connect new” to mailbell, and it gives "
        "you a new one.",
        status=404,
    )


def other_browser(ticket: Ticket) -> web.Response:
    """The cookie is missing: cookies are off, or the form is older than half an hour, or not ours."""
    return page(TITLE, fill("connect_other_browser", {"back": ticket.path}), status=403)


def not_private() -> web.Response:
    """No passwords over plain http."""
    return notice(
        "Not over an open connection",
        "Passwords are taken over https only. Whoever runs this mailbell has to give it a certificate and "
        "set BASE_URL to its https address.",
        status=403,
    )


def is_private(request: web.Request) -> bool:
    """Whether what is typed here can be read by nobody on its way, as far as we can tell.

    Behind a proxy the proxy says how it was asked (X-Forwarded-Proto); who lies there harms themselves.
    """
    settings = request.app[SERVICES].settings
    if settings.is_trial and not settings.public_url.startswith("https://"):
        return True
    said = request.headers.get("X-Forwarded-Proto", "https").lower()
    return settings.public_url.startswith("https://") and "http" not in said.replace("https", "")


def _who(ticket: Ticket) -> str:
    """Whose mailbell this is: nobody should give their password to somebody else's."""
    return ticket.account.name or "this account"


def _action(request: web.Request, ticket: Ticket) -> str:
    """Where the form goes: the public address, whatever way the page was asked by."""
    return f"{request.app[SERVICES].settings.public_url}{ticket.path}"


def _wrong(text: str | Markup) -> Markup:
    if not text:
        return Markup("")
    return text if isinstance(text, Markup) else fill("connect_wrong", {"text": text})
