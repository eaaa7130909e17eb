"""Text on its way to and from Slack: harmless when we send it, plain when we read it.

Used by the rest of bot/slack. Everything we show stands in `plain_text` and rich text elements, which Slack
does not parse; only a message's fallback text is parsed, and that is escaped here. Never talks to Slack.
"""

from __future__ import annotations

import html
import re

from bot.words import beginning, one_line, units

# What Slack makes of a typed address: <https://acme.com|acme.com>, <mailto:ana@acme.com|ana@acme.com>.
_LINK = re.compile(r"<((?:https?://|mailto:|tel:)[^<>|\s]*)(?:\|([^<>]*))?>", re.IGNORECASE)
# A user, a channel or a group: <@U1|ana>, <#C1|sales>, <!channel>, <!subteam^S1|@team>.
_MENTION = re.compile(r"<([@#!])([^<>|]*)(?:\|([^<>]*))?>")


def escaped(text: str) -> str:
    """For the one field that Slack parses (the fallback text): no mention, no link can be made of it.

    https://docs.slack.dev/messaging/formatting-message-text: & < > are the only control characters.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def tidy_lines(text: str, limit: int) -> str:
    """Outside text, each line without control and reordering characters, cut to `limit` with "…"."""
    return shortened("\n".join(one_line(line, limit) for line in text.split("\n")), limit)


def shortened(text: str, limit: int) -> str:
    """The text in at most `limit` UTF-16 units; with "…" at the end where some of it is left out."""
    return text if units(text) <= limit else beginning(text, limit - 1).rstrip() + "…"


def understood(text: str) -> str:
    """What a person typed, from what Slack hands over: links and addresses as typed, entities resolved."""
    text = _LINK.sub(_typed_link, text)
    text = _MENTION.sub(_typed_mention, text)
    return html.unescape(text).strip()


def _typed_link(found: re.Match[str]) -> str:
    address, label = found[1], found[2]
    scheme, _, rest = address.partition(":")
    if scheme.lower() in ("mailto", "tel"):
        return label or rest
    # The label of a typed link is the link without its scheme; a tracked link needs the whole.
    return address


def _typed_mention(found: re.Match[str]) -> str:
    kind, name, label = found[1], found[2], found[3]
    if kind == "!":
        return label or f"@{name.partition('^')[0]}"
    return f"{kind}{label or name}"
