"""Scenarios as people and machines make them: requests in time, and what each is taken for.

A step is (seconds after sending, what, agent, more): `what` is "open" or the number of a link.
"""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import Hit, Link, Message
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL, SAFARI, check_sums, court
from tracker.hits import own_devices
from tracker.hits.agents import AgentKind, agent_of
from tracker.hits.classify import classify
from tracker.hits.evidence import HitFacts, Judgement, MailFacts
from tracker.hits.reasons import SENTENCES, sentence
from tracker.hits.verdicts import Verdict

PREFETCH = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"  # noqa: E501
OUTLOOK = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Trident/7.0; .NET4.0C; .NET4.0E; Microsoft Outlook 16.0.17328; ms-office; MSOffice 16)"  # noqa: E501
OUTLOOK_IOS = "Outlook-iOS/709.2226530.prod.iphone (3.24.1)"
ONE_OUTLOOK = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0.0.0 OneOutlook/1.2023.1214.201"  # noqa: E501
MAC_OUTLOOK = "MacOutlook/16.81.24020514 (Intelx64 Mac OS X Version 14.3 (Build 23D56))"
THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0"
APPLE_MAIL = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE_MAIL = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"  # noqa: E501
CUBOT = "Mozilla/5.0 (Linux; Android 11; CUBOT_NOTE_20 Build/RP1A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.43 Mobile Safari/537.36"  # noqa: E501
ROBOT_PHONE = "Mozilla/5.0 (Linux; Android 13; Robot Spider X Build/TP1A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"  # noqa: E501
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0"  # noqa: E501
YAHOO = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
HEY = "hey.com/imageproxy Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36"  # noqa: E501
SEZNAM = "SeznamEmailProxy/2.0.220"
FASTMAIL = "FastmailUA/1.0"
GOOGLEBOT_PHONE = "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"  # noqa: E501
HEADLESS = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36"  # noqa: E501
SLACK = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"
TELEGRAM = "TelegramBot (like TwitterBot)"
WHATSAPP = "WhatsApp/2.23.20.0"
BARRACUDA = "BarracudaCentral/1.0 (Barracuda Sentinel (EE))"
OFFICE_WORD = "Microsoft Office Word 2014"
DISCOVERY = "Microsoft Office Existence Discovery"
DAY = 86_400
HOME, WORK, EOP = "203.0.113.0/24", "198.51.100.0/24", "40.107.0.0/24"

Step = tuple[float, str | int, str | None, dict[str, Any]]


def at(seconds: float, what: str | int, agent: str | None = CHROME, **more: Any) -> Step:
    return seconds, what, agent, more


SCENARIOS: dict[str, tuple[list[Step], str]] = {
    # Gmail: never judged by timing.
    "gmail two seconds after sending": ([at(2, "open", GMAIL)], "proxied"),
    "gmail thirty seconds after sending": ([at(30, "open", GMAIL)], "proxied"),
    "gmail three days after sending": ([at(3 * DAY, "open", GMAIL)], "proxied"),
    "gmail fetches ahead, then the view": (
        [at(1, "open", PREFETCH), at(300, "open", GMAIL)], "prefetch proxied"),
    "gmail viewed twice, a minute apart": (
        [at(60, "open", GMAIL), at(120, "open", GMAIL)], "proxied proxied"),
    "gmail fetches twice for one view": ([at(60, "open", GMAIL), at(64, "open", GMAIL)], "proxied duplicate"),
    "gmail's proxy is not folded after ten seconds": (
        [at(60, "open", GMAIL), at(72, "open", GMAIL)], "proxied proxied"),
    "gmail's proxy on a link is no person": ([at(60, 1, GMAIL)], "bot"),
    "gmail then a click at home": ([at(60, "open", GMAIL), at(75, 1, CHROME)], "proxied human"),
    # Other providers' proxies.
    "yahoo": ([at(1, "open", YAHOO)], "proxied"),
    "hey": ([at(5, "open", HEY)], "proxied"),
    "fastmail": ([at(5, "open", FASTMAIL)], "proxied"),
    "seznam": ([at(5, "open", SEZNAM)], "proxied"),
    "a proxy of a provider that nobody knows yet": ([at(5, "open", "AcmeMail-ImageProxy/3.1")], "proxied"),
    "a proxy from a mail filter's network still counts": (
        [at(5, "open", YAHOO, label="exchange-online-protection")], "proxied"),
    # Apple.
    "apple privacy four hours later": ([at(4 * 3600, "open", APPLE)], "privacy"),
    "apple privacy at once and again": ([at(3, "open", APPLE), at(40, "open", APPLE)], "privacy privacy"),
    "apple privacy, then a click through the relay": (
        [at(3, "open", APPLE), at(600, 1, SAFARI, label="apple-relay")], "privacy human"),
    "a bare agent on a link": ([at(60, 1, APPLE)], "bot"),
    "apple mail on a mac without privacy": ([at(60, "open", APPLE_MAIL)], "human"),
    "apple mail on an iphone without privacy": ([at(60, "open", IPHONE_MAIL)], "human"),
    # Mail clients.
    "outlook on a desktop": ([at(60, "open", OUTLOOK)], "human"),
    "outlook within a second of sending": ([at(0.5, "open", OUTLOOK)], "human"),
    "outlook on ios": ([at(60, "open", OUTLOOK_IOS)], "human"),
    "outlook for mac": ([at(60, "open", MAC_OUTLOOK)], "human"),
    "the new outlook": ([at(60, "open", ONE_OUTLOOK)], "human"),
    "the new outlook's window on a click": ([at(60, 1, ONE_OUTLOOK)], "human"),
    "thunderbird": ([at(60, "open", THUNDERBIRD)], "human"),
    "outlook asks a link before the browser gets it": (
        [at(60, 1, OUTLOOK), at(61, 1, EDGE)], "bot human"),
    # Office.
    "office discovery, then the person": (
        [at(60, 1, DISCOVERY, method="OPTIONS"), at(60.2, 1, DISCOVERY, method="HEAD"), at(61, 1, EDGE)],
        "bot bot human"),
    "word looks at a link": ([at(60, 1, OFFICE_WORD)], "bot"),
    "propfind": ([at(60, 1, "Microsoft-WebDAV-MiniRedir/10.0", method="PROPFIND")], "bot"),
    # Methods and purposes.
    "head of a browser": ([at(60, 1, CHROME, method="HEAD")], "bot"),
    "options of a browser": ([at(60, "open", CHROME, method="OPTIONS")], "bot"),
    "post": ([at(60, 1, CHROME, method="POST")], "bot"),
    "a browser that prefetches, then the person": (
        [at(60, 1, CHROME, purpose="prefetch;anonymous-client-ip"), at(70, 1, CHROME)], "prefetch human"),
    "prerender": ([at(60, 1, CHROME, purpose="prefetch;prerender")], "prefetch"),
    "safari's preview of a link": ([at(60, 1, SAFARI, purpose="preview")], "prefetch"),
    "a purpose that means nothing": ([at(60, 1, CHROME, purpose="instant")], "human"),
    # The sender.
    "the pixel while composing": ([at(-30, "open", CHROME)], "sender"),
    "gmail's proxy while composing": ([at(-30, "open", GMAIL)], "sender"),
    "a preview of every link before sending": (
        [at(-20, 1), at(-19, 2), at(-18, 3), at(60, 1, SAFARI, network=WORK)], "sender sender sender human"),
    "within the skew of two clocks": ([at(-1.5, "open", CHROME)], "human"),
    "the sender re-reads in an own browser": (
        [at(600, "open", CHROME, device="mine", network=WORK), at(700, "open", SAFARI, device="hers")],
        "sender human"),
    "the sender's own click": ([at(600, 1, CHROME, device="mine")], "sender"),
    "gmail's proxy is nobody's own device": ([at(600, "open", GMAIL, device="mine")], "proxied"),
    "own device, more than a day after it was seen": (
        [at(2 * DAY, "open", CHROME, device="mine")], "human"),
    # Previews in chats.
    "pasted into slack": ([at(60, 1, SLACK)], "unfurler"),
    "pasted into telegram": ([at(60, 1, TELEGRAM)], "unfurler"),
    "pasted into whatsapp": ([at(60, 1, WHATSAPP)], "unfurler"),
    "two links pasted into slack are no burst": ([at(60, 1, SLACK), at(60.5, 2, SLACK)], "unfurler unfurler"),
    "an unfurled link beside a person's click": ([at(60, 1, SLACK), at(61, 2, CHROME)], "unfurler human"),
    # Machines.
    "a gateway by name": ([at(2, 1, BARRACUDA)], "scanner"),
    "a library": ([at(60, 1, "python-requests/2.31.0")], "bot"),
    "curl": ([at(60, "open", "curl/8.5.0")], "bot"),
    "googlebot on a phone": ([at(60, 1, GOOGLEBOT_PHONE)], "bot"),
    "a headless browser": ([at(60, 1, HEADLESS)], "bot"),
    "a monitor": ([at(60, 1, "UptimeRobot/2.0; http://www.uptimerobot.com/")], "bot"),
    "no user agent": ([at(60, "open", None)], "unknown"),
    "an agent that nobody knows": ([at(60, "open", "Foo/1.0")], "unknown"),
    # Phones whose names look like machines.
    "a cubot": ([at(60, "open", CUBOT)], "human"),
    "a phone called robot spider": ([at(60, 1, ROBOT_PHONE)], "human"),
    # Networks.
    "exchange online protection, early": ([at(2, 1, EDGE, label="exchange-online-protection")], "scanner"),
    "exchange online protection, late": (
        [at(5 * DAY, 1, EDGE, label="exchange-online-protection")], "scanner"),
    "a security company's network, early": ([at(300, 1, CHROME, label="security")], "scanner"),
    "a security company's network, late": ([at(1200, 1, CHROME, label="security")], "human"),
    "a data centre within a minute": ([at(30, 1, CHROME, label="hosting")], "scanner"),
    "a vpn in a data centre, hours later": ([at(4 * 3600, 1, CHROME, label="hosting")], "human"),
    "a label that no rule knows": ([at(5, 1, CHROME, label="university")], "human"),
    # Bursts.
    "six links in two seconds from three addresses": (
        [at(600 + n * 0.35, n, CHROME, network=f"10.0.{n % 3}.0/24") for n in range(1, 7)],
        " ".join(["scanner"] * 6)),
    "two links one second apart": ([at(600, 1), at(601, 2, network=WORK)], "scanner scanner"),
    "two links two seconds apart": ([at(600, 1), at(602, 2)], "human human"),
    "three links within ten seconds": ([at(600, 1), at(604, 2), at(609, 3)], "scanner scanner scanner"),
    "three links in eleven seconds": ([at(600, 1), at(605, 2), at(611, 3)], "human human human"),
    "a burst by a machine that names itself takes the other click with it": (
        [at(600, 1, "python-requests/2.31"), at(601, 2, CHROME)], "bot scanner"),
    "a person after a burst": (
        [at(600, 1), at(600.5, 2), at(600.9, 3), at(4000, 1, SAFARI, network=WORK)],
        "scanner scanner scanner human"),
    "the same link twice is no burst": ([at(600, 1), at(601, 1, SAFARI, network=WORK)], "human human"),
    "an open and a click at once": ([at(600, "open", FIREFOX), at(600.3, 1, FIREFOX)], "human human"),
    "unknown agents take part in a burst": ([at(600, 1, None), at(601, 2, CHROME)], "scanner scanner"),
    "head requests take no part in a burst": (
        [at(600, 1, CHROME, method="HEAD"), at(601, 2, CHROME)], "bot human"),
    # Repeats.
    "the same view twice, five milliseconds apart": (
        [at(600, "open"), at(600.005, "open")], "human duplicate"),
    "the same view a minute later": ([at(600, "open"), at(660, "open")], "human duplicate"),
    "the same view sixty-one seconds later": ([at(600, "open"), at(661, "open")], "human human"),
    "repeats do not reach further by repeating": (
        [at(600, "open"), at(640, "open"), at(680, "open")], "human duplicate human"),
    "another network is another view": ([at(600, "open"), at(601, "open", network=WORK)], "human human"),
    "another program is another view": ([at(600, "open"), at(601, "open", FIREFOX)], "human human"),
    "a double click": ([at(600, 1), at(600.2, 1)], "human duplicate"),
    "a click re-checked twelve seconds later from a data centre": (
        [at(600, 1, SAFARI), at(612, 1, CHROME, network=WORK, label="hosting")], "human duplicate"),
    "a data centre's click twenty seconds later is its own": (
        [at(600, 1, SAFARI), at(620, 1, CHROME, network=WORK, label="hosting")], "human human"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
async def test_each_request_is_taken_for_what_it_is(sqlite_database, clock: Clock, name: str):
    steps, expected = SCENARIOS[name]
    async with court(sqlite_database, clock) as room:
        sent = clock.advance(minutes=5)
        await own_devices.learn(room.services, room.alice.id, "mine", "copy-page")
        mail = await Message.create(
            account=room.alice, code="abcdef", subject="Q3", origin="compose",
            created_at=sent - dt.timedelta(minutes=5), arms_at=sent, armed_at=sent,
        )  # fmt: skip
        links = {
            position: await Link.create(
                token=f"{position:022d}", kind="click" if position else "open", message=mail,
                position=position, created_at=sent,
            )
            for position in range(7)
        }  # fmt: skip
        for seconds, what, agent, more in steps:
            moment = sent + dt.timedelta(seconds=seconds)
            link = links[0 if what == "open" else int(what)]
            await room.request(link, agent, at=moment, **{"network": HOME, **more})
            clock.now = max(clock.now, moment)
            await room.judge_all()
        assert await room.verdicts(mail) == expected.split()
        await check_sums()
        for hit in await Hit.all():
            assert hit.reason in SENTENCES
            assert "{" not in sentence(hit)


def judged(agent: str | None = CHROME, **more: Any) -> Judgement:
    facts = {"uid": "1", "at": 10_000_000_000, "kind": "open", "agent": agent_of(agent), **more}
    mail = {"origin": "send", "mode": "full", "created_at": 0, "arms_at": 0}
    for name in tuple(facts):
        if name in MailFacts._fields:
            mail[name] = facts.pop(name)
    return classify(HitFacts(**facts), MailFacts(**mail), {})


def test_within_a_second_of_the_hand_over_nobody_is_there_yet():
    assert judged(handed_over_at=9_999_500_000).verdict is Verdict.SCANNER
    assert judged(handed_over_at=9_998_900_000).verdict is Verdict.HUMAN


def test_before_the_provider_took_the_mail_it_is_the_sender():
    assert judged(handed_over_at=10_005_000_000).reason == "before-handover"


def test_a_mail_with_clicks_only_counts_no_opens():
    assert judged(mode="clicks").reason == "not-tracked"
    assert judged(mode="clicks", kind="click").verdict is Verdict.HUMAN
    assert judged(mode="off", kind="click").verdict is Verdict.UNKNOWN


def test_a_proxy_counts_before_any_list_of_bots_is_asked():
    assert judged("Googlebot-like GoogleImageProxy crawler spider").verdict is Verdict.PROXIED


def test_a_sentence_says_which_client_and_why():
    assert "Gmail fetched it through its image proxy" in sentence(judged(GMAIL))
    assert "(HEAD)" in sentence(judged(method="HEAD"))
    assert "can't tell" in sentence(judged(APPLE))


@pytest.mark.parametrize("said", ["{client}", "{0.__class__}", "%s", "{", "\\1", "\x00"])
def test_a_sentence_survives_what_strangers_send(said: str):
    assert said in sentence(Judgement(Verdict.BOT, "bot", said))


def test_a_reason_of_other_rules_still_has_a_sentence():
    assert "newfangled" in sentence(Judgement(Verdict.BOT, "newfangled"))


text = st.one_of(st.none(), st.text(max_size=600), st.sampled_from([CHROME, APPLE, GMAIL, "a" * 10_000]))


@given(
    agent=text, method=st.text(max_size=20), purpose=text, network=text, label=text, device=text,
    kind=st.sampled_from(["open", "click"]), origin=st.sampled_from(["send", "compose", "list"]),
    moments=st.tuples(*[st.one_of(st.none(), st.integers(-(2**62), 2**62))] * 2),
)  # fmt: skip
def test_nothing_that_a_request_holds_makes_a_rule_fail(
    agent: str | None, method: str, purpose: str | None, network: str | None, label: str | None,
    device: str | None, kind: str, origin: str, moments: tuple[int | None, int | None],
):  # fmt: skip
    hit = HitFacts("u", 5, kind, method, purpose, agent_of(agent), network, label, device, agent)
    mail = MailFacts(origin, "full", 0, 0, *moments)
    judgement = classify(hit, mail, {device: 3} if device else {})
    assert sentence(judgement)
    assert judgement.reason in SENTENCES
    assert len(judgement.client or "") <= 60


def test_the_kinds_of_agents_are_all_used():
    samples = [
        None,
        DISCOVERY,
        GMAIL,
        APPLE,
        PREFETCH,
        SLACK,
        OUTLOOK,
        THUNDERBIRD,
        BARRACUDA,
        HEADLESS,
        CHROME,
        "AcmeMail/3.1",
        "Foo/1.0",
        "x",
    ]
    assert [agent_of(one).kind for one in samples] == list(AgentKind)
