"""What a user agent is: a mailbox's image proxy, a mail client, a bot, a browser… and its name for people.

Called by the judge, which keeps the answers by agent id; the rules (tracker/hits/rules.py) read them. Image
proxies and mail clients stand before any list of bots: used raw, such lists flag most proxies and a third of
the mail clients. Nothing here knows the request: what a kind means for an open or a click is a rule's matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from tracker.hits.browser_names import BROWSERS, ENGINES, PHONES, SYSTEMS
from tracker.hits.machine_names import GATEWAYS, PROGRAM_STEMS, STEMS, UNFURLERS, UNFURLERS_FIRST
from tracker.hits.mail_names import MAIL_CLIENTS, OFFICE, PROXIES, Names

LONGEST = 600  # characters that are looked at; the longest of people's in-app browsers are under 500


class AgentKind(Enum):
    """In the order in which a text is asked."""

    NONE = auto()
    OFFICE = auto()  # Word and friends looking at a link before they hand it to the browser
    PROXY = auto()  # a mailbox provider's image proxy, at view
    BARE = auto()  # exactly "Mozilla/5.0"
    GMAIL_PREFETCH = auto()
    UNFURLER = auto()
    OUTLOOK = auto()  # Outlook on a desktop: renders with Word's engine and says ms-office
    MAIL_CLIENT = auto()
    GATEWAY = auto()
    BOT = auto()
    BROWSER = auto()
    MAIL_PROGRAM = auto()  # says "mail" of itself, and is none that we know
    PROGRAM = auto()  # has a name of its own, and neither a browser's engine nor a phone in it
    UNRECOGNISED = (
        auto()
    )  # also what an app fetches by itself, past any browser: "Foo/1 CFNetwork/…", "Dalvik/…"


@dataclass(frozen=True)
class Agent:
    """`name` is what people read: "Gmail", "Apple Mail", "Slack", "Chrome on Windows"; None where unknown."""

    kind: AgentKind
    name: str | None = None

    @staticmethod
    def none() -> Agent:
        """What a request without a user agent has."""
        return _NONE


_NONE = Agent(AgentKind.NONE)

_GMAIL_PREFETCH_END = "chrome/42.0.2311.135 safari/537.36 edge/12.246 mozilla/5.0"

# A proxy for images in mail that is not in the table yet still says so.
_ANY_PROXY = re.compile(r"(?:mail|image|img)[ _-]?proxy|image[ _-]fetcher")

# At the end of a word: "bot" alone is in "about", "bottle", "Caboto" and in Cubot's phones, too.
_BOT = re.compile(r"(?<!cu)b[o0]ts?(?![a-z])|[a-z](?<!user)agent\b")

# Who wants to be asked why it came gives an address. A few toolbars of Internet Explorer do, too.
_CONTACT = re.compile(
    r"https?:/+(?:www\.)?\w|\bwww\.\w|\+\w[\w-]*\.[a-z]|@[\w-]+\.[a-z]"
    r"|[ (;](?:[\w-]+\.)+(?:com|net|org|io|eu|dev|ai)\b(?! mobile)"
)
_TOOLBARS = re.compile(r"bsalsa\.com|kangaroo-personal|avast browser|fbcr/|; \+drm")

# Added to what browsers have inside their brackets: "(KHTML, like Gecko; compatible; Foo)".
_INSERTED = re.compile(r"like gecko; ?(?:compatible|[\w-]+[)/ ])|safari/[\d.]+ \(compatible")
_COMPATIBLE = re.compile(
    r"^mozilla/[\d.]+ \(compatible[;,] ?+(?!msie|konq|icab|omniweb|opera|netpos|safari|gecko|linux [\d.]+\)"
    r"|windows|intel|mozilla|avantgo|ms front|;)"
)

# A name in front of a desktop browser's whole text: who wrote it there is not that browser.
_IN_FRONT = re.compile(r"^[\w.-]+(?:/[\w.]+)?,? mozilla/[45]\.0 \((?:windows|macintosh|x11|linux)")

# The bracket that names an Android phone holds its model, which may have any name ("CUBOT NOTE", "Robot").
_ANDROID = re.compile(r"\([^()]{0,40}android[^()]*\)")
_NETSCAPE = re.compile(r"mozilla/[1-4]\.\d[\w.-]* ?(?:\[\w+\]|\((?:x11|win|mac|palm|os/2))")
_PRODUCT = re.compile(r"([\w%.-]{1,40}(?: \w{1,20}){0,2})/v?\d[\w.]*(-e?mail$)?")
_APP = ("cfnetwork/", "dalvik/", "darwin/", "android", "iphone", "ipad")


@lru_cache(maxsize=8192)
def agent_of(text: str | None) -> Agent:
    """What this user agent is. Any text is answered, in time linear in its length (it is cut)."""
    text = (text or "").strip()[:LONGEST]
    if not text:
        return _NONE
    low = text.lower()
    return _mail_agent(text, low) or _machine(text, low) or _browser(low) or _program(text, low)


def _mail_agent(text: str, low: str) -> Agent | None:
    """What the mail world itself sends: proxies, privacy loads, mail clients; and who draws previews."""
    if name := _find(low, OFFICE):
        return Agent(AgentKind.OFFICE, name)
    if name := _find(low, PROXIES):
        return Agent(AgentKind.PROXY, name)
    if text == "Mozilla/5.0":
        return Agent(AgentKind.BARE, "Apple Mail")
    if low.endswith(_GMAIL_PREFETCH_END):
        return Agent(AgentKind.GMAIL_PREFETCH, "Gmail")
    if name := _find(low, UNFURLERS) or _first(low, UNFURLERS_FIRST):
        return Agent(AgentKind.UNFURLER, name)
    if match := _ANY_PROXY.search(low):
        return Agent(AgentKind.PROXY, _own_name(text, match.start()))
    if (name := _find(low, MAIL_CLIENTS)) and not _BOT.search(low):
        return Agent(AgentKind.MAIL_CLIENT, name)
    if "ms-office" in low or "msoffice" in low or "microsoft outlook" in low or "microsoft office" in low:
        return Agent(AgentKind.OUTLOOK, "Outlook")
    if _is_apple_mail(low):
        return Agent(AgentKind.MAIL_CLIENT, "Apple Mail")
    return None


def _is_apple_mail(low: str) -> bool:
    """Apple Mail without privacy protection: WebKit and nothing after it, but "Mobile/…" on iPhones."""
    if low.startswith("mail/") and "cfnetwork/" in low:
        return True
    if "applewebkit/" not in low or ("macintosh" not in low and "iphone" not in low and "ipad" not in low):
        return False
    before, _, rest = low.rpartition("(khtml, like gecko)")
    return bool(re.fullmatch(r" ?(?:mobile/\w+)?", rest)) and not _CONTACT.search(before)


def _machine(text: str, low: str) -> Agent | None:
    """Gateways, and whatever says by a word, a name or an address to write to that it is a machine."""
    if name := _find(low, GATEWAYS):
        return Agent(AgentKind.GATEWAY, name)
    phoneless = _ANDROID.sub(_unphoned, low, count=1) if "android" in low else low
    at = _machine_at(phoneless)
    if at is None:
        return None
    name = _own_name(phoneless, at) or ""
    written = low.find(name)
    return Agent(AgentKind.BOT, text[written : written + len(name)] or None)


def _machine_at(low: str) -> int | None:
    """Where in the text the machine's own name is; None where nothing says that it is one."""
    if match := _BOT.search(low):
        return match.start()
    for stem in STEMS:
        if stem in low:
            return low.find(stem)
    if match := _INSERTED.search(low) or _COMPATIBLE.search(low):
        return match.end() - 1
    if _IN_FRONT.match(low):
        return 0
    if (match := _CONTACT.search(low)) and not _TOOLBARS.search(low):
        return match.end() - 1 if low.startswith("mozilla/") else 0
    return None


def _unphoned(bracket: re.Match[str]) -> str:
    """The bracket without the phone's name, but for an address or a version that no phone has in it."""
    return " ".join(re.findall(r"https?:/\S+|[a-z]bot[/-]\w+", bracket.group()))


def _browser(low: str) -> Agent | None:
    """Any engine, the phones of before, the browsers of text terminals: somebody is in front of it."""
    if "cfnetwork/" in low or ("dalvik/" in low and "applewebkit" not in low):
        return None
    if not (any(part in low for part in ENGINES) or low.startswith(PHONES) or _NETSCAPE.match(low)):
        return None
    name = _find(low, BROWSERS) or "a browser"
    system = _find(low, SYSTEMS)
    return Agent(AgentKind.BROWSER, f"{name} on {system}" if system else name)


def _program(text: str, low: str) -> Agent:
    """What is left: mail programs, apps of phones, programs with a name, and what says nothing."""
    product = _PRODUCT.match(low)
    if product and ("mail" in product[1] or product[2]):
        return Agent(AgentKind.MAIL_PROGRAM, _own_name(text, 0))
    if any(part in low for part in _APP) or (low.startswith("mozilla/") and _find(low, SYSTEMS)):
        return Agent(AgentKind.UNRECOGNISED)
    if any(stem in low for stem in PROGRAM_STEMS):
        return Agent(AgentKind.BOT, _own_name(text, 0))
    if re.search(r"[a-z]{3}", low.removeprefix("mozilla").strip("\"'@/")):
        return Agent(AgentKind.PROGRAM, _own_name(text, 0))
    return Agent(AgentKind.UNRECOGNISED)


def _find(low: str, names: Names) -> str | None:
    for part, name in names:
        if part in low:
            return name
    return None


def _first(low: str, names: Names) -> str | None:
    for part, name in names:
        if low.startswith(part):
            return name
    return None


_WORD = re.compile(r"[\w.-]+")


def _own_name(text: str, at: int) -> str | None:
    """The word of `text` around position `at`: what the machine calls itself, at most 40 characters."""
    for match in _WORD.finditer(text):
        if match.end() > at:
            return match.group()[:40]
    return None
