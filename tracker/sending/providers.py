"""The mail providers that people name when they connect a mailbox: servers, which login works, and the truth.

Used by the connect page and the command. What stands here is what each provider's own help pages say (as of
2026); a caveat is told before anybody types a password. Pure.

Sources: support.google.com/mail/answer/7126229 and /answer/22370 (send mail as), support.google.com/
accounts/answer/185833; learn.microsoft.com "Authenticated client SMTP submission" and message MC786329;
support.apple.com/102525 (iCloud servers) and /102654 (app-specific passwords); help.yahoo.com SLN4075;
fastmail.help "Server names and ports"; zoho.com/mail/help/imap-access.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tracker.sending.credentials import Server


@dataclass(frozen=True)
class Provider:
    """One row of the table. `smtp` is None where the user has to type it."""

    key: str
    name: str
    smtp: Server | None = None
    imap: Server | None = None
    oauth: str | None = None  # google | microsoft
    domains: tuple[str, ...] = ()  # of its own addresses
    exchangers: tuple[str, ...] = ()  # ends of MX names of domains that it hosts
    called: str = "password"  # the provider's name for what has to be typed
    made_at: str | None = None  # where one is made
    steps: str = ""
    caveats: tuple[str, ...] = ()
    stores_sent: bool = False  # the provider itself keeps a copy of what is sent
    # Regions and plans: the end of a domain or MX name ("@" before it: this very domain), and their servers.
    others: tuple[tuple[str, Server, Server], ...] = ()


def _tls(host: str, port: int) -> Server:
    return Server(host, port, "tls")


# support.microsoft.com "POP, IMAP, and SMTP settings for Outlook.com"
_OUTLOOK = ("outlook.com", "hotmail.com", "live.com", "msn.com", "hotmail.co.uk", "outlook.de", "hotmail.de",
            "live.de", "hotmail.fr", "outlook.fr", "live.co.uk")  # fmt: skip

PROVIDERS: tuple[Provider, ...] = (
    Provider(
        "gmail", "Gmail or Google Workspace",
        smtp=_tls("smtp.gmail.com", 465),
        imap=_tls("imap.gmail.com", 993),
        oauth="google",
        domains=("gmail.com", "googlemail.com"),
        exchangers=("google.com", "googlemail.com", "smtp.goog"),
        called="app password",
        made_at="https://myaccount.google.com/apppasswords",
        steps="Switch on 2-Step Verification, then make an app password named mailbell. "
        "It has 16 letters; your usual password is refused.",
        caveats=(
            "Gmail in the browser hands mail to another server only for addresses under “Send mail as” that "
            "you added yourself (and for the main address of a Workspace account whose administrator allows "
            "it). The main address of a free Gmail account cannot: use track and the copy page there, or a "
            "mail program.",
            "Gmail itself keeps a copy in Sent, with the recipient's pixel in it: opening that copy rings.",
        ),
        stores_sent=True,
    ),
    Provider(
        "microsoft", "Outlook.com or Microsoft 365",
        smtp=Server("smtp.office365.com", 587, "starttls"),
        imap=_tls("outlook.office365.com", 993),
        oauth="microsoft",
        domains=_OUTLOOK,
        exchangers=("mail.protection.outlook.com", "mx.microsoft", "olc.protection.outlook.com"),
        steps="Only for Microsoft 365 whose administrator left SMTP AUTH with passwords on. "
        "Everybody else signs in with Microsoft.",
        caveats=(
            "Outlook.com, Hotmail and Live take no passwords from other programs any more: only "
            "“Sign in with Microsoft” works.",
            "Microsoft 365 switches passwords for SMTP off at the end of 2026, and many administrators did "
            "before. “Authenticated SMTP” must be on for your mailbox either way.",
            "An Outlook account of the type Exchange or Microsoft 365 has no outgoing server to set: add the "
            "mailbox as IMAP, or use track and the copy page.",
        ),
        stores_sent=True,
        others=tuple(
            (f"@{one}", Server("smtp-mail.outlook.com", 587, "starttls"), _tls("outlook.office365.com", 993))
            for one in _OUTLOOK
        ),
    ),
    Provider(
        "icloud", "iCloud Mail",
        smtp=Server("smtp.mail.me.com", 587, "starttls"),
        imap=_tls("imap.mail.me.com", 993),
        domains=("icloud.com", "me.com", "mac.com"),
        exchangers=("mail.icloud.com",),
        called="app-specific password",
        made_at="https://account.apple.com/account/manage",
        steps="Under Sign-In and Security choose App-Specific Passwords, and make one for "
        "mailbell. It looks like abcd-efgh-ijkl-mnop; your Apple password is refused.",
        caveats=(
            "On iPhone and Mac the built-in iCloud account keeps its own outgoing server: add the address "
            "once more as an IMAP account, which the profile on the next page does.",
        ),
    ),
    Provider(
        "yahoo", "Yahoo Mail",
        smtp=_tls("smtp.mail.yahoo.com", 465),
        imap=_tls("imap.mail.yahoo.com", 993),
        domains=("yahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "yahoo.es", "yahoo.it", "yahoo.ca",
                 "yahoo.com.br", "yahoo.co.in", "ymail.com", "rocketmail.com", "aol.com"),
        exchangers=("yahoodns.net",),
        called="app password",
        made_at="https://login.yahoo.com/account/security",
        steps="Choose “Generate app password”, name it mailbell, and use what it shows; your usual "
        "password is refused.",
        others=(("aol.com", _tls("smtp.aol.com", 465), _tls("imap.aol.com", 993)),),
    ),
    Provider(
        "fastmail", "Fastmail",
        smtp=_tls("smtp.fastmail.com", 465),
        imap=_tls("imap.fastmail.com", 993),
        domains=("fastmail.com", "fastmail.fm", "sent.com", "messagingengine.com"),
        exchangers=("messagingengine.com",),
        called="app password",
        made_at="https://app.fastmail.com/settings/security/apps",
        steps="Make an app password with access to Mail (IMAP and SMTP). The Basic plan has none.",
    ),
    Provider(
        "zoho", "Zoho Mail",
        smtp=_tls("smtp.zoho.com", 465),
        imap=_tls("imap.zoho.com", 993),
        domains=("zoho.com", "zohomail.com", "zoho.eu", "zohomail.eu", "zoho.in", "zohomail.in"),
        exchangers=("zoho.com", "zoho.eu", "zoho.in", "zohomail.com"),
        called="application-specific password",
        made_at="https://accounts.zoho.com/home#security/app_password",
        steps="With two-factor login on, make an application-specific password; without it, your "
        "usual password works.",
        caveats=(
            "Zoho's free plan may have no access for other programs (IMAP and SMTP): it is switched on under "
            "Settings → Mail Accounts → IMAP.",
            "An address of your own domain on a paid plan uses smtppro.zoho.com and imappro.zoho.com; "
            "accounts of the European data centre use .eu instead of .com.",
        ),
        stores_sent=True,
        others=(
            ("zoho.eu", _tls("smtp.zoho.eu", 465), _tls("imap.zoho.eu", 993)),
            ("zohomail.eu", _tls("smtp.zoho.eu", 465), _tls("imap.zoho.eu", 993)),
            ("zoho.in", _tls("smtp.zoho.in", 465), _tls("imap.zoho.in", 993)),
            ("zohomail.in", _tls("smtp.zoho.in", 465), _tls("imap.zoho.in", 993)),
        ),
    ),
    Provider(
        "other", "Another provider",
        steps="Look for “IMAP and SMTP” in your provider's help. Many want a password made for "
        "programs (an app password) rather than the usual one.",
    ),
)  # fmt: skip

OTHER = PROVIDERS[-1]
_BY_KEY = {one.key: one for one in PROVIDERS}


def find_provider(key: str) -> Provider | None:
    """The row with this key."""
    return _BY_KEY.get(key)


def guess_provider(address: str, exchangers: Iterable[str] = ()) -> Provider:
    """Whose mailbox an address probably is: by its domain, then by the MX names of it; `other` else."""
    domain = address.lower().rpartition("@")[2].rstrip(".")
    for one in PROVIDERS:
        if domain in one.domains:
            return one
    for name in exchangers:
        for one in PROVIDERS:
            if any(_is_within(name, end) for end in one.exchangers):
                return one
    return OTHER


def servers_for(
    provider: Provider, address: str, exchangers: Iterable[str] = ()
) -> tuple[Server | None, Server | None]:
    """The servers for sending and for reading that this address has at the provider."""
    domain = address.lower().rpartition("@")[2]
    for end, smtp, imap in provider.others:
        if end == f"@{domain}" or any(_is_within(name, end) for name in (domain, *exchangers)):
            return smtp, imap
    return provider.smtp, provider.imap


def _is_within(name: str, domain: str) -> bool:
    name = name.lower().rstrip(".")
    return name == domain or name.endswith("." + domain)
