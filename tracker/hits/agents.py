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

from tracker.hits.agent_names import (
    BROWSERS,
    GATEWAYS,
    MAIL_CLIENTS,
    OFFICE,
    PROXIES,
    SYSTEMS,
    UNFURLERS,
    Names,
)


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
    UNRECOGNISED = auto()


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
_ANY_PROXY = re.compile(r"(?:mail|image)[ _-]?proxy", re.I)

# Words of machines, matched at their edges: "bot" ends or begins a word, so that Cubot's phones, "about" and
# "bottle" are not in it by themselves.
_BOT = re.compile(
    r"""(?<!cu)bots?(?![a-z]) | \bbot[-_/ ] | crawl | spider | slurp | scrap(?:er|ing|y) | archiver | fetcher
    | monitor(?:ing)?\b | uptime | pingdom | statuscake | site24x7 | checker | validator | scanner | indexer
    | headless | phantomjs | puppeteer | playwright | selenium | webdriver | electron-fetch | lighthouse
    | \bcurl/ | \bwget | libwww | python | urllib | aiohttp | httpx | requests/ | scrapy | mechanize
    | go-http-client | okhttp | \bjava\b | apache-http | jakarta | http[-_]?client | http\.rb | faraday
    | \bruby\b | \bperl\b | php/ | guzzle | node-fetch | axios | undici | \bnode(?:\.js)?/ | \bgot\b
    | superagent | postman | insomnia | dart: | \bdart/ | reqwest | \bhyper/ | \brust\b | winhttp
    | wininet | powershell | cfnetwork | dataprovider | censys | zgrab | masscan | nmap | nikto | nuclei
    | internetmeasure | facebookplatform | feed(?:ly|burner|fetcher|validator) | rss\b
    | google-?(?:other|safety|adwords|read-aloud)
    | mediapartners | apis-google | chatgpt | gptbot | claude | anthropic | perplexity | openai | cohere-ai
    | preview\b | prerender | \+https?:// | @[\w-]+\.[a-z]{2,} """,
    re.I | re.X,
)

# The bracket that names an Android phone holds its model, which may have any name ("CUBOT NOTE", "Robot").
_ANDROID_BRACKET = re.compile(r"\([^()]*android[^()]*\)", re.I)
_ENGINE = re.compile(
    r"(?:mozilla/5\.0 \(.*(?:chrome/|crios/|firefox/|fxios/|safari/|applewebkit/|trident/|gecko/))"
    r"|(?:mozilla/4\.0 \(compatible; msie )|(?:opera/\d)|(?:ucweb/)",
    re.I | re.S,
)


@lru_cache(maxsize=8192)
def agent_of(text: str | None) -> Agent:
    """What this user agent is. Any text is answered, in time linear in its length (it is cut to 1,000)."""
    text = (text or "").strip()[:1000]
    if not text:
        return _NONE
    low = text.lower()
    return _mail_agent(text, low) or _machine(low) or _browser(low) or Agent(AgentKind.UNRECOGNISED)


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
    if name := _find(low, UNFURLERS):
        return Agent(AgentKind.UNFURLER, name)
    if match := _ANY_PROXY.search(text):
        return Agent(AgentKind.PROXY, _own_name(text, match.start()))
    if name := _find(low, MAIL_CLIENTS):
        return Agent(AgentKind.MAIL_CLIENT, name)
    if "ms-office" in low or "msoffice" in low or "microsoft outlook" in low or "microsoft office" in low:
        return Agent(AgentKind.OUTLOOK, "Outlook")
    if _is_apple_mail(low):
        return Agent(AgentKind.MAIL_CLIENT, "Apple Mail")
    return None


def _is_apple_mail(low: str) -> bool:
    """Apple Mail without privacy protection: WebKit and nothing after it, but "Mobile/…" on iPhones."""
    if "applewebkit/" not in low or ("macintosh" not in low and "iphone" not in low and "ipad" not in low):
        return False
    rest = low.rpartition("(khtml, like gecko)")[2].strip()
    return not rest or bool(re.fullmatch(r"mobile/\w+", rest))


def _machine(low: str) -> Agent | None:
    if name := _find(low, GATEWAYS):
        return Agent(AgentKind.GATEWAY, name)
    phoneless = _ANDROID_BRACKET.sub("()", low, count=1)
    if match := _BOT.search(phoneless):
        return Agent(AgentKind.BOT, _own_name(phoneless, match.start()))
    return None


def _browser(low: str) -> Agent | None:
    if not _ENGINE.search(low):
        return None
    name = _find(low, BROWSERS) or "a browser"
    system = _find(low, SYSTEMS)
    return Agent(AgentKind.BROWSER, f"{name} on {system}" if system else name)


def _find(low: str, names: Names) -> str | None:
    for part, name in names:
        if part in low:
            return name
    return None


_WORD = re.compile(r"[\w.-]+")


def _own_name(text: str, at: int) -> str | None:
    """The word of `text` around position `at`: what the machine calls itself, at most 40 characters."""
    for match in _WORD.finditer(text):
        if match.end() > at:
            return match.group()[:40]
    return None
