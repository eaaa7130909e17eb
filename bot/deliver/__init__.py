"""From the outbox into the chats: rings, cards, digests, corrections, each at least once.

The rows are the truth: `Courier` claims a destination with a lease, sends, then marks what the chat took.
"""

from bot.deliver.backlog import oldest_alert_seconds, pending
from bot.deliver.courier import Courier
from bot.deliver.leases import release_stale_leases

__all__ = ["Courier", "oldest_alert_seconds", "pending", "release_stale_leases"]
