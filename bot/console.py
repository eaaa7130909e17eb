"""The chat in the terminal: one command a line, answers in order, rings in between; plain or as JSON lines.

Scripts rely on `--json`: nothing but JSON lines on stdout, one for each message. `__main__` starts it once
the listeners are bound. The end of input closes the console, never the services; rings go on being printed
for as long as somebody reads stdout.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from pathlib import Path
from typing import Protocol

from bot.chat import Incoming, Place, Reply, Sent, TryLaterError
from bot.console_text import CARD_EDIT, Look, drawn
from bot.deliver import pending
from bot.terminal import LineReader, LineWriter, OutputGoneError
from models.writer import WriterDownError
from tracker.services import Services

CONSOLE = "console"
PLACE = Place(platform=CONSOLE, chat_id=CONSOLE)
PROMPT = "mailbell> "
QUIET_POLL_SECONDS = 0.1
GONE_SECONDS = 60.0  # how long the outbox waits before it asks again whether somebody reads
STOP_SECONDS = 5.0
MIN_WIDTH = 40  # narrower, breaking lines helps nobody

_CLEAR_LINE = "\r\x1b[K"

log = logging.getLogger(__name__)


class Listener(Protocol):
    """bot.conversation.Conversation."""

    async def handle(self, incoming: Incoming) -> Reply | None: ...


class ConsoleChat:
    """Implements bot.chat.Chat for the terminal's own user."""

    platform = CONSOLE

    def __init__(
        self,
        services: Services,
        conversation: Listener,
        *,
        as_json: bool = False,
        exit_when_done: bool = False,
        stdin: int = 0,
        stdout: int = 1,
    ) -> None:
        self._services = services
        self._conversation = conversation
        self._json = as_json
        self._exit_when_done = exit_when_done
        self._reader = LineReader(stdin)
        self._writer = LineWriter(stdout)
        self._prompts = not as_json and os.isatty(stdin) and os.isatty(stdout)
        self._stdout = stdout
        self._is_terminal = not as_json and os.isatty(stdout)
        self._asking = False
        self._answering = asyncio.Lock()
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ids = 0
        self._session = secrets.token_hex(3)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._read_commands(), name="console")

    async def stop(self) -> None:
        """Reads no more; the command that is being answered gets a moment to finish."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._answering.acquire()
                self._answering.release()
        except TimeoutError:
            log.warning("a command of the console was not finished")
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def done(self) -> None:
        """Returns when input ended, every command is answered, and nothing is left to be told.

        For `--exit`: held rings are waited for, and hits that are not judged yet. If nobody reads stdout
        any more there is nobody to wait for.
        """
        await self._closed.wait()
        while True:
            if self._writer.gone or await self._is_quiet():
                return
            await asyncio.sleep(QUIET_POLL_SECONDS)

    def health(self) -> str:
        return "nobody reads stdout" if self._writer.gone else "ok"

    async def send(self, place: Place, reply: Reply, *, under: str | None = None) -> Sent:  # noqa: ARG002
        self._ids += 1
        sent = Sent(f"{self._session}-{self._ids}")
        await self._tell(str(reply.kind), reply)
        return sent

    async def edit(self, place: Place, remote_id: str, reply: Reply) -> None:  # noqa: ARG002, a terminal scrolls
        if not reply.data.get("forgotten"):  # nor takes back what it printed
            await self._tell(CARD_EDIT, reply)

    async def _tell(self, kind: str, reply: Reply) -> None:
        """Prints what nobody asked for. An unread stdout is a chat that is away: the outbox keeps it."""
        try:
            await self._print(kind, reply, None)
        except OutputGoneError as error:
            raise TryLaterError("nobody reads stdout", GONE_SECONDS) from error

    async def _is_quiet(self) -> bool:
        """Whether no hit, alert or card is on its way. In the order that they go, so that none slips by."""
        settings = self._services.settings
        chats = {CONSOLE}
        if settings.slack_bot_token is not None:
            chats.add("slack")
        if settings.telegram_bot_token is not None:
            chats.add("telegram")
        try:
            if self._services.writer.queued:
                return False
            await self._services.writer.settle()
            if await self._services.writer.fetch("SELECT id FROM hit WHERE judged_at IS NULL LIMIT 1"):
                return False
            return await pending(self._services, chats) == 0
        except WriterDownError:
            return False

    async def _read_commands(self) -> None:
        number = 0
        try:
            await self._greet()
            while (line := await self._next_line()) is not None:
                text = line.strip()
                if text.lower().lstrip("/") in ("quit", "exit"):
                    break
                if text:
                    number += 1
                    async with self._answering:
                        await self._answer(number, text)
            if self._prompts:
                what = "mailbell ends when all is told" if self._exit_when_done else "mailbell runs on"
                await self._writer.write(f"The console is closed; {what}. Ctrl+C ends it.\n")
        except OutputGoneError:
            log.warning("nobody reads stdout any more; the console is closed")
        finally:
            self._closed.set()

    async def _greet(self) -> None:
        if self._prompts:
            await self._writer.write(
                "Welcome to mailbell. Type demo to hear it ring, help for all it can do.\n"
            )

    async def _next_line(self) -> str | None:
        if self._prompts:
            await self._writer.write(PROMPT)
        self._asking = True
        try:
            return await self._reader.line()
        finally:
            self._asking = False

    async def _answer(self, number: int, text: str) -> None:
        """Hands one line to the conversation, as a command or as a press, and prints what it says."""
        pressed = text.lstrip("/").lower().startswith("press ")
        action = text.partition(" ")[2].strip() if pressed else text.removeprefix("/")
        reply = await self._conversation.handle(
            Incoming(PLACE, CONSOLE, CONSOLE, action, is_button=pressed, is_command=True)
        )
        if reply is not None:
            await self._print(str(reply.kind), reply, number)

    async def _print(self, kind: str, reply: Reply, number: int | None) -> None:
        saved = await _save(reply.file) if reply.file else None
        if self._json:
            await self._writer.write(_json_line(kind, reply, number, saved))
            return
        text = drawn(kind, reply, saved, self._look())
        if self._asking and self._prompts:
            text = f"{_CLEAR_LINE}{text}{PROMPT}"
        await self._writer.write(text)

    def _look(self) -> Look:
        """What stdout is now: its window may have been resized."""
        if not self._is_terminal:
            return Look()
        try:
            columns = os.get_terminal_size(self._stdout).columns
        except OSError:
            columns = 0
        return Look(styled=True, width=max(columns, MIN_WIDTH) if columns else None)


def _json_line(kind: str, reply: Reply, number: int | None, saved: str | None) -> str:
    """One line of `--json`, ASCII only: no character in it can look like a line's end."""
    line = {
        "kind": kind,
        "command": number,
        "text": reply.text,
        "buttons": [{"text": one.text, "action": one.action} for row in reply.buttons for one in row],
        "message": None,
    }
    line |= {name: value for name, value in reply.data.items() if name not in line or name == "message"}
    if saved:
        line["file"] = saved
    return json.dumps(line, default=str) + "\n"


async def _save(file: tuple[str, bytes]) -> str | None:
    """Writes a picture or an export into the working directory, over nothing; its name."""
    name, content = file
    safe = "".join(one for one in Path(name).name if one.isalnum() or one in "-_. ").strip(". ") or "mailbell"

    def write() -> str:
        path = Path(safe)
        for number in range(1, 1000):
            try:
                with path.open("xb") as target:
                    target.write(content)
                return str(path)
            except FileExistsError:
                path = Path(f"{Path(safe).stem}-{number + 1}{Path(safe).suffix}")
        raise FileExistsError(safe)

    try:
        return await asyncio.to_thread(write)
    except OSError as error:
        log.warning("a file could not be saved in the working directory: %s", error.strerror)
        return None
