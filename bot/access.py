"""Who may talk to this instance: identities, the codes that let people in, and their private chats.

bot/conversation.py asks `identify` before anything else; the commands `claim`, `start` and `invite` use the
rest. A code is kept as a keyed hash only, works once, and guessing it is braked. Nothing in here tells a
stranger why a code failed: that is up to who catches CodeError.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass

from tortoise.exceptions import IntegrityError

from bot.chat import Incoming, Place
from bot.inbound import first_time
from models import AccessCode, Account, Alert, Destination, Identity, InstanceState, Mailbox, Message
from models.columns import clean_text
from models.database import atomically
from tracker.keys import derived_code, keyed_hash, new_code, new_token
from tracker.services import Services

CONSOLE = "console"
CODE_LENGTH = 12  # 31 letters: 59 bits
INVITATION_LASTS = dt.timedelta(days=7)
GUESSES_PER_HOUR = 5


class CodeError(Exception):
    """The code does not let this person in; the text says why, for somebody who is known already."""


@dataclass(frozen=True)
class Entry:
    """What a code brought about. kind: claim | invite | link."""

    account: Account
    kind: str


async def identify(services: Services, incoming: Incoming) -> Account | None:
    """The account that this person acts for, or None for a stranger. The console's is made when missing."""
    if incoming.place.platform == CONSOLE:
        return await console_account(services)
    found = await _identity(incoming)
    return found.account if found else None


async def _identity(incoming: Incoming) -> Identity | None:
    place = incoming.place
    return await Identity.get_or_none(
        platform=place.platform, workspace=place.workspace, user_id=incoming.user_id
    ).select_related("account")


async def console_account(services: Services) -> Account:
    """The account of the terminal's user, made at the first call with its identity and destination."""
    place = Place(platform=CONSOLE, chat_id=CONSOLE)
    incoming = Incoming(place=place, user_id=CONSOLE, user_name=CONSOLE, text="")
    found = await _identity(incoming)
    if found is None:

        async def work() -> None:
            account = await Account.create(name=CONSOLE, created_at=services.now())
            await _let_in(account, incoming, services.now())

        with suppress(IntegrityError):  # another process of this instance was first
            await atomically(work)
        found = await _identity(incoming)
        assert found is not None
    return found.account


async def attach_terminal(services: Services, attached: bool) -> None:
    """At the start of a worker: the console's destination rings only while a terminal is there to ring in.

    What waits for a terminal that is gone would wait for ever, and /healthz would call it late.
    """
    if attached:
        account = await console_account(services)
        place = Place(platform=CONSOLE, chat_id=CONSOLE)

        async def work() -> None:
            await open_destination(account, place, services.now())

        await atomically(work)
        return
    for one in await Destination.filter(platform=CONSOLE, off_at__isnull=True):
        one.off_at, one.off_reason = services.now(), "no terminal is attached"
        await one.save(update_fields=["off_at", "off_reason"])
        await Alert.filter(destination_id=one.id, state="waiting").update(state="dropped")


async def open_claim_code(services: Services) -> str | None:
    """The code that makes its sender the owner, or None once it was used. The same at every start.

    Only a random text is stored: the code follows from it and SECRET_KEY.
    """
    if await AccessCode.filter(kind="claim", used_at__isnull=False).exists():
        return None
    with suppress(IntegrityError):  # made at an earlier start
        await InstanceState.create(key="claim_nonce", value=new_token())
    nonce = (await InstanceState.get(key="claim_nonce")).value
    code = derived_code(services.settings.key, "claim code", nonce, CODE_LENGTH)
    with suppress(IntegrityError):
        await AccessCode.create(digest=_digest(services, code), kind="claim", created_at=services.now())
    return code


async def make_code(services: Services, account: Account, kind: str) -> str:
    """A new single-use code: `invite` for somebody new, `link` for one's own next chat. Shown once."""
    code = new_code(CODE_LENGTH)
    now = services.now()
    await AccessCode.create(
        digest=_digest(services, code),
        kind=kind,
        account=account,
        created_at=now,
        expires_at=now + INVITATION_LASTS,
    )
    return code


def _digest(services: Services, code: str) -> str:
    """The stored form of a code: typed in capitals or with dashes, it is the same code."""
    plain = "".join(one for one in code.lower() if one.isalnum())
    return keyed_hash(services.settings.key, "access code", plain)


async def redeem(services: Services, incoming: Incoming, code: str) -> Entry:
    """Lets the sender in with a code, once: of two at the same moment, one wins. Raises CodeError."""
    if not await _may_guess(services, incoming):
        raise CodeError("that were too many codes; try again in an hour")
    digest = _digest(services, code)

    async def work() -> Entry:
        return await _redeem(digest, incoming, services.now())

    try:
        return await atomically(work)
    except IntegrityError as error:
        raise CodeError("two codes came at the same moment; send it once more") from error


async def _may_guess(services: Services, incoming: Incoming) -> bool:
    """Takes one of this person's tries of this hour; False when they are used up."""
    place, now = incoming.place, services.now()
    who = f"{place.platform} {place.workspace} {incoming.user_id}"
    hashed = keyed_hash(services.settings.key, "guesses", who)
    for attempt in range(GUESSES_PER_HOUR):
        if await first_time("guess", f"{hashed} {now:%Y%m%d%H} {attempt}", now):
            return True
    return False


async def _redeem(digest: str, incoming: Incoming, now: dt.datetime) -> Entry:
    code = await AccessCode.get_or_none(digest=digest).select_related("account")
    if code is None or code.used_at or (code.expires_at and code.expires_at <= now):
        raise CodeError("that code is not known here, was used, or is older than 7 days; ask for a new one")
    known = await _identity(incoming)
    if known and code.kind == "invite":
        raise CodeError("you are in already; keep that invitation for somebody else")
    if not await AccessCode.filter(id=code.id, used_at__isnull=True).update(used_at=now):
        raise CodeError("somebody just used that code; ask for a new one")
    if code.kind == "link":
        assert code.account is not None
        account = code.account
        if known:
            await _leave(known, account)
            known = None
    elif known:
        account = known.account
    else:
        account = await Account.create(name=_name(incoming), created_at=now)
    if code.kind == "claim":
        account.is_owner = True
        await account.save(update_fields=["is_owner"])
    identity = known or await _let_in(account, incoming, now)
    await AccessCode.filter(id=code.id).update(used_by=identity.id)
    return Entry(account, code.kind)


def _name(incoming: Incoming) -> str:
    return clean_text(incoming.user_name.strip(), 120) or incoming.user_id[:120]


async def _leave(identity: Identity, target: Account) -> None:
    """Takes a known chat out of its account so that it can join `target`; only where nothing gets lost."""
    present = identity.account
    if present.id == target.id:
        raise CodeError("this chat is linked to that account already")
    mails = await Message.filter(account_id=present.id).exclude(origin="demo").count()
    if mails or present.is_owner:
        raise CodeError(
            "this chat has an account of its own, and I cannot merge two; "
            "type `invite me` here and use that code in the other chat"
        )
    await Destination.filter(
        account_id=present.id, platform=identity.platform, workspace=identity.workspace,
        chat_id=identity.user_id,
    ).delete()  # fmt: skip
    await identity.delete()
    if not await Identity.filter(account_id=present.id).exists():
        await present.delete()


async def _let_in(account: Account, incoming: Incoming, now: dt.datetime) -> Identity:
    place = incoming.place
    identity = await Identity.create(
        account=account,
        platform=place.platform,
        workspace=place.workspace,
        user_id=incoming.user_id,
        name=_name(incoming),
        created_at=now,
    )
    await open_destination(account, private_place(incoming), now)
    return identity


def private_place(incoming: Incoming) -> Place:
    """The sender's private chat with the bot: in every chat its id is the person's own."""
    place = incoming.place
    return Place(platform=place.platform, workspace=place.workspace, chat_id=incoming.user_id)


async def find_destination(account: Account, place: Place) -> Destination | None:
    """The account's destination at this place, switched on or off."""
    return await Destination.get_or_none(
        account_id=account.id,
        platform=place.platform,
        workspace=place.workspace,
        chat_id=place.chat_id,
        thread_id=place.thread_id,
    )


async def open_destination(account: Account, place: Place, now: dt.datetime) -> Destination:
    """Makes the place ring for this account, or switches it on again. Call it inside `atomically`."""
    found = await find_destination(account, place)
    if found is None:
        return await Destination.create(
            account=account,
            platform=place.platform,
            workspace=place.workspace,
            chat_id=place.chat_id,
            thread_id=place.thread_id,
            title=clean_text(place.title, 120),
            private=place.private,
            created_at=now,
        )
    if found.off_at is not None:
        found.off_at, found.off_reason, found.failures, found.wait_until = None, None, 0, None
        await found.save(update_fields=["off_at", "off_reason", "failures", "wait_until"])
    return found


async def ring_at(account: Account, place: Place, now: dt.datetime) -> None:
    """As `open_destination`, in a transaction of its own; the same asked for twice at once is no fault."""
    for _ in range(2):
        with suppress(IntegrityError):
            await atomically(lambda: open_destination(account, place, now))
            return


async def remove_account_access(account: Account, now: dt.datetime) -> None:
    """Shows somebody out: no chat acts for the account any more, nothing rings, no mail is taken for it.

    Their links go on working, and mail that waits to be sent is sent.
    """

    async def work() -> None:
        await Identity.filter(account_id=account.id).delete()
        await AccessCode.filter(account_id=account.id, used_at__isnull=True).delete()
        await Destination.filter(account_id=account.id, off_at__isnull=True).update(
            off_at=now, off_reason="removed by the owner"
        )
        await Account.filter(id=account.id).update(capture_secret=None, capture_public=None)
        await Mailbox.filter(account_id=account.id).update(imap_on=False, submission_digest=None)

    await atomically(work)


async def remember_bot_name(platform: str, name: str) -> None:
    """Each chat tells what its bot is called, so that `invite` can write a link; any process reads it."""
    key = f"bot_name:{platform}"
    try:
        await InstanceState.create(key=key, value=name)
    except IntegrityError:
        await InstanceState.filter(key=key).update(value=name)


async def bot_name(platform: str) -> str | None:
    """What `remember_bot_name` was told, or None."""
    found = await InstanceState.get_or_none(key=f"bot_name:{platform}")
    return found.value if found else None
