"""A copy in BCC, through the real process: from smtplib to the chat, with what rang before it corrected."""

from __future__ import annotations

import asyncio
import email.utils
import smtplib
import time
from email.message import EmailMessage

import aiohttp
import pytest

from tests.flows.test_newcomer import SAFARI
from tests.processes.mailbell import Mailbell, free_port, mailbell


def written(body: str, *, number: int = 1, subject: str = "Q3 proposal", date: float | None = None) -> bytes:
    message = EmailMessage()
    message["From"] = "Console <me@home.example>"
    message["To"] = "Ana <ana@acme.com>"
    message["Subject"] = subject
    message["Message-ID"] = f"<{number}@home.example>"
    message["Date"] = email.utils.formatdate(date if date is not None else time.time())
    message.set_content("See the HTML part")
    message.add_alternative(f"<html><body><p>Größe</p>{body}</body></html>", subtype="html")
    return message.as_bytes()


def send(port: int, to: str, raw: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.sendmail("me@home.example", [to], raw)


async def deliver(bell: Mailbell, port: int, to: str, raw: bytes) -> None:
    try:
        await asyncio.to_thread(send, port, to, raw)
    except smtplib.SMTPResponseException as refused:
        raise AssertionError([refused, *bell.errors[-40:]]) from None


async def tracked(bell: Mailbell, text: str) -> dict:
    before = len(bell.lines)
    await bell.say(f"track {text}")
    return await bell.wait_for(lambda line: line["kind"] == "reply" and line in bell.lines[before:])


async def open_pixel(reply: dict, reader: str) -> None:
    url = reply["pixel_url"].replace("localhost", "127.0.0.1")
    headers = {"User-Agent": f"{SAFARI} {reader}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        assert response.status == 200


async def test_the_copy_arms_at_its_date_and_corrects_what_rang(tmp_path):
    port = free_port()
    async with mailbell(tmp_path, "--json", CAPTURE_PORT=str(port), ARM_AFTER_SECONDS="0") as bell:
        reply = await tracked(bell, "ana@acme.com")
        await open_pixel(reply, "composing")
        rung = await bell.wait_for(lambda line: line.get("event") == "open")
        await asyncio.sleep(3.1)  # a Date has whole seconds, and clocks may differ by two
        body = f'<img src="{reply["pixel_url"]}">'
        raw = written(body, date=time.time() + 1)
        begin = time.monotonic()
        name, _, domain = reply["capture_address"].partition("@")
        await deliver(bell, port, f"{name}+noopen2d.blurb@{domain}", raw)
        title = f'"Q3 proposal" ({reply["message"]})'
        await bell.wait_for(lambda line: title in line["text"])
        assert time.monotonic() - begin < 5  # far less where nothing else runs
        notice = await bell.wait_for(lambda line: line.get("event") == "notice")
        assert "if no open is seen, in 2 days" in notice["text"]
        assert "I did not understand +blurb" in notice["text"]
        fixed = await bell.wait_for(lambda line: line.get("corrected"))
        assert fixed["message"] == rung["message"]
        assert "that was you" in fixed["text"]
        await open_pixel(reply, "Ana")
        again = await bell.wait_for(
            lambda line: line.get("event") == "open" and line is not rung and not line.get("corrected")
        )
        assert again["count"] == 1
        assert await bell.end() == 0


async def test_a_copy_without_tokens_is_watched_and_says_so_within_a_second(tmp_path):
    port = free_port()
    async with mailbell(tmp_path, "--json", CAPTURE_PORT=str(port)) as bell:
        await bell.say("capture")
        reply = await bell.wait_for(lambda line: line["kind"] == "reply")
        begin = time.monotonic()
        for _ in range(2):
            await deliver(bell, port, reply["capture_address"], written("", subject="Lunch"))
        notice = await bell.wait_for(lambda line: line.get("event") == "notice")
        card = await bell.wait_for(lambda line: line["kind"] == "card")
        assert time.monotonic() - begin < 5
        assert '"Lunch" is watched for a reply only' in notice["text"]
        assert "watched for a reply only" in card["text"]
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            await asyncio.to_thread(send, port, "nobody@localhost", written(""))
        assert await bell.end() == 0
        notices = [line for line in bell.lines if line.get("event") == "notice"]
        assert len(notices) == 1
        assert not any("@home.example" in line for line in bell.errors)


async def test_a_taken_capture_port_is_told_in_one_line(tmp_path):
    port = free_port()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with mailbell(tmp_path / "a", "--json", CAPTURE_PORT=str(port)) as first:
        await first.say("help")
        await first.wait_for(lambda line: line["kind"] == "reply")
        async with mailbell(tmp_path / "b", "--json", CAPTURE_PORT=str(port)) as second:
            assert await asyncio.wait_for(second.process.wait(), 30) == 2
            await asyncio.gather(*second._readers)
    assert second.errors[-1] == (
        f"CAPTURE_PORT: cannot listen on 127.0.0.1:{port} (Address already in use); put another port, "
        f"such as CAPTURE_PORT={port ^ 1}"
    )
