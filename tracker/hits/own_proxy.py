"""Through which image proxy a sender reads their own mail: Gmail's, where they write from Gmail.

Whoever reads a reply there sees the quoted mail with its pixel, and their provider's proxy fetches it. Pure
but for the SQL, which tracker/hits/senders.py runs for accounts with answered mail. The names are those of
tracker/hits/mail_names.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Domains of mailboxes, and the names that their providers' image proxies have here.
_OF_DOMAIN = {
    **dict.fromkeys(("gmail.com", "googlemail.com"), "Gmail"),
    **dict.fromkeys(("ymail.com", "rocketmail.com", "myyahoo.com", "aol.com"), "Yahoo Mail"),
    **dict.fromkeys(("fastmail.com", "fastmail.fm"), "Fastmail"),
    **dict.fromkeys(("seznam.cz", "email.cz", "post.cz", "spoluzaci.cz"), "Seznam"),
    **dict.fromkeys(("ya.ru", "narod.ru"), "Yandex Mail"),
    **dict.fromkeys(("mail.ru", "bk.ru", "inbox.ru", "list.ru"), "Mail.ru"),
    **dict.fromkeys(("proton.me", "protonmail.com", "protonmail.ch", "pm.me"), "Proton Mail"),
    **dict.fromkeys(("zoho.com", "zohomail.com", "zoho.eu", "zohomail.eu"), "Zoho Mail"),
    **dict.fromkeys(("onet.pl", "op.pl", "vp.pl"), "Onet"),
    "hey.com": "HEY",
    "ukr.net": "Ukr.net",
    "rambler.ru": "Rambler",
}
_OF_FAMILY = {"yahoo": "Yahoo Mail", "yandex": "Yandex Mail"}  # yahoo.com, yahoo.co.uk, yandex.ru…
_OF_PROVIDER = {"gmail": "Gmail", "yahoo": "Yahoo Mail", "fastmail": "Fastmail", "zoho": "Zoho Mail"}


def proxy_of(address: str, provider: str | None = None) -> str | None:
    """The image proxy of whoever reads mail of `address`, by its mailbox's provider, else by its domain."""
    if provider in _OF_PROVIDER:
        return _OF_PROVIDER[provider]
    domain = address.rpartition("@")[2].lower()
    return _OF_DOMAIN.get(domain) or _OF_FAMILY.get(domain.partition(".")[0])


@dataclass(slots=True)
class OwnProxies:
    """Of one account: its addresses, each with the image proxy of its provider."""

    of_address: dict[str, str | None] = field(default_factory=dict)

    def of(self, sender: str | None) -> str | None:
        """For mail from `sender`; where that is not known, the one that all its addresses have."""
        if sender is not None:
            return self.of_address[sender] if sender in self.of_address else proxy_of(sender)
        known = set(self.of_address.values())
        return known.pop() if len(known) == 1 else None


NO_OWN = OwnProxies()

SENDERS = (
    "SELECT o.account_id, o.address, b.provider FROM own_address o "
    "LEFT JOIN mailbox b ON b.account_id = o.account_id AND b.address = o.address WHERE {accounts}"
)
