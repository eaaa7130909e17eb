"""Short ways to the rows that a test begins with: alice owns the instance, bob is in, charlie is not."""

from __future__ import annotations

import datetime as dt
import itertools

from models import Account, Destination, Identity, Link, Message, Recipient
from tracker.keys import new_token

_codes = (f"m{number:05d}" for number in itertools.count(1))


async def account(name: str, now: dt.datetime, *, owner: bool = False, **more: object) -> Account:
    return await Account.create(name=name, is_owner=owner, created_at=now, **more)


async def identity(account: Account, platform: str, user_id: str, *, workspace: str = "") -> Identity:
    return await Identity.create(
        account=account, platform=platform, workspace=workspace, user_id=user_id, name=account.name,
        created_at=account.created_at,
    )  # fmt: skip


async def destination(account: Account, platform: str, chat_id: str, **more: object) -> Destination:
    return await Destination.create(
        account=account, platform=platform, chat_id=chat_id, created_at=account.created_at, **more
    )


async def mail(
    account: Account,
    now: dt.datetime,
    *,
    subject: str = "Q3 proposal",
    to: tuple[str, ...] = ("ana@acme.com",),
    links: tuple[str, ...] = ("https://acme.com/deck",),
    armed: bool = True,
    **more: object,
) -> Message:
    """A composed mail with one shared pixel, its links, and its recipients; armed since `now` by default."""
    message = await Message.create(
        account=account, code=next(_codes), subject=subject, origin="compose", created_at=now,
        arms_at=now + dt.timedelta(seconds=60), armed_at=now if armed else None, **more,
    )  # fmt: skip
    people = [
        await Recipient.create(message=message, address=address, position=position)
        for position, address in enumerate(to)
    ]
    only = people[0] if len(people) == 1 else None
    await Link.create(token=new_token(), kind="open", message=message, recipient=only, created_at=now)
    for position, target in enumerate(links, 1):
        await Link.create(
            token=new_token(), kind="click", message=message, recipient=only, target=target,
            label=target.partition("://")[2], position=position, created_at=now,
        )  # fmt: skip
    return message
