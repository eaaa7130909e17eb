"""The sentence for each reason code: what a person reads under `why`, in exports and in corrections.

Codes are stored with the hit and never change their meaning; `{client}` and the hit's details may be named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

SENTENCES: dict[str, str] = {
    "told-me": "You said that this was you.",
    "told-device": "It came from a device and address that you said is yours.",
    "told-machine": "You said that this was not a person.",
    "told-source": "It came from the same place and program as a request that you said was not a person.",
    "not-tracked": "This mail is not tracked for that, so it was only noted.",
    "office-probe": "Office looked at the link before it handed it to a browser; no person was there yet.",
    "method": "The request only asked about the address ({method}); people's programs fetch it.",
    "purpose": "The program said that it loads ahead ({purpose}); nobody was looking yet.",
    "before-sending": "It came before the mail was sent: that was you, composing or previewing.",
    "before-handover": "It came before your provider took the mail: that was you.",
    "own-device": "It came from a device and address known as your own: that was you.",
    "image-proxy": "{client} fetched it through its image proxy when the mail was viewed; place and device "
    "are hidden. If you looked at the mail in {client} yourself, it looks just the same.",
    "after-reply": "It came through {client} after the reply. Your own mail is there too: maybe you, reading "
    "the reply.",
    "proxy-click": "An image proxy fetched the link; people do not click through one.",
    "apple-privacy": "Apple Mail loads every picture by itself to protect privacy: it can't tell whether "
    "anybody looked.",
    "bare-agent": "The program said nothing of itself but “Mozilla/5.0”; no browser does that on a click.",
    "gmail-prefetch": "Gmail fetched it ahead, before anybody looked.",
    "link-preview": "{client} fetched the link to draw a preview: somebody pasted it there.",
    "mail-client": "{client} showed the mail, from the reader's own network.",
    "gateway": "{client} checks mail for danger; no person was there.",
    "bot": "An automated program named {client}; no person was there.",
    "no-browser": "A program named {client} followed the link; people follow links in a browser.",
    "filter-network": "It came from {network}, where mail is filtered; no person was there.",
    "security-network": "It came from the security company {network} within minutes of sending: a scan.",
    "hosting-network": "It came from a data centre ({network}) within a minute of sending: a scan.",
    "too-fast": "It came within a second of the hand-over; no person is that fast.",
    "no-agent": "The program did not say what it is, so nothing tells a person from a machine.",
    "strange-agent": "The program is not one that we know, so nothing tells a person from a machine.",
    "browser": "A browser ({client}) fetched it: a person.",
    "link-burst": "Several links of this mail were fetched within seconds: a security scan, not a person.",
    "repeat": "The same program fetched the same thing again within moments: the same view.",
    "recheck": "A data centre fetched the link again right after a click: a gateway checking it once more.",
}

_CLIENTS = {"gateway": "A mail gateway", "link-preview": "A chat", "mail-client": "A mail program"}
_FALLBACK = "It was judged by a rule that is not known here any more ({code})."
_HOLE = re.compile(r"\{(client|method|purpose|network|code)\}")


class Reasoned(Protocol):
    """What has a reason: a stored hit, or a Judgement."""

    @property
    def reason(self) -> str | None: ...
    @property
    def client(self) -> str | None: ...
    @property
    def details(self) -> Any: ...


def sentence(hit: Reasoned) -> str:
    """Why the hit is what it is, in words that a person understands. Never raises, whatever is stored."""
    code = hit.reason
    if code is None:
        return "Not judged yet."
    text = SENTENCES.get(code) or _FALLBACK
    details = hit.details if isinstance(hit.details, Mapping) else {}
    values = {
        "client": hit.client or _CLIENTS.get(code, "unknown"),
        "method": str(details.get("method", "not GET")),
        "purpose": str(details.get("purpose", "prefetch")),
        "network": str(details.get("network", "a mail filter")),
        "code": code,
    }
    # One pass, and no format(): what a stranger sent may hold braces.
    return _HOLE.sub(lambda match: values[match.group(1)], text)
