"""People who talk to the bot: alice owns the instance, bob is in, charlie is a stranger."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bot.chat import Incoming, Place, Reply
from bot.conversation import Conversation
from models import Account
from models.wake import Wake
from models.writer import Writer
from tests import builders
from tests.conftest import Clock
from tracker.services import Services
from tracker.settings import load


def services(folder: Path, clock: Clock, writer: Writer | None = None, **settings: str) -> Services:
    """Services of a test, with settings by their names in lower case."""
    given = {"DATA_DIR": str(folder), "SECRET_KEY": "k" * 40, "BASE_URL": "https://t.example"}
    environment = {**given, **{name.upper(): value for name, value in settings.items()}}
    return Services(load(environment, folder), writer=cast(Writer, writer), wake=Wake(), now=clock)


@dataclass
class Person:
    """Somebody with one chat, who types and presses."""

    conversation: Conversation
    name: str
    platform: str = "telegram"
    user_id: str = ""
    workspace: str = ""
    account: Account = field(default=cast(Account, None))

    def __post_init__(self) -> None:
        self.user_id = self.user_id or f"{self.name}-id"

    async def says(self, text: str, **more: Any) -> Reply | None:
        """Types `text`; a command unless told otherwise."""
        place = more.pop("place", None) or self.private
        return await self.conversation.handle(
            Incoming(place=place, user_id=self.user_id, user_name=self.name, text=text, **more)
        )

    async def types(self, text: str, **more: Any) -> Reply:
        """As `says`, where an answer is certain."""
        reply = await self.says(text, **more)
        assert reply is not None
        return reply

    async def plainly(self, text: str) -> Reply:
        """Plain text without a slash in the private chat."""
        return await self.types(text, is_command=False)

    async def presses(self, action: str, **more: Any) -> Reply:
        return await self.types(action, is_button=True, **more)

    @property
    def private(self) -> Place:
        return Place(self.platform, chat_id=self.user_id, workspace=self.workspace)

    def group(self, chat_id: str = "-100") -> Place:
        return Place(self.platform, chat_id=chat_id, workspace=self.workspace, private=False, title="Sales")


async def join(person: Person, clock: Clock, *, owner: bool = False) -> Person:
    """Lets the person in, as a code would."""
    person.account = await builders.account(person.name, clock(), owner=owner)
    await builders.identity(person.account, person.platform, person.user_id, workspace=person.workspace)
    await builders.destination(person.account, person.platform, person.user_id, workspace=person.workspace)
    return person


def actions(reply: Reply) -> list[str]:
    """What the reply's buttons do."""
    return [button.action for row in reply.buttons for button in row]
