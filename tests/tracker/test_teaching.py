"""What people say of a hit holds for the hit, for what is like it, and can be taken back."""

import datetime as dt

import pytest

from models import Account, Alert, Hit, Message, Taught
from tests import builders
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL, SAFARI, Court, check_sums, court
from tracker.hits import teaching
from tracker.hits.judge import Judge
from tracker.hits.rescore import rescore
from tracker.hits.taught import MACHINE, ME

OTHER = "198.51.100.0/24"


async def tell(room: Court, uid: str, answer: str, account: Account | None = None) -> Taught:
    lesson = await teaching.teach(room.services, account or room.alice, await Hit.get(uid=uid), answer)
    progress = await teaching.apply(room.services, lesson)
    assert progress.done
    return lesson


async def take_back(room: Court, lesson: Taught) -> None:
    undone = await teaching.undo(room.services, room.alice, lesson.id)
    assert undone is not None
    await teaching.apply(room.services, undone)


async def reasons(room: Court, *mails: Message) -> list[str]:
    hits = await Hit.filter(message_id__in=[mail.id for mail in mails]).order_by("at", "id")
    return [str(hit.reason) for hit in hits]


async def test_that_was_me_takes_the_device_out_of_all_the_accounts_mails(room: Court):
    first, second = await room.mail(), await room.mail()
    uids = []
    for mail, device in ((first, "mine"), (second, "mine"), (second, "hers"), (first, "mine")):
        room.clock.advance(minutes=5)
        uids.append(await room.request(await room.pixel(mail), CHROME, device=device))
    await room.judge_all()
    await Alert.filter(event_key=uids[1]).update(state="sent", remote_id="7")
    lesson = await tell(room, uids[0], ME)
    assert await reasons(room, first, second) == ["told-me", "told-device", "browser", "told-device"]
    assert await room.verdicts(first) == ["sender", "sender"]
    alert = await Alert.get(event_key=uids[1])
    assert alert.fix_text == (
        "Correction, “Q3 proposal”: that was you, on a device that you said is yours, not ana@acme.com."
    )
    assert await room.rung() == [("open", 1)]
    await check_sums()
    await take_back(room, lesson)
    assert await reasons(room, first, second) == ["browser"] * 4
    assert not await Taught.exists()
    assert (await Alert.get(event_key=uids[1])).fix_text is None
    await check_sums()


async def test_what_comes_from_the_device_later_is_known_at_once_for_a_day(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=5)
    pixel = await room.pixel(mail)
    await tell(room, await _judged(room, pixel, device="mine"), ME)
    for wait in ({"hours": 23, "minutes": 59}, {"minutes": 2}):
        room.clock.advance(**wait)
        await room.request(pixel, CHROME, device="mine")
        await room.judge_all()
    assert await reasons(room, mail) == ["told-me", "told-device", "browser"]
    await check_sums()


async def _judged(room: Court, link, agent: str | None = CHROME, **more) -> str:
    uid = await room.request(link, agent, **more)
    await room.judge_all()
    return uid


async def test_it_holds_in_a_trial_too_where_devices_are_not_learned_by_themselves(
    sqlite_database, clock: Clock
):
    async with court(sqlite_database, clock, base_url="http://localhost:8080") as room:
        assert room.services.settings.is_trial
        mail = await room.mail()
        room.clock.advance(minutes=5)
        await tell(room, await _judged(room, await room.pixel(mail), device="mine"), ME)
        room.clock.advance(minutes=5)
        await _judged(room, await room.pixel(mail), device="mine")
        assert await reasons(room, mail) == ["told-me", "told-device"]


@pytest.mark.parametrize(
    ("agent", "label"),
    [(GMAIL, None), (APPLE, None), (SAFARI, "relay/Apple")],
    ids=["gmail", "apple", "relay"],
)
@pytest.mark.parametrize("answer", [ME, MACHINE])
async def test_what_many_people_share_is_never_taught(
    lite: Court, agent: str, label: str | None, answer: str
):
    mail = await lite.mail()
    pixel = await lite.pixel(mail)
    uids = []
    for _ in range(2):
        lite.clock.advance(minutes=5)
        uids.append(await _judged(lite, pixel, agent, device="google", label=label))
    before = await reasons(lite, mail)
    lesson = await tell(lite, uids[0], answer)
    assert (lesson.device, lesson.network, lesson.agent_id) == (None, None, None)
    lite.clock.advance(minutes=5)
    await _judged(lite, pixel, agent, device="google", label=label)
    assert await reasons(lite, mail) == [f"told-{answer}", before[1], before[1]]
    await check_sums()


async def test_a_repeat_of_what_was_told_is_no_new_open(room: Court):
    mail = await room.mail()
    room.clock.advance(minutes=5)
    pixel = await room.pixel(mail)
    first = await _judged(room, pixel, GMAIL)
    room.clock.advance(seconds=3)
    await _judged(room, pixel, GMAIL)
    assert await room.verdicts(mail) == ["proxied", "duplicate"]
    await tell(room, first, ME)
    assert await room.verdicts(mail) == ["sender", "duplicate"]
    room.clock.advance(seconds=3)
    await _judged(room, pixel, GMAIL)
    assert await room.verdicts(mail) == ["sender", "duplicate", "duplicate"]
    assert await rescore(room.services, mail.id) == []
    await check_sums()


async def test_not_a_person_holds_for_the_same_program_in_the_same_network(room: Court):
    mail, other = await room.mail(), await room.mail(subject="Other")
    uids = []
    for message, agent, network in (
        (mail, CHROME, OTHER),
        (other, CHROME, OTHER),
        (other, SAFARI, OTHER),
        (other, CHROME, "203.0.113.0/24"),
    ):
        room.clock.advance(minutes=5)
        uids.append(await _judged(room, await room.pixel(message), agent, network=network))
    lesson = await tell(room, uids[0], MACHINE)
    assert await reasons(room, mail, other) == ["told-machine", "told-source", "browser", "browser"]
    assert await room.verdicts(mail) == ["bot"]
    room.clock.advance(days=40)
    await _judged(room, await room.pixel(mail), CHROME, network=OTHER)
    assert (await reasons(room, mail))[-1] == "told-source"
    await check_sums()
    await take_back(room, lesson)
    assert await reasons(room, mail, other) == ["browser"] * 5


async def test_a_program_without_a_name_teaches_its_network_only(room: Court):
    mail = await room.mail()
    for agent in (None, CHROME):
        room.clock.advance(minutes=5)
        await _judged(room, await room.pixel(mail), agent)
    first = await Hit.filter(message_id=mail.id).order_by("id").first()
    assert first is not None
    await tell(room, first.uid, MACHINE)
    assert await reasons(room, mail) == ["told-machine", "browser"]


async def test_the_later_word_on_a_hit_or_device_holds(lite: Court):
    mail = await lite.mail()
    uids = []
    for _ in range(2):
        lite.clock.advance(minutes=5)
        uids.append(await _judged(lite, await lite.pixel(mail), device="d"))
    await tell(lite, uids[0], MACHINE)
    await tell(lite, uids[0], ME)
    assert await reasons(lite, mail) == ["told-me", "told-device"]
    lite.clock.advance(minutes=5)
    await tell(lite, uids[1], MACHINE)
    assert await reasons(lite, mail) == ["told-me", "told-machine"]
    assert await Taught.all().count() == 2


async def test_nobody_elses_word_counts(lite: Court):
    bob = await builders.account("bob", lite.clock())
    mail, bobs = await lite.mail(), await builders.mail(bob, lite.clock())
    lite.clock.advance(minutes=5)
    uid = await _judged(lite, await lite.pixel(mail), device="d")
    await _judged(lite, await lite.pixel(bobs), device="d")
    lesson = await tell(lite, uid, ME)
    assert await reasons(lite, bobs) == ["browser"]
    assert await teaching.undo(lite.services, bob, lesson.id) is None


async def test_a_judge_at_work_meanwhile_does_not_overlook_it(room: Court, monkeypatch):
    mail = await room.mail()
    room.clock.advance(minutes=5)
    pixel = await room.pixel(mail)
    first = await _judged(room, pixel, device="mine")
    room.clock.advance(minutes=5)
    await room.request(pixel, CHROME, device="mine")
    judge, told = Judge(room.services), False
    real = judge._judge

    async def slow(docket) -> None:
        nonlocal told
        if not told:
            told = True
            await tell(room, first, ME)
        await real(docket)

    monkeypatch.setattr(judge, "_judge", slow)
    await judge.judge_once()
    assert await reasons(room, mail) == ["told-me", "told-device"]


async def test_what_a_command_left_undone_is_finished_and_told(room: Court):
    await builders.destination(room.alice, "slack", "C1", private=False)
    mails = [await room.mail(subject=f"Mail {number}") for number in range(4)]
    uids = []
    for mail in mails:
        room.clock.advance(minutes=5)
        uids.append(await _judged(room, await room.pixel(mail), device="mine"))
    lesson = await teaching.teach(room.services, room.alice, await Hit.get(uid=uids[2]), ME)
    progress = await teaching.apply(room.services, lesson, seconds=0)
    assert (progress.done, progress.hits) == (False, 1)
    assert await room.verdicts(mails[2]) == ["sender"]
    assert await teaching.catch_up(room.services) == 0
    room.clock.advance(minutes=1)
    assert await teaching.catch_up(room.services) == 1
    assert await reasons(room, *mails) == ["told-device", "told-device", "told-me", "told-device"]
    notice = await Alert.get(event="notice")
    assert notice.destination_id == room.chat.id
    assert "3 events in 3 mails" in notice.facts["text"]
    assert await teaching.catch_up(room.services) == 0
    await check_sums()


async def test_what_was_taken_back_in_a_hurry_goes_too(lite: Court):
    mail = await lite.mail()
    lite.clock.advance(minutes=5)
    lesson = await tell(lite, await _judged(lite, await lite.pixel(mail), device="mine"), ME)
    assert await teaching.undo(lite.services, lite.alice, lesson.id) is not None
    assert await teaching.undo(lite.services, lite.alice, lesson.id) is None
    lite.clock.advance(minutes=1)
    assert await teaching.catch_up(lite.services) == 1
    assert await reasons(lite, mail) == ["browser"]
    assert not await Taught.exists()


async def test_a_click_that_was_no_person_makes_the_others_around_it_a_scan(lite: Court):
    mail = await lite.mail(links=("https://a.com", "https://b.com"))
    lite.clock.advance(minutes=5)
    load = await lite.request(await lite.pixel(mail), APPLE, at=lite.clock() - dt.timedelta(seconds=30))
    click = await _judged(lite, await lite.link(mail, 1), SAFARI, device="x")
    assert (await Hit.get(uid=load)).confirmed_by == click
    await tell(lite, click, MACHINE)
    assert (await Hit.get(uid=load)).confirmed_by is None
    lite.clock.advance(seconds=1)
    await _judged(lite, await lite.link(mail, 2), CHROME, network=OTHER)
    assert await reasons(lite, mail) == ["apple-privacy", "told-machine", "link-burst"]
    await check_sums()
