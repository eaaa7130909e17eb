"""Makes a draft into a tracked mail: its rows, its pixel and links, its card in every chat of the account.

Called by the commands (track, link), the demo and tracker/mail/import_list.py. It never sends anything: the
user copies pixel and links into their own mail, from the copy page.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tortoise.exceptions import IntegrityError

from models import Account, Card, Destination, Link, Message, Person, Recipient
from models.database import atomically
from models.wake import OUTBOX
from tracker.destinations import card_places
from tracker.keys import new_code, new_token
from tracker.mail.addresses import capture_addresses
from tracker.mail.draft import MAX_LINKS, Draft, DraftError, is_untracked, parse_draft, read_url
from tracker.mail.opt_out import opted_out
from tracker.mail.tracked import Tracked, copy_url, label_of, link_url, pixel_url, tracked_fields
from tracker.services import Services

__all__ = [
    "Draft",
    "DraftError",
    "Tracked",
    "add_link",
    "parse_draft",
    "track",
    "track_many",
    "tracked_fields",
]

T = TypeVar("T")

_MODES = ("full", "clicks", "off")  # from the most to the least that is recorded
_TRIES = 5


async def track(services: Services, account: Account, draft: Draft, *, origin: str = "compose") -> Tracked:
    """Stores the draft as a tracked mail of `account`, in one transaction. `origin`: see Message.origin."""
    return (await track_many(services, account, [draft], origin=origin))[0]


async def track_many(
    services: Services, account: Account, drafts: Sequence[Draft], *, origin: str = "compose"
) -> list[Tracked]:
    """Stores some drafts (a few hundred at the most) in one transaction; the tracked mails in their order.

    A list's mails get no cards: there the judge makes them at the first counted event.
    """
    if not drafts:
        return []
    batch = _Batch(services, account, origin, services.now(), await _secret_address(services, account))
    tracked = await _retry_on_clash(lambda: batch.store(drafts))
    if origin != "list":
        services.wake.ring(OUTBOX)
    return tracked


async def add_link(services: Services, account: Account, url: str, message: Message | None = None) -> Tracked:
    """A tracked link on its own, or one more of `message`; the same URL again gives the same link.

    Raises DraftError for what cannot be tracked, and LookupError for a mail of another account.
    """
    target = read_url(url)
    if is_untracked(target):
        raise DraftError("That link ends in #notrack. Take #notrack away to have it tracked.")
    if mode_for(account, ()) == "off":
        raise DraftError("Tracking is switched off for you. Switch it on with settings, then try again.")
    if message is None:
        return await track(services, account, Draft(subject=label_of(target), urls=(target,)), origin="link")
    if message.account_id != account.id:
        raise LookupError(f"no such mail of this account: {message.code}")
    link, refused = await _retry_on_clash(lambda: _attach_link(services, message, target))
    services.wake.ring(OUTBOX)
    pixel = await Link.filter(message_id=message.id, kind="open").order_by("id").first()
    return Tracked(
        message=message,
        pixel_url=pixel_url(services, pixel) if pixel else None,
        copy_url=copy_url(services, message),
        capture_address=await _secret_address(services, account),
        links=((target, link_url(services, link)),),
        warnings=tuple(map(_refusal, refused)),
    )


async def _secret_address(services: Services, account: Account) -> str | None:
    both = await capture_addresses(services, account)
    return both[0] if both else None


async def _attach_link(services: Services, message: Message, target: str) -> tuple[Link, list[str]]:
    """The link of `message` to `target`, and the addresses that keep it from recording."""
    if message.mode == "off":
        raise DraftError(
            f"The mail {message.code} is not tracked, so a link in it cannot be. Make a new one with track."
        )
    links = await Link.filter(message_id=message.id, kind="click").order_by("position")
    recipients = await Recipient.filter(message_id=message.id).order_by("position")
    refused = [one.address for one in recipients if one.opted_out_at is not None]
    same = next((link for link in links if link.target == target), None)
    if same is not None:
        return same, refused
    if len(links) >= MAX_LINKS:
        raise DraftError(
            f"The mail {message.code} has {MAX_LINKS} links already. Make a new mail with track."
        )
    link = await Link.create(
        token=new_token(),
        kind="click",
        message=message,
        recipient=recipients[0] if len(recipients) == 1 else None,
        target=target,
        label=label_of(target),
        position=max((link.position for link in links), default=0) + 1,
        recording=not refused,
        created_at=services.now(),
    )
    await Card.filter(message_id=message.id).update(dirty_at=services.now())
    return link, refused


def mode_for(account: Account, addresses: Iterable[str]) -> str:
    """full, clicks or off: the strictest of the account's mode and those set for the recipients' domains.

    A domain's mode, in `preferences["domains"]`, holds for its subdomains too.
    """
    preferences = account.preferences if isinstance(account.preferences, dict) else {}
    domains = preferences.get("domains") or {}
    modes: list[str | None] = [account.mode]
    for address in addresses:
        labels = address.rpartition("@")[2].split(".")
        modes += [domains.get(".".join(labels[start:])) for start in range(len(labels))]
    return max((mode for mode in modes if mode in _MODES), key=_MODES.index, default=_MODES[0])


async def _retry_on_clash(work: Callable[[], Awaitable[T]]) -> T:
    """A code or a person that two made at once: the loser's whole transaction runs again."""
    for _ in range(_TRIES - 1):
        try:
            return await atomically(work)
        except IntegrityError:
            continue
    return await atomically(work)


def _refusal(address: str) -> str:
    return f"{address} opted out of tracking: the links work, and nothing is recorded."


@dataclass
class _Batch:
    """Drafts on their way into the tables, within one transaction."""

    services: Services
    account: Account
    origin: str
    now: dt.datetime
    capture_address: str | None

    async def store(self, drafts: Sequence[Draft]) -> list[Tracked]:
        addresses = {one.address for draft in drafts for one in draft.recipients}
        refused = await opted_out(self.services, addresses)
        people = await self._people(drafts)
        messages = await self._messages(drafts)
        await Recipient.bulk_create(
            Recipient(
                message_id=message.id,
                person_id=people[one.address],
                address=one.address,
                name=one.name,
                position=position,
                opted_out_at=self.now if one.address in refused else None,
            )
            for message, draft in zip(messages, drafts, strict=True)
            for position, one in enumerate(draft.recipients)
        )
        only = await self._only_recipients(messages, drafts)
        links = {
            message.id: self._links(message, draft, only.get(message.id), refused)
            for message, draft in zip(messages, drafts, strict=True)
        }
        await Link.bulk_create(link for several in links.values() for link in several)
        await self._post_cards(messages)
        return [
            self._tracked(message, draft, links[message.id], refused)
            for message, draft in zip(messages, drafts, strict=True)
        ]

    async def _people(self, drafts: Sequence[Draft]) -> dict[str, int]:
        """Row ids of the people by address; who is new is added, a name that is new is kept."""
        names: dict[str, str] = {}
        for draft in drafts:
            for one in draft.recipients:
                names[one.address] = names.get(one.address) or one.name
        known = await Person.filter(account_id=self.account.id, address__in=list(names))
        for person in known:
            if not person.name and names[person.address]:
                await Person.filter(id=person.id).update(name=names[person.address])
        new = names.keys() - {person.address for person in known}
        if new:
            await Person.bulk_create(
                Person(account_id=self.account.id, address=address, name=names[address], created_at=self.now)
                for address in sorted(new)
            )
            known += await Person.filter(account_id=self.account.id, address__in=list(new))
        return {person.address: person.id for person in known}

    async def _messages(self, drafts: Sequence[Draft]) -> list[Message]:
        codes = [new_code() for _ in drafts]
        arms_at = self.now + dt.timedelta(seconds=self.services.settings.arm_after_seconds)
        await Message.bulk_create(
            Message(
                account_id=self.account.id,
                code=code,
                subject=draft.subject,
                origin=self.origin,
                mode=self._mode(draft),
                created_at=self.now,
                arms_at=arms_at,
                details={"untracked": list(draft.untracked)} if draft.untracked else None,
            )
            for code, draft in zip(codes, drafts, strict=True)
        )
        stored = {message.code: message for message in await Message.filter(code__in=codes)}
        return [stored[code] for code in codes]

    def _mode(self, draft: Draft) -> str:
        """A link on its own has no mail to put a pixel into."""
        mode = mode_for(self.account, (one.address for one in draft.recipients))
        return "clicks" if self.origin == "link" and mode == "full" else mode

    async def _only_recipients(self, messages: Sequence[Message], drafts: Sequence[Draft]) -> dict[int, int]:
        """Recipient ids by message id, of the mails that go to one person: pixel and links are theirs."""
        single = [
            message.id for message, draft in zip(messages, drafts, strict=True) if len(draft.recipients) == 1
        ]
        rows = await Recipient.filter(message_id__in=single).values_list("message_id", "id") if single else []
        return {int(str(message)): int(str(recipient)) for message, recipient in rows}

    def _links(
        self, message: Message, draft: Draft, recipient_id: int | None, refused: set[str]
    ) -> list[Link]:
        """The pixel, where opens are to be seen, then the links in their order; none in mode off."""
        targets: list[str | None] = [None] if message.mode == "full" else []
        targets += draft.urls if message.mode != "off" else ()
        recording = not any(one.address in refused for one in draft.recipients)
        return [
            Link(
                token=new_token(),
                kind="open" if target is None else "click",
                message_id=message.id,
                recipient_id=recipient_id,
                target=target,
                label=label_of(target) if target is not None else "",
                position=0 if target is None else 1 + draft.urls.index(target),
                recording=recording,
                created_at=self.now,
            )
            for target in targets
        ]

    async def _post_cards(self, messages: Sequence[Message]) -> None:
        if self.origin == "list":
            return
        destinations = await Destination.filter(account_id=self.account.id, off_at__isnull=True)
        await Card.bulk_create(
            Card(
                message_id=message.id,
                destination_id=destination.id,
                created_at=self.now,
                dirty_at=self.now,
            )
            for message in messages
            for destination in card_places(destinations)
        )

    def _tracked(self, message: Message, draft: Draft, links: Sequence[Link], refused: set[str]) -> Tracked:
        pixel = next((link for link in links if link.kind == "open"), None)
        warnings = [*draft.warnings]
        warnings += [_refusal(one.address) for one in draft.recipients if one.address in refused]
        return Tracked(
            message=message,
            pixel_url=pixel_url(self.services, pixel) if pixel else None,
            copy_url=copy_url(self.services, message),
            capture_address=self.capture_address,
            links=tuple(
                (link.target, link_url(self.services, link)) for link in links if link.target is not None
            ),
            warnings=tuple(warnings),
        )
