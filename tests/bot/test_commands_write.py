"""With a mailbox connected, `track` asks for the text as well, and the bot sends the mail itself."""

from __future__ import annotations

import email
import email.policy
import os
from pathlib import Path

import pytest

from bot.chat import Kind
from bot.forms import command_line
from models import Mailbox, Message
from models.database import take_file_lock
from tests.bot.talk import Person
from tests.conftest import Clock
from tracker.mail.draft import Draft, parse_draft
from tracker.mail.links import shows_address
from tracker.sending.compose import build_mail, link_words
from tracker.sending.spool import Spool, lock_of


@pytest.fixture
def relayed(bot_services):
    """A relay works on this DATA_DIR."""
    lock = take_file_lock(lock_of(bot_services.settings))
    assert lock is not None
    yield
    os.close(lock)


@pytest.fixture
async def mailbox(alice: Person, clock: Clock, relayed) -> Mailbox:
    return await Mailbox.create(
        account=alice.account, address="alice@home.example", provider="other", smtp_host="smtp.home.example",
        smtp_port=587, smtp_security="starttls", created_at=clock(),
    )  # fmt: skip


def spooled(folder: Path) -> list:
    spool = Spool(folder / "spool")
    try:
        return [spool.read(name) for name in spool.names()]
    finally:
        spool.close()


async def test_without_a_mailbox_nobody_is_asked_for_a_text(alice: Person):
    for answer in ("track", "ana@acme.com", "Q3 proposal"):
        reply = await alice.plainly(answer)
    reply = await alice.plainly("-")
    assert "is tracked as" in reply.title
    refused = await alice.types("write ana@acme.com Q3 | Hello")
    assert refused.kind is Kind.ERROR
    assert "connect" in refused.title


async def test_the_questions_end_with_the_text_and_the_mail_goes_to_the_spool(
    alice: Person, mailbox: Mailbox, tmp_path: Path
):
    asked = await alice.types("track")
    assert "Who is it for?" in asked.title
    for answer in ("Ana <ana@acme.com>, bob@acme.com", "Q3 | proposal", "-"):
        asked = await alice.plainly(answer)
    assert "Shall I send it?" in asked.title
    reply = await alice.plainly("Hi, here it is: https://acme.com/deck. Bye")
    assert "On its way to ana@acme.com" in reply.title
    ((envelope, raw),) = spooled(tmp_path)
    assert (envelope.sender, envelope.mailbox_id) == ("alice@home.example", mailbox.id)
    assert envelope.recipients == ("ana@acme.com", "bob@acme.com")
    mail = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert mail["Subject"] == "Q3 / proposal"
    assert str(mail["To"]) == "Ana <ana@acme.com>, bob@acme.com"
    assert mail["Message-ID"].endswith("@home.example>")
    html = mail.get_body(("html",)).get_content()
    assert '<a href="https://acme.com/deck">deck</a>. Bye' in html
    assert "https://acme.com/deck. Bye" in mail.get_body(("plain",)).get_content()
    assert raw.count(b"\r\n") == raw.count(b"\n")
    assert await Message.all().count() == 0  # the relay makes its rows


async def test_without_a_text_it_is_tracked_as_ever(alice: Person, mailbox: Mailbox, tmp_path: Path):
    await alice.types("track")
    for answer in ("ana@acme.com", "Q3 proposal", "-"):
        await alice.plainly(answer)
    reply = await alice.plainly("-")
    assert "is tracked as" in reply.title
    assert spooled(tmp_path) == []


@pytest.mark.parametrize("asked", [True, False], ids=["asked for each part", "typed at once"])
async def test_the_mail_has_the_lines_that_were_typed(
    alice: Person, mailbox: Mailbox, tmp_path: Path, asked: bool
):
    text = "Hi Ana,\n\nhere it is:\nhttps://acme.com/deck\n\nBye"
    if asked:
        await alice.types("track")
        for answer in ("ana@acme.com", "Q3\nproposal", "-", text):
            await alice.plainly(answer)
    else:
        await alice.types(f"write ana@acme.com\nQ3 proposal |\n{text}")
    ((_, raw),) = spooled(tmp_path)
    mail = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert mail["Subject"] == "Q3 proposal"
    assert mail.get_body(("plain",)).get_content().splitlines() == text.splitlines()
    html = mail.get_body(("html",)).get_content()
    assert html.count("<p>") == 3
    assert "here it is:<br>" in html


def test_lines_of_the_text_survive_the_command_line():
    line = command_line("write", {"recipients": "ana@acme.com", "text": "Hi\n\nBye <b>"})
    assert line == "write ana@acme.com | Hi ¶ ¶ Bye <b>"


def test_text_of_a_person_is_no_markup():
    mail = build_mail("Al\r\nBcc: x", "a@home.example", parse_draft("ana@acme.com Q3"), "a < b\n\n<script>")
    html = mail.get_body(("html",)).get_content()
    assert "<p>a &lt; b</p>\n<p>&lt;script&gt;</p>" in html
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://acme.com/deck", "deck"),
        ("https://acme.com/a/Our_offer/", "Our offer"),
        ("https://acme.com", "this link"),
        ("https://acme.com/evil.com", "this link"),
        ("https://acme.com/9f3", "this link"),
        ("https://acme.com/offer.pdf", "offer.pdf"),
    ],
)
def test_a_link_reads_like_no_address(url: str, words: str):
    assert link_words(url) == words
    assert not shows_address(words)


def test_links_that_are_not_in_the_text_stand_below_it():
    draft = Draft("Q3", (), ("https://acme.com/deck",), ("https://acme.com/terms",))
    html = build_mail("", "a@home.example", draft, "Hello").get_body(("html",)).get_content()
    assert '<a href="https://acme.com/deck">deck</a>' in html
    assert '<a href="https://acme.com/terms">https://acme.com/terms</a>' in html
