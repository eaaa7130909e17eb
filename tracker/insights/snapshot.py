"""A mail as it stands now: what cards and `show` are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from models import Link, Message, Recipient


@dataclass(frozen=True)
class Snapshot:
    """A mail with its recipients (in the order of the To line) and its tokens."""

    message: Message
    recipients: tuple[Recipient, ...]
    links: tuple[Link, ...]

    @property
    def shares_pixel(self) -> bool:
        """Whether several people share one pixel: an open is then by "someone of 3"."""
        if self.message.origin == "send":
            return False  # each copy has its own, or none
        return len(self.recipients) != 1 and all(link.recipient_id is None for link in self.links)


async def snapshot(message_id: int) -> Snapshot | None:
    """The mail with this row id, or None when it is gone."""
    message = await Message.get_or_none(id=message_id)
    if message is None:
        return None
    recipients = await Recipient.filter(message_id=message_id).order_by("position", "id")
    links = await Link.filter(message_id=message_id).order_by("position", "id")
    return Snapshot(message, tuple(recipients), tuple(links))
