"""A composed mail, sent by real mail programs through a real provider, with the capture address in BCC."""

from __future__ import annotations

import asyncio
import contextlib
import email
import json
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.clients.conftest import Post
from tests.clients.letters import Letter, Outgoing
from tests.clients.senders import Send
from tests.flows.test_newcomer import SAFARI, short_command
from tests.processes.mailbell import Mailbell, free_port, mailbell

SKEW = 2  # seconds that two clocks may differ by (PRODUCT.md)


async def open_pixel(reply: dict[str, Any], reader: str) -> None:
    url = reply["pixel_url"].replace("localhost", "127.0.0.1")
    headers = {"User-Agent": f"{SAFARI} {reader}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        assert response.status == 200


async def classes(bell: Mailbell, folder: Path) -> list[str]:
    """The classes of all hits in their order, once all are judged."""
    async with asyncio.timeout(30):
        while True:
            code, out, err = await short_command(folder, bell.port, "export", "--format", "json")
            assert code == 0, err
            hits = sorted((json.loads(line) for line in out.splitlines()), key=lambda hit: hit["at"])
            if all(hit["class"] for hit in hits):
                return [hit["class"] for hit in hits]


def bound(folder: Path) -> tuple[str, str, str]:
    """Subject, Message-ID and what armed the only mail."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "mailbell.db")) as file:
        (row,) = file.execute("SELECT subject, message_id_header, armed_by FROM message")
    return row


async def test_bcc_from_a_mail_program_binds_arms_and_corrects(
    post: Post, send: Send, home: Path, tmp_path: Path
):
    settings = {"CAPTURE_PORT": str(post.capture_port), "ARM_AFTER_SECONDS": "0"}
    async with mailbell(tmp_path, "--json", **settings) as bell:
        await bell.say("track https://acme.com/deck")
        reply = await bell.wait_for(lambda line: line["kind"] == "reply")
        await open_pixel(reply, "composing")
        rung = await bell.wait_for(lambda line: line.get("event") == "open")
        await asyncio.sleep(SKEW + 1.1)  # a Date has whole seconds
        page = f'<html><body>Hello <img src="{reply["pixel_url"]}" width=1></body></html>'
        secret = reply["capture_address"]
        letter = Letter("Q3 proposal", page, to=("ana@acme.com",), cc=("bob@acme.com",), bcc=(secret,))
        await send(letter, post.as_outgoing(), home)

        (delivered,) = await post.provider.until(lambda: post.provider.mails("ana@acme.com"))
        assert secret.encode() not in delivered
        await open_pixel(reply, "early")  # after its Date, before its copy arrives
        early = await bell.wait_for(lambda line: line.get("event") == "open" and line is not rung)
        assert early["count"] == 2
        assert bound(tmp_path)[1] is None
        post.gate.is_open.set()

        await bell.wait_for(lambda line: line.get("corrected") and "that was you, composing" in line["text"])
        assert await classes(bell, tmp_path) == ["sender", "human"]
        card = await bell.wait_for(
            lambda line: line["kind"] == "card_edit" and line["text"].startswith('"Q3 proposal" (')
        )
        assert "ana@acme.com" in card["text"]
        assert "bob@acme.com" in card["text"]
        assert "opened ×1" in card["text"]
        assert secret not in card["text"]
        id_ = str(email.message_from_bytes(delivered)["Message-ID"]).strip("<> ")
        assert bound(tmp_path) == ("Q3 proposal", id_, "capture")
        assert await bell.end() == 0
    assert sum(bool(line.get("corrected")) for line in bell.lines) == 1


@pytest.mark.long
async def test_a_mail_program_that_talks_to_the_capture_port_itself(send: Send, home: Path, tmp_path: Path):
    port = free_port()
    async with mailbell(tmp_path, "--json", CAPTURE_PORT=str(port)) as bell:
        await bell.say("track ana@acme.com")
        reply = await bell.wait_for(lambda line: line["kind"] == "reply")
        page = f'<html><body><img src="{reply["pixel_url"]}"></body></html>'
        await send(Letter("Lunch", page, to=(reply["capture_address"],)), Outgoing(port), home)
        await bell.wait_for(lambda line: '"Lunch"' in line["text"])
        assert bound(tmp_path)[2] == "capture"
        assert await bell.end() == 0
