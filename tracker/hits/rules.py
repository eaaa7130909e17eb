"""The rules of what a single request is, in order; the first that answers wins.

Each rule is a pure function of stored facts, with its source in the docstring, and answers a Judgement or
None. tracker/hits/classify.py runs them; what needs other hits of the mail is in tracker/hits/history.py.
A new rule: write the function, put it into RULES, its sentence into reasons.py, and raise RULES_VERSION.
"""

from __future__ import annotations

from collections.abc import Callable

from tracker.hits.agents import AgentKind
from tracker.hits.evidence import DAY, MINUTE, SECOND, HitFacts, Judgement, MailFacts, OwnDevices
from tracker.hits.networks import HOSTING, MAIL_FILTER, SECURITY, kind_of, owner_of
from tracker.hits.verdicts import Verdict

RULES_VERSION = "2026.4"

SKEW = 2 * SECOND  # clocks of the mail's sender and of this machine may differ by that much
OWN_DEVICE = DAY
SECURITY_NETWORK = 10 * MINUTE
HOSTING_NETWORK = MINUTE
TOO_FAST = SECOND

# The second is what the first rules wrote; hits judged by them are judged again.
MAIL_FILTERS = frozenset({MAIL_FILTER, "exchange-online-protection"})

Rule = Callable[[HitFacts, MailFacts, OwnDevices], Judgement | None]


def armed_since(mail: MailFacts) -> int:
    """From when on a mail's hits count: when it was armed, less the skew; else when it arms by itself."""
    return mail.arms_at if mail.armed_at is None else mail.armed_at - SKEW


def told(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """The account said what this hit is, or one like it (PRODUCT: "That was me", "Not a person")."""
    if hit.told is None:
        return None
    own = hit.told in ("told-me", "told-device")
    return Judgement(Verdict.SENDER if own else Verdict.BOT, hit.told, hit.agent.name)


def mode_leaves_out(hit: HitFacts, mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """A mail with clicks only, or without tracking, counts nothing else (PRODUCT: modes of a mail).

    What came before its owner made the mode stricter stays counted: it rang, and rightly so.
    """
    if mail.mode_since is not None and hit.at < mail.mode_since:
        return None
    if mail.mode == "off" or (mail.mode == "clicks" and hit.kind == "open"):
        return Judgement(Verdict.UNKNOWN, "not-tracked", hit.agent.name)
    return None


def office_probe(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Office asks a link what it is before it hands it to the browser.

    Seen as "Microsoft Office Existence Discovery" and "… Protocol Discovery", Word, Excel and PowerPoint, and
    as OPTIONS or PROPFIND. Outlook's own ms-office agent follows no link for a person either.
    """
    outlook_click = hit.agent.kind is AgentKind.OUTLOOK and hit.kind == "click"
    if hit.agent.kind is AgentKind.OFFICE or outlook_click or hit.method in ("OPTIONS", "PROPFIND"):
        return Judgement(Verdict.BOT, "office-probe", hit.agent.name)
    return None


def other_method(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """People's programs fetch with GET; HEAD and the rest come from checkers."""
    if hit.method != "GET":
        return Judgement(Verdict.BOT, "method", hit.agent.name, {"method": hit.method[:16]})
    return None


def announced_prefetch(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """The request says itself that nobody looks yet: Sec-Purpose (HTML standard) and its elders."""
    purpose = (hit.purpose or "").lower()
    if "prefetch" in purpose or "preview" in purpose or "prerender" in purpose:
        return Judgement(Verdict.PREFETCH, "purpose", hit.agent.name, {"purpose": purpose[:40]})
    return None


def before_sending(hit: HitFacts, mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Copying, pasting and previewing fetch the pixel before the mail is sent: that is the sender."""
    if hit.at < armed_since(mail):
        return Judgement(Verdict.SENDER, "before-sending", hit.agent.name)
    handed = mail.handed_over_at
    if mail.origin == "send" and handed is not None and hit.at < handed - SKEW:
        return Judgement(Verdict.SENDER, "before-handover", hit.agent.name)
    return None


def own_device(hit: HitFacts, _mail: MailFacts, own: OwnDevices) -> Judgement | None:
    """Address and device together are known to be the sender's, and were seen in the last 24 hours.

    A hit from before the last sighting is taken as the sender's too: the device did not change hands.
    """
    seen = own.get(hit.device) if hit.device is not None else None
    if seen is not None and hit.at <= seen + OWN_DEVICE and hit.agent.kind not in SHARED:
        return Judgement(Verdict.SENDER, "own-device", hit.agent.name)
    return None


# Many people's mail comes through these: an address and agent in common say nothing.
SHARED = frozenset({AgentKind.PROXY, AgentKind.BARE, AgentKind.GMAIL_PREFETCH})


def after_reply(hit: HitFacts, mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """A reply quotes the mail: whoever reads it in Gmail makes Gmail fetch the pixel, the sender too.

    PRODUCT: an open after the recipient's reply through the proxy of the sender's own provider.
    """
    if mail.replied_at is None or hit.at <= mail.replied_at or hit.kind != "open":
        return None
    if hit.agent.kind is not AgentKind.PROXY or hit.agent.name != mail.own_proxy:
        return None
    return Judgement(Verdict.UNKNOWN, "after-reply", hit.agent.name)


def image_proxy(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """A provider's image proxy fetches when the mail is viewed: counted, whatever the time.

    Gmail's fetches in the first seconds are real views; a well-known mailer lost all its Gmail opens by
    judging them by timing. Nobody clicks through an image proxy.
    """
    if hit.agent.kind is not AgentKind.PROXY:
        return None
    if hit.kind == "open":
        return Judgement(Verdict.PROXIED, "image-proxy", hit.agent.name)
    return Judgement(Verdict.BOT, "proxy-click", hit.agent.name)


def apple_privacy(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Apple's Mail Privacy Protection sends exactly "Mozilla/5.0", whatever the person does.

    Its addresses prove nothing: people's own Safari clicks come from the same relay.
    """
    if hit.agent.kind is not AgentKind.BARE:
        return None
    if hit.kind == "open":
        return Judgement(Verdict.PRIVACY, "apple-privacy", hit.agent.name)
    return Judgement(Verdict.BOT, "bare-agent", None)


def gmail_prefetch(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Gmail fetches ahead with the agent of an Edge 12 that is followed by a second "Mozilla/5.0"."""
    if hit.agent.kind is AgentKind.GMAIL_PREFETCH:
        return Judgement(Verdict.PREFETCH, "gmail-prefetch", hit.agent.name)
    return None


def link_preview(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Chats and networks fetch a pasted link to draw a preview; each names itself."""
    if hit.agent.kind is AgentKind.UNFURLER:
        return Judgement(Verdict.UNFURLER, "link-preview", hit.agent.name)
    return None


def mail_client(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """A mail program fetches the pixel when it shows the mail: a person, from their own network."""
    if hit.kind == "open" and hit.agent.kind in _SHOWS_MAIL:
        return Judgement(Verdict.HUMAN, "mail-client", hit.agent.name)
    return None


_SHOWS_MAIL = frozenset({AgentKind.MAIL_CLIENT, AgentKind.OUTLOOK, AgentKind.MAIL_PROGRAM})


def named_gateway(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Mail-security products that name themselves."""
    if hit.agent.kind is AgentKind.GATEWAY:
        return Judgement(Verdict.SCANNER, "gateway", hit.agent.name)
    return None


def named_bot(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Crawlers, HTTP libraries, monitors and headless browsers that name themselves."""
    if hit.agent.kind is AgentKind.BOT:
        return Judgement(Verdict.BOT, "bot", hit.agent.name)
    return None


def no_browser(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """People follow links in a browser, or in a known mail program's window; this names itself as neither.

    On an open a program may be one for mail that nobody knows yet: that stays unknown.
    """
    if hit.kind == "click" and hit.agent.kind in (AgentKind.PROGRAM, AgentKind.MAIL_PROGRAM):
        return Judgement(Verdict.BOT, "no-browser", hit.agent.name)
    return None


def filter_network(hit: HitFacts, mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Networks from which mail is filtered, always; security and hosting networks soon after the hand-over.

    Nobody reads mail in a mail filter. In the offices of a security company and behind a VPN in a data centre
    people do, later. The lists and their origins: tracker/hits/data. Relays of people (Apple's) say nothing.
    """
    label = hit.network_label
    if label is None:
        return None
    kind, since = kind_of(label), hit.at - _sent(mail)
    if kind in MAIL_FILTERS:
        reason = "filter-network"
    elif kind == SECURITY and since <= SECURITY_NETWORK:
        reason = "security-network"
    elif kind == HOSTING and since <= HOSTING_NETWORK:
        reason = "hosting-network"
    else:
        return None
    return Judgement(Verdict.SCANNER, reason, hit.agent.name, {"network": owner_of(label)})


def too_fast(hit: HitFacts, mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """No person is there within a second of the hand-over; known only where we handed the mail over."""
    handed = mail.handed_over_at
    if mail.origin == "send" and handed is not None and hit.at < handed + TOO_FAST:
        return Judgement(Verdict.SCANNER, "too-fast", hit.agent.name)
    return None


def unrecognised(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """Nothing says that this is a person, nothing that it is not."""
    if hit.agent.kind is AgentKind.NONE:
        return Judgement(Verdict.UNKNOWN, "no-agent")
    if hit.agent.kind in (AgentKind.UNRECOGNISED, AgentKind.PROGRAM):
        return Judgement(Verdict.UNKNOWN, "strange-agent")
    return None


def browser(hit: HitFacts, _mail: MailFacts, _own: OwnDevices) -> Judgement | None:
    """A browser, or a mail program's own window on a click: a person."""
    return Judgement(Verdict.HUMAN, "browser", hit.agent.name)


RULES: tuple[Rule, ...] = (
    told,
    mode_leaves_out,
    office_probe,
    other_method,
    announced_prefetch,
    before_sending,
    own_device,
    after_reply,
    image_proxy,
    apple_privacy,
    gmail_prefetch,
    link_preview,
    mail_client,
    named_gateway,
    named_bot,
    no_browser,
    filter_network,
    too_fast,
    unrecognised,
    browser,
)


def _sent(mail: MailFacts) -> int:
    if mail.handed_over_at is not None:
        return mail.handed_over_at
    return mail.arms_at if mail.armed_at is None else mail.armed_at
