"""An in-memory chat that takes messages, and that can fail in every way that a real one fails."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.chat import Kind, LostError, NoAnswerError, Place, Reply, Sent, TryLaterError


@dataclass
class Posted:
    """A message as the chat shows it now."""

    remote_id: str
    chat_id: str
    reply: Reply
    under: str | None
    edits: list[Reply] = field(default_factory=list)

    @property
    def shown(self) -> Reply:
        return self.edits[-1] if self.edits else self.reply


@dataclass
class Failure:
    """What happens to one call instead of, or after, its work."""

    error: BaseException | None = None
    works: bool = False  # the message is shown before the error comes
    hangs: bool = False
    matches: Callable[[str, Place, Reply], bool] = lambda call, place, reply: True


class FakeChat:
    """Implements bot.chat.Chat. Failures are used up in order, each by the first call that it matches."""

    def __init__(self, platform: str = "fake") -> None:
        self.platform = platform
        self.posted: list[Posted] = []
        self.calls: list[tuple[str, str]] = []  # (send or edit, chat_id)
        self.failures: deque[Failure] = deque()
        self.always: Failure | None = None
        self.called = asyncio.Event()
        self._ids = itertools.count(1)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def health(self) -> str:
        return "ok"

    async def send(self, place: Place, reply: Reply, *, under: str | None = None) -> Sent:
        failure = self._failure("send", place, reply)
        await self._before(failure)
        if under is not None and self._find(under, place) is None:
            raise LostError("no such message")
        message = Posted(f"m{next(self._ids)}", place.chat_id, reply, under)
        self.posted.append(message)
        self._after(failure)
        return Sent(message.remote_id)

    async def edit(self, place: Place, remote_id: str, reply: Reply) -> None:
        failure = self._failure("edit", place, reply)
        await self._before(failure)
        message = self._find(remote_id, place)
        if message is None:
            raise LostError("no such message")
        message.edits.append(reply)
        self._after(failure)

    # How a test makes it fail.

    def fail(self, error: BaseException, times: int = 1, **more: object) -> None:
        """The next `times` calls raise `error` and show nothing."""
        self.failures.extend(Failure(error, **more) for _ in range(times))  # type: ignore[arg-type]

    def try_later(self, times: int = 1, after: float | None = None) -> None:
        self.fail(TryLaterError("slow down", after), times)

    def lose_answer(self, times: int = 1) -> None:
        """The message is shown, but its answer never arrives."""
        self.failures.extend(Failure(NoAnswerError("cut"), works=True) for _ in range(times))

    def hang(self, chat_id: str) -> None:
        """From now on every call for this chat hangs until it is cancelled."""
        self.always = Failure(hangs=True, matches=lambda call, place, reply: place.chat_id == chat_id)

    def delete(self, remote_id: str) -> None:
        """Somebody deletes a message in the chat."""
        self.posted = [one for one in self.posted if one.remote_id != remote_id]

    # What a test looks at.

    def texts(self, chat_id: str | None = None, kind: Kind = Kind.ALERT) -> list[str]:
        """First lines of what the chat shows now, in order."""
        return [
            one.shown.title
            for one in self.posted
            if one.reply.kind is kind and chat_id in (None, one.chat_id)
        ]

    def only(self, kind: Kind) -> Posted:
        (found,) = [one for one in self.posted if one.reply.kind is kind]
        return found

    def _find(self, remote_id: str, place: Place) -> Posted | None:
        found = (one for one in self.posted if (one.remote_id, one.chat_id) == (remote_id, place.chat_id))
        return next(found, None)

    def _failure(self, call: str, place: Place, reply: Reply) -> Failure | None:
        self.calls.append((call, place.chat_id))
        self.called.set()
        if self.always is not None and self.always.matches(call, place, reply):
            return self.always
        for failure in self.failures:
            if failure.matches(call, place, reply):
                self.failures.remove(failure)
                return failure
        return None

    async def _before(self, failure: Failure | None) -> None:
        await asyncio.sleep(0)
        if failure is None:
            return
        if failure.hangs:
            await asyncio.Event().wait()
        if failure.error is not None and not failure.works:
            raise failure.error

    def _after(self, failure: Failure | None) -> None:
        if failure is not None and failure.works and failure.error is not None:
            raise failure.error
