"""How cards, rings and digests read. Pure: rows in, neutral Reply out; no I/O, no clock of its own.

Called by bot/deliver (and by `show` for a mail's rows). Tracked URLs never appear in any of them: an unfurler
that fetches one makes a false hit.
"""

from bot.render.away import away
from bot.render.cards import card, fingerprint
from bot.render.digests import DIGEST_LIMIT, Part, digests
from bot.render.rings import Ring, correction, forgotten, plain, ring, sentence, withdrawal

__all__ = [
    "DIGEST_LIMIT",
    "Part",
    "Ring",
    "away",
    "card",
    "correction",
    "digests",
    "fingerprint",
    "forgotten",
    "plain",
    "ring",
    "sentence",
    "withdrawal",
]
