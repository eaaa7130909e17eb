"""why, me, machine, taught: what people are told of each request, and what they tell."""

from __future__ import annotations

import datetime as dt
import secrets

import pytest

from bot.chat import Kind, Reply
from models import Account, Alert, Hit, Link, Message, OwnDevice, Recipient, Taught
from models.columns import to_micros
from models.writer import RawHit
from tests import builders
from tests.bot.talk import Person, actions
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL
from tracker.hits.judge import Judge
from tracker.hits.reasons import SENTENCES
from tracker.hits.verdicts import Verdict
from tracker.services import Services

CURL = "curl/8.5.0"


class Mailbox:
    """A mail of alice's, and requests for it that are recorded and judged."""

    def __init__(self, services: Services, clock: Clock, mail: Message) -> None:
        self.services, self.clock, self.mail = services, clock, mail

    async def gets(self, agent: str | None, kind: str = "open", *, after: float = 120, **more: object) -> str:
        """A request so many seconds later; its uid."""
        link = await Link.filter(message_id=self.mail.id, kind=kind).order_by("position").first()
        assert link is not None
        at = to_micros(self.clock.advance(seconds=after))
        uid = secrets.token_hex(16)
        network, device = more.get("network", "203.0.113.0/24"), more.get("device")
        hit = RawHit(uid, at, link.token, "GET", None, agent, network, None, device, None)  # type: ignore[arg-type]
        await self.services.writer.record_many([hit])
        while await Judge(self.services).judge_once():
            pass
        return uid


@pytest.fixture
async def box(alice: Person, bot_services: Services, clock: Clock) -> Mailbox:
    mail = await builders.mail(alice.account, clock(), to=("ana@acme.com",))
    return Mailbox(bot_services, clock, mail)


def entries(reply: Reply) -> list[str]:
    return [line for line in reply.lines if line.startswith("#")]


async def test_why_tells_of_each_request_when_what_and_the_reason_newest_first(alice: Person, box: Mailbox):
    await Account.filter(id=alice.account.id).update(timezone="Europe/Madrid")
    await box.gets(APPLE)
    await box.gets(CURL)
    await box.gets(GMAIL)
    await box.gets(CHROME, "click", after=125)
    code = box.mail.code
    reply = await alice.types(f"why {code}")
    assert reply.title == f'"Q3 proposal" ({code}): opens total 3, counted 1; clicks total 1, counted 1.'
    assert reply.lines[0] == "4 requests, newest first:"
    assert entries(reply) == [
        "#4 today 10:08:05 · clicked · acme.com/deck · ana@acme.com · Chrome on Windows, 203.0.113.0/24",
        "#3 today 10:06:00 · opened · ana@acme.com · Gmail, place and device hidden",
        "#2 today 10:04:00 · automated, not counted · ana@acme.com · curl, 203.0.113.0/24",
        "#1 today 10:02:00 · loaded by Apple Mail, not counted · ana@acme.com · Apple Mail, "
        "place and device hidden",
    ]
    said = "\n".join(reply.lines)
    assert "Gmail fetched it through its image proxy when the mail was viewed; place and device are" in said
    assert "It can't tell" in said or "it can't tell" in said
    assert "Confirmed by a later click: a person was there." in said
    assert [one["class"] for one in reply.data["hits"]] == ["human", "proxied", "bot", "privacy"]
    assert all(one["sentence"] for one in reply.data["hits"])


async def test_why_turns_pages_and_numbers_stay(alice: Person, box: Mailbox):
    for _ in range(14):
        await box.gets(GMAIL)
    code = box.mail.code
    first = await alice.types(f"why {code}")
    assert [line.split()[0] for line in entries(first)] == ["#14", "#13", "#12", "#11", "#10", "#9"]
    assert "page 1 of 3" in first.lines[0]
    second = await alice.presses(next(one for one in actions(first) if "page:" in one))
    assert entries(second)[0].startswith("#8 ")
    last = await alice.types(f"why {code} page:99")
    assert [line.split()[0] for line in entries(last)] == ["#2", "#1"]
    assert [one for one in actions(last) if "page:" in one] == [f"why {code} page:2"]


async def test_why_is_narrowed_by_kind_recipient_link_and_what_counts(
    alice: Person, bot_services: Services, clock: Clock
):
    mail = await builders.mail(
        alice.account, clock(), to=("ana@acme.com", "bo@b.org"),
        links=("https://acme.com/deck", "https://acme.com/price"),
    )  # fmt: skip
    box = Mailbox(bot_services, clock, mail)
    await box.gets(GMAIL)
    await box.gets(CURL)
    await box.gets(CHROME, "click")
    bo = await Recipient.get(message_id=mail.id, address="bo@b.org")
    await Hit.filter(verdict="bot").update(recipient_id=bo.id)
    for words, numbers in (
        ("opens", ["#2", "#1"]),
        ("clicks", ["#3"]),
        ("uncounted", ["#2"]),
        ("counted opens", ["#1"]),
        ("BO@b.org", ["#2"]),
        ("deck", ["#3"]),
        ("deck bo@b.org", ["#3", "#2"]),
    ):
        reply = await alice.types(f"why {mail.code} {words}")
        assert [line.split()[0] for line in entries(reply)] == numbers, words
        assert f"for “{words}”" in reply.text
    newest = await alice.types("why Uncounted, opens")
    assert [line.split()[0] for line in entries(newest)] == ["#2"]
    assert "someone of 2" in (await alice.types(f"why {mail.code} deck")).text
    assert "nothing was requested yet" in (await alice.types(f"why {mail.code} price")).title
    wrong = await alice.types(f"why {mail.code} carrots")
    assert wrong.kind is Kind.ERROR
    assert "carrots" in wrong.title


async def test_why_finds_the_mail_as_show_does_and_only_ones_own(alice: Person, bob: Person, box: Mailbox):
    assert "nothing was requested yet" in (await alice.types(f"why {box.mail.code}")).title
    await box.gets(GMAIL)
    assert entries(await alice.types("why"))
    assert entries(await alice.types("why Q3 proposal"))
    assert entries(await alice.types(f"why {box.mail.code.upper()}"))
    assert (await bob.types(f"why {box.mail.code}")).kind is Kind.ERROR
    shown = await alice.types(f"show {box.mail.code}")
    assert f"why {box.mail.code}" in actions(shown)


async def test_a_press_says_that_it_was_me_and_another_takes_it_back(alice: Person, box: Mailbox):
    uid = await box.gets(CHROME, device="mine")
    await box.gets(CHROME, device="mine")
    reply = await alice.types(f"why {box.mail.code}")
    assert f"me {uid}" in actions(reply)
    assert f"machine {uid}" in actions(reply)
    assert max(len(one.encode()) for one in actions(reply)) <= 64
    done = await alice.presses(f"me {uid}")
    assert done.title.startswith("Thank you: that was you, not ana@acme.com.")
    assert "until tomorrow" in done.text or "until Tue 3 Mar" in done.text
    assert "2 events in 1 mail changed with it." in done.lines
    assert await Message.get(id=box.mail.id).values_list("opens", "total_opens") == (0, 2)
    lesson = await Taught.get()
    assert actions(done)[0] == f"taught undo {lesson.id}"
    again = await alice.types(f"why {box.mail.code}")
    assert f"taught undo {lesson.id}" in actions(again)
    assert "You said that this was you." in again.text
    back = await alice.presses(f"taught undo {lesson.id}")
    assert "Taken back: Chrome on Windows was you. 2 events in 1 mail are judged anew." in back.title
    assert (await Message.get(id=box.mail.id)).opens == 2


async def test_typed_by_number_or_the_newest_that_counts(alice: Person, box: Mailbox):
    code = box.mail.code
    assert "No open or click" in (await alice.types(f"me {code}")).title
    await box.gets(CHROME, device="one")
    await box.gets(CHROME, device="two", network="198.51.100.0/24")
    await box.gets(CURL)
    assert (await alice.types(f"machine {code} #1")).data["changed"] == 1
    assert (await alice.types(f"me {code}")).data["changed"] == 1
    hits = await Hit.all().order_by("id")
    assert [hit.reason for hit in hits] == ["told-machine", "told-me", "bot"]
    for wrong in ("0", "4", "x", "99999999999"):
        reply = await alice.types(f"me {code} {wrong}")
        assert reply.kind is Kind.ERROR
        assert f"why {code}" in reply.title
    assert "already" in (await alice.types(f"machine {code} 3")).title
    assert (await alice.types("me")).kind is Kind.ERROR


async def test_what_a_provider_hides_changes_alone_and_says_so(alice: Person, box: Mailbox):
    uid = await box.gets(GMAIL, device="google")
    reply = await alice.presses(f"me {uid}")
    assert "That one only" in reply.text
    await box.gets(GMAIL, device="google")
    assert [hit.verdict for hit in await Hit.all().order_by("id")] == ["sender", "proxied"]


async def test_a_repeat_speaks_for_what_it_repeats(alice: Person, box: Mailbox):
    await box.gets(GMAIL)
    await box.gets(GMAIL, after=3)
    await alice.types(f"me {box.mail.code} 2")
    assert [hit.reason for hit in await Hit.all().order_by("id")] == ["told-me", "repeat"]


async def test_nobody_says_it_of_anothers_mail(alice: Person, bob: Person, box: Mailbox):
    uid = await box.gets(CHROME, device="mine")
    assert (await bob.presses(f"me {uid}")).kind is Kind.ERROR
    assert (await bob.types(f"machine {box.mail.code} 1")).kind is Kind.ERROR
    await alice.presses(f"me {uid}")
    lesson = await Taught.get()
    assert (await bob.presses(f"taught undo {lesson.id}")).kind is Kind.ERROR
    assert (await bob.types("taught")).title == "You told me nothing yet."


async def test_what_was_said_is_listed_a_page_at_a_time(alice: Person, box: Mailbox, clock: Clock):
    for number in range(10):
        uid = await box.gets(CHROME, device=f"d{number}", network=f"198.51.{number}.0/24")
        await alice.presses(f"me {uid}")
    await OwnDevice.create(account_id=alice.account.id, device="x", source="copy-page", seen_at=clock())
    first = await alice.types("taught")
    assert first.title == "You told me 10 things:"
    assert "Chrome on Windows was you" in first.lines[0]
    assert "1 device of yours from the copy page" in first.lines[-1]
    assert actions(first)[-1] == "taught page:2"
    second = await alice.presses("taught page:2")
    assert len(second.data["taught"]) == 2
    assert (await alice.types("settings devices")).title == first.title
    assert (await alice.types("taught nonsense")).kind is Kind.ERROR
    assert (await alice.types("taught undo 999")).kind is Kind.ERROR


async def test_a_forgotten_mail_leaves_what_was_said_of_a_device(alice: Person, box: Mailbox):
    uid = await box.gets(CHROME, device="mine")
    await alice.presses(f"me {uid}")
    await alice.types(f"forget {box.mail.code}")
    await alice.types(f"forget {box.mail.code} yes")
    assert not await Message.filter(id=box.mail.id).exists()
    assert "a forgotten mail" in (await alice.types("taught")).text


async def test_a_ring_that_was_me_is_corrected_where_it_stands(alice: Person, box: Mailbox):
    uid = await box.gets(CHROME, device="mine")
    await Alert.all().update(state="sent", remote_id="9")
    await alice.presses(f"me {uid}")
    alert = await Alert.get(event_key=uid)
    assert alert.fix_text == "Correction, “Q3 proposal”: that was you, as you said, not ana@acme.com."


@pytest.mark.parametrize("code", sorted(SENTENCES))
async def test_every_reason_is_a_sentence_on_every_surface(
    alice: Person, clock: Clock, bot_services: Services, code: str
):
    from tracker.export import export_rows

    mail = await builders.mail(alice.account, clock())
    link = await Link.filter(message_id=mail.id, kind="open").first()
    assert link is not None
    await Hit.create(
        uid=secrets.token_hex(16), at=clock.advance(minutes=1), kind="open", link=link, message=mail,
        recipient_id=link.recipient_id, verdict="bot", reason=code, client="Some Program", judged_at=clock(),
    )  # fmt: skip
    await Message.filter(id=mail.id).update(total_opens=1)
    start = SENTENCES[code].partition("{")[0].strip() or "Some Program"
    for command in ("why", "show"):
        assert start in (await alice.types(f"{command} {mail.code}")).text
    rows = [row async for row in export_rows(bot_services, alice.account)]
    assert [row["reason"] for row in rows] == [code]
    assert start in str(rows[0]["sentence"])


def test_every_class_has_a_word_that_people_read():
    from bot.commands.why import class_word

    for verdict in Verdict:
        hit = Hit(kind="open", verdict=str(verdict), at=dt.datetime.now(dt.UTC))
        word = class_word(hit)
        assert word
        assert ("not counted" in word) is not verdict.counts


async def test_what_is_known_of_a_recipients_side_is_said_before_anyone_relies_on_it(
    alice: Person, bot_services: Services, clock: Clock
):
    for _ in range(2):
        mail = await builders.mail(alice.account, clock())
        await Mailbox(bot_services, clock, mail).gets(APPLE)
    said = "ana@acme.com: opens are not reliable here, because Apple Mail loads every picture by itself"
    assert said in (await alice.types("track ana@acme.com Next one")).text
    assert said in (await alice.types(f"show {mail.code}")).text
    await alice.types("settings mode clicks")
    assert said not in (await alice.types("track ana@acme.com Clicks only https://a.com")).text
