"""The chat in the terminal: what scripts read line by line, and what people see."""

from __future__ import annotations

import asyncio
import json
import os
import pty
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.chat import Button, Incoming, Kind, Place, Reply, TryLaterError
from bot.console import ConsoleChat
from bot.deliver import Courier
from models import Hit, Link
from tests import builders
from tests.bot.delivery import scene_on

HERE = Place("console", "console")


class Echo:
    """A conversation that says what it heard."""

    def __init__(self) -> None:
        self.heard: list[Incoming] = []
        self.reply: Reply | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def handle(self, incoming: Incoming) -> Reply | None:
        self.heard.append(incoming)
        await self.hold.wait()
        return self.reply or Reply(title=f"heard {incoming.text}")


class Terminal:
    """The other ends of a console's stdin and stdout."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self.stdin, self.stdout = stdin, stdout
        self._buffer = b""

    def type(self, text: str) -> None:
        os.write(self.stdin, text.encode())

    def end_input(self) -> None:
        os.close(self.stdin)
        self.stdin = -1

    def stop_reading(self) -> None:
        os.close(self.stdout)
        self.stdout = -1

    async def read_until(self, part: bytes) -> str:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while part not in self._buffer:
                data = await loop.run_in_executor(None, os.read, self.stdout, 65536)
                assert data, self._buffer
                self._buffer += data
        head, _, self._buffer = self._buffer.partition(part)
        return (head + part).decode()

    async def line(self) -> dict:
        return json.loads(await self.read_until(b"\n"))


@asynccontextmanager
async def open_console(services, conversation, **options):
    their_in, our_in = os.pipe()
    our_out, their_out = os.pipe()
    terminal = Terminal(our_in, our_out)
    console = ConsoleChat(services, conversation, stdin=their_in, stdout=their_out, **options)
    try:
        yield console, terminal
    finally:
        await console.stop()
        for one in (their_in, their_out, terminal.stdin, terminal.stdout):
            if one >= 0:
                os.close(one)


@pytest.fixture
async def scene(sqlite_database, clock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with scene_on(sqlite_database, clock, tmp_path) as built:
        built.home = await builders.destination(built.alice, "console", "console")
        yield built


async def test_each_command_is_answered_in_order_with_its_number(scene):
    async with open_console(scene.services, Echo(), as_json=True) as (console, terminal):
        terminal.type("/track ana@acme.com\n\n  list  \nhelp")
        terminal.end_input()
        await console.start()
        assert await terminal.line() == {
            "kind": "reply", "command": 1, "text": "heard track ana@acme.com", "buttons": [], "message": None,
        }  # fmt: skip
        second, third = await terminal.line(), await terminal.line()
        assert (second["command"], second["text"]) == (2, "heard list")
        assert (third["command"], third["text"]) == (3, "heard help")


async def test_a_command_waits_for_the_answer_of_the_one_before(scene):
    echo = Echo()
    echo.hold.clear()
    async with open_console(scene.services, echo, as_json=True) as (console, terminal):
        await console.start()
        terminal.type("slow\nfast\n")
        while not echo.heard:
            await asyncio.sleep(0.01)
        assert [one.text for one in echo.heard] == ["slow"]
        echo.hold.set()
        assert (await terminal.line())["text"] == "heard slow"
        assert (await terminal.line())["text"] == "heard fast"


async def test_a_button_is_pressed_by_its_action(scene):
    echo = Echo()
    async with open_console(scene.services, echo, as_json=True) as (console, terminal):
        await console.start()
        terminal.type("press mute k7m2qx 1h\n")
        await terminal.line()
    (pressed,) = echo.heard
    assert (pressed.text, pressed.is_button, pressed.user_id) == ("mute k7m2qx 1h", True, "console")


async def test_machine_readable_parts_and_buttons_are_in_the_line(scene):
    echo = Echo()
    echo.reply = Reply(
        title="Tracked.",
        copyable=(("Pixel", "http://localhost/o/x.gif"),),
        buttons=((Button("Sent", "sent k7m2qx"),), (Button("Details", "show k7m2qx"),)),
        data={"message": "k7m2qx", "pixel_url": "http://localhost/o/x.gif", "kind": "forged", "links": []},
    )
    async with open_console(scene.services, echo, as_json=True) as (console, terminal):
        await console.start()
        terminal.type("track ana@acme.com\n")
        line = await terminal.line()
    assert line == {
        "kind": "reply",
        "command": 1,
        "text": "Tracked.\nPixel: http://localhost/o/x.gif",
        "buttons": [
            {"text": "Sent", "action": "sent k7m2qx"},
            {"text": "Details", "action": "show k7m2qx"},
        ],
        "message": "k7m2qx",
        "pixel_url": "http://localhost/o/x.gif",
        "links": [],
    }


async def test_rings_and_cards_are_lines_of_their_own(scene):
    async with open_console(scene.services, Echo(), as_json=True) as (console, terminal):
        courier = Courier(scene.services, {"console": console})
        await scene.dirty_card()
        await courier.deliver_once()
        card = await terminal.line()
        assert (card["kind"], card["command"], card["message"]) == ("card", None, scene.mail.code)
        await scene.opens(1)
        await scene.due()
        scene.clock.advance(seconds=2)
        await courier.deliver_once()
        ring, edit = await terminal.line(), await terminal.line()
    assert ring["kind"] == "alert"
    assert (ring["event"], ring["recipient"], ring["count"]) == ("open", "ana@acme.com", 1)
    assert ring["message"] == scene.mail.code
    assert edit["kind"] == "card_edit"
    assert "opened ×1" in edit["text"]


async def test_a_digest_names_its_alerts(scene):
    for number in range(1, 13):
        await scene.due(ordinal=number)
    scene.clock.advance(seconds=5)
    async with open_console(scene.services, Echo(), as_json=True) as (console, terminal):
        await Courier(scene.services, {"console": console}).deliver_once()
        lines = [await terminal.line() for _ in range(11)]
    assert [one["kind"] for one in lines] == ["alert"] * 10 + ["digest"]
    assert [one["count"] for one in lines[-1]["alerts"]] == [11, 12]


async def test_nothing_in_a_line_can_look_like_its_end(scene):
    echo = Echo()
    echo.reply = Reply(title="one\u2028two\x85three\nfour é \ud800")
    async with open_console(scene.services, echo, as_json=True) as (console, terminal):
        await console.start()
        terminal.type("x\n")
        raw = await terminal.read_until(b"\n")
    assert len(raw.splitlines()) == 1
    assert json.loads(raw)["text"] == echo.reply.title


async def test_errors_have_their_own_kind(scene):
    echo = Echo()
    echo.reply = Reply(title="Which mail?", kind=Kind.ERROR)
    async with open_console(scene.services, echo, as_json=True) as (console, terminal):
        await console.start()
        terminal.type("show\n")
        assert (await terminal.line())["kind"] == "error"


async def test_quit_closes_the_console_and_rings_go_on(scene):
    echo = Echo()
    async with open_console(scene.services, echo, as_json=True) as (console, terminal):
        await console.start()
        terminal.type("quit\nlist\n")
        async with asyncio.timeout(30):
            await console.done()
        assert echo.heard == []
        await scene.due()
        await Courier(scene.services, {"console": console}).deliver_once()
        assert (await terminal.line())["kind"] == "alert"


async def test_exit_waits_for_hits_alerts_and_held_clicks(scene):
    pixel = await Link.get(kind="open")
    hit = await Hit.create(
        uid="a" * 32, at=scene.clock(), kind="open", link_id=pixel.id, message_id=scene.mail.id, method="GET"
    )
    async with open_console(scene.services, Echo(), as_json=True, exit_when_done=True) as (console, terminal):
        await console.start()
        courier = Courier(scene.services, {"console": console})
        done = asyncio.ensure_future(console.done())
        terminal.end_input()
        await console._closed.wait()
        assert not await console._is_quiet()
        held = await scene.due("click", due_at=scene.clock.now.replace(second=10))
        await Hit.filter(id=hit.id).update(judged_at=scene.clock())
        assert not await console._is_quiet()
        assert not done.done()
        scene.clock.advance(seconds=held.due_at.second + 1)
        await courier.deliver_once()
        assert (await terminal.line())["event"] == "click"
        async with asyncio.timeout(30):
            await done


async def test_exit_waits_for_the_command_that_is_being_answered(scene):
    echo = Echo()
    echo.hold.clear()
    async with open_console(scene.services, echo, as_json=True, exit_when_done=True) as (console, terminal):
        await console.start()
        terminal.type("demo\n")
        terminal.end_input()
        done = asyncio.ensure_future(console.done())
        while not echo.heard:
            await asyncio.sleep(0.01)
        assert not done.done()
        echo.hold.set()
        async with asyncio.timeout(30):
            await done
        assert (await terminal.line())["text"] == "heard demo"


async def test_a_vanished_stdout_keeps_the_ring_and_ends_the_waiting(scene):
    async with open_console(scene.services, Echo(), as_json=True, exit_when_done=True) as (console, terminal):
        await console.start()
        terminal.stop_reading()
        with pytest.raises(TryLaterError):
            await console.send(HERE, Reply(title="ring", kind=Kind.ALERT))
        await scene.due()
        await Courier(scene.services, {"console": console}).deliver_once()
        assert await scene.states() == ["waiting"]
        assert console.health() == "nobody reads stdout"
        terminal.end_input()
        async with asyncio.timeout(30):
            await console.done()


async def test_an_answer_to_nobody_closes_the_console_only(scene):
    async with open_console(scene.services, Echo(), as_json=True) as (console, terminal):
        await console.start()
        terminal.stop_reading()
        terminal.type("list\n")
        async with asyncio.timeout(30):
            await console._closed.wait()
        assert console._task is not None
        await console._task


async def test_a_reader_who_does_not_read_blocks_nobody_and_tears_no_line(scene):
    long = Reply(title="x" * 300_000, kind=Kind.ALERT)
    async with open_console(scene.services, Echo(), as_json=True) as (console, terminal):
        stuck = asyncio.ensure_future(console.send(HERE, long))
        await asyncio.sleep(0.05)  # the loop is free meanwhile
        assert not stuck.done()
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
        second = asyncio.ensure_future(console.send(HERE, Reply(title="next", kind=Kind.ALERT)))
        assert len((await terminal.line())["text"]) == 300_000
        assert (await terminal.line())["text"] == "next"
        await second


async def test_input_from_a_file_and_from_nowhere_ends_by_itself(scene, tmp_path):
    (tmp_path / "commands").write_text("list\nhelp\n")
    for source, count in ((tmp_path / "commands", 2), (Path("/dev/null"), 0)):
        echo = Echo()
        with source.open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
            console = ConsoleChat(
                scene.services, echo, as_json=True, stdin=stdin.fileno(), stdout=stdout.fileno()
            )
            await console.start()
            async with asyncio.timeout(30):
                await console.done()
            await console.stop()
        assert len(echo.heard) == count
        assert len((tmp_path / "out").read_text().splitlines()) == count


async def test_input_without_end_or_line_keeps_nobody_waiting(scene, tmp_path):
    with Path("/dev/zero").open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
        console = ConsoleChat(scene.services, Echo(), stdin=stdin.fileno(), stdout=stdout.fileno())
        await console.start()
        async with asyncio.timeout(30):
            for _ in range(100):
                await asyncio.sleep(0)
        await console.stop()


async def test_a_file_is_saved_beside_and_named_and_overwrites_nothing(scene, tmp_path):
    (tmp_path / "stats.png").write_bytes(b"mine")
    echo = Echo()
    echo.reply = Reply(title="Here.", file=("../stats.png", b"PNG"), data={"file": "../stats.png"})
    async with open_console(scene.services, echo, as_json=True) as (console, terminal):
        await console.start()
        terminal.type("best\n")
        assert (await terminal.line())["file"] == "stats-2.png"
    assert (tmp_path / "stats-2.png").read_bytes() == b"PNG"
    assert (tmp_path / "stats.png").read_bytes() == b"mine"


async def test_people_see_text_and_what_to_type(scene):
    async with open_console(scene.services, Echo()) as (console, terminal):
        await scene.due(facts={"after": 60, "client": "Outlook"})
        await Courier(scene.services, {"console": console}).deliver_once()
        text = await terminal.read_until(b"\n\n")
    code = scene.mail.code
    assert text.splitlines() == [
        '"Q3 proposal" was opened by ana@acme.com',
        "a minute after sending · Outlook",
        f"[Details] show {code}   [Mute] mute {code}",
        "",
    ]


async def test_outside_text_cannot_drive_the_terminal(scene):
    echo = Echo()
    echo.reply = Reply(title="a\x1b[2Jb\u202ec\x9bd", lines=("e\rf",))
    async with open_console(scene.services, echo) as (console, terminal):
        await console.start()
        terminal.type("x\n")
        assert await terminal.read_until(b"\n\n") == "a[2Jbcd\nef\n\n"


async def test_a_terminal_gets_a_prompt_that_returns_after_a_ring(scene):
    ours, theirs = pty.openpty()
    terminal = Terminal(ours, ours)
    console = ConsoleChat(scene.services, Echo(), stdin=theirs, stdout=theirs)
    try:
        await console.start()
        await terminal.read_until(b"mailbell> ")
        await scene.due()
        await Courier(scene.services, {"console": console}).deliver_once()
        text = await terminal.read_until(b"mailbell> ")
        assert "\a\x1b[1m" in text
        assert "was opened by ana@acme.com" in text
        assert os.get_blocking(theirs)
        terminal.type("quit\n")
        await terminal.read_until(b"mailbell runs on")
    finally:
        await console.stop()
        os.close(ours)
        os.close(theirs)
