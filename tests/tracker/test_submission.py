"""The submission server over real connections: how mail gets in, and how it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Clock
from tests.tracker.sending import ALICE, ANA, Office, mail, office


@pytest.fixture
async def post(sqlite_database, clock: Clock, tmp_path: Path) -> AsyncIterator[Office]:
    async with office(sqlite_database, clock, tmp_path) as running:
        yield running


async def test_a_mail_is_in_the_spool_as_it_came_before_the_250(post: Office, clock: Clock):
    raw = mail(1)
    assert await post.send(raw, ANA, "ben@acme.com") == {}
    ((envelope, kept),) = post.waiting()
    assert kept == raw
    assert (envelope.sender, envelope.recipients) == (ALICE, (ANA, "ben@acme.com"))
    assert (envelope.account_id, envelope.mailbox_id) == (post.alice.id, post.mailbox.id)
    assert (envelope.arrived, envelope.network) == (clock(), "127.0.0.0/24")
    assert post.taken == post.spool.names()


async def test_tls_from_the_first_byte_takes_mail_too(post: Office):
    async with post.talk(login=True) as talk:
        assert (await talk.begin()).startswith("354")
        assert (await talk.say(mail(1) + b".")).startswith("250")
        assert (await talk.say("QUIT")).startswith("221")
    assert len(post.waiting()) == 1
