"""Who reads, by the network: requests in time from full addresses, through the lists that come with mailbell.

A step is (seconds after the hand-over, what, agent, full address): `what` is "open" or the number of a link.
"""

from __future__ import annotations

import datetime as dt

import pytest

from models import Hit, Link, Message
from models.database import DatabaseURL
from tests.conftest import Clock
from tests.tracker.judging import APPLE, CHROME, GMAIL, SAFARI, check_sums, court
from tracker.hits import facts, network_lists
from tracker.hits.reasons import sentence

OUTLOOK = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Trident/7.0; Microsoft Outlook 16.0.17328; ms-office; MSOffice 16)"  # noqa: E501
THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0"
YAHOO = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
PROOFPOINT, MIMECAST, EOP, MESSAGELABS = "67.231.152.9", "205.139.110.61", "40.107.22.52", "85.158.137.5"
TREND, BARRACUDA = "150.70.188.172", "64.235.150.10"
AWS, AZURE, GCP, HETZNER, HETZNER6 = "18.208.22.64", "20.42.1.1", "35.184.1.1", "5.9.1.1", "2a01:4f8:1::1"
HOME, HOME6, RELAY, RELAY6 = "203.0.113.9", "2001:db8:1::9", "172.225.69.97", "2a02:26f7:b00a:4000::1"
ZSCALER, GMAIL_PROXY, MPP = "165.225.0.1", "66.249.84.10", "172.226.50.20"
DAY = 86_400

Step = tuple[float, str | int, str | None, str]

SCENARIOS: dict[str, tuple[list[Step], str]] = {
    # Mail filters: at any time, whatever the program says it is.
    "exchange online protection two seconds after": ([(2, 1, CHROME, EOP)], "scanner"),
    "exchange online protection five days after": ([(5 * DAY, 1, CHROME, EOP)], "scanner"),
    "an open from exchange online protection": ([(90, "open", CHROME, EOP)], "scanner"),
    "proofpoint early and a month later": (
        [(3, 1, CHROME, PROOFPOINT), (30 * DAY, 1, SAFARI, PROOFPOINT)], "scanner scanner"),
    "mimecast when the person clicks, hours later": (
        [(7200, 1, SAFARI, HOME), (7203, 1, CHROME, MIMECAST)], "human scanner"),
    "mimecast just before the person arrives": (
        [(7200, 1, CHROME, MIMECAST), (7202, 1, SAFARI, HOME)], "scanner human"),
    "messagelabs without a user agent": ([(9, 1, None, MESSAGELABS)], "scanner"),
    # Security companies: soon after sending.
    "trend micro nine minutes after": ([(540, 1, CHROME, TREND)], "scanner"),
    "trend micro ten minutes after, to the second": ([(600, 1, CHROME, TREND)], "scanner"),
    "somebody at trend micro an hour after": ([(3600, 1, CHROME, TREND)], "human"),
    "barracuda's other networks, early and late": (
        [(30, "open", CHROME, BARRACUDA), (2 * DAY, "open", CHROME, BARRACUDA)], "scanner human"),
    "trend micro checks a person's click again, hours later": (
        [(7200, 1, SAFARI, HOME), (7210, 1, CHROME, TREND)], "human duplicate"),
    # Data centres: within a minute.
    "aws five seconds after": ([(5, 1, CHROME, AWS)], "scanner"),
    "azure fifty-nine seconds after": ([(59, 1, CHROME, AZURE)], "scanner"),
    "google cloud a minute after, to the second": ([(60, 1, CHROME, GCP)], "scanner"),
    "behind a vpn at hetzner two minutes after": ([(120, 1, CHROME, HETZNER)], "human"),
    "hetzner over ipv6, early and late": (
        [(20, 1, CHROME, HETZNER6), (4000, 1, CHROME, HETZNER6)], "scanner human"),
    "a cloud desktop opens the mail next day": ([(DAY, "open", CHROME, AZURE)], "human"),
    "a data centre checks a person's click again after twelve seconds": (
        [(7200, 1, SAFARI, HOME), (7212, 1, CHROME, AWS)], "human duplicate"),
    "and after fifteen, to the second": (
        [(7200, 1, SAFARI, HOME), (7215, 1, CHROME, AWS)], "human duplicate"),
    "and after sixteen it is a click of its own": (
        [(7200, 1, SAFARI, HOME), (7216, 1, CHROME, AWS)], "human human"),
    "two data centres check one click": (
        [(7200, 1, SAFARI, HOME), (7203, 1, CHROME, AWS), (7211, 1, CHROME, AZURE)],
        "human duplicate duplicate"),
    "a check over ipv6 of a click over ipv4": (
        [(7200, 1, SAFARI, HOME), (7205, 1, CHROME, HETZNER6)], "human duplicate"),
    "another link from a data centre is no check of this one": (
        [(7200, 1, SAFARI, HOME), (7212, 2, CHROME, AWS)], "human human"),
    "a check from a home line is no check": (
        [(7200, 1, SAFARI, HOME), (7212, 1, CHROME, HOME6)], "human human"),
    "six links from data centres within a second, an hour after": (
        [(3600 + n * 0.15, n, CHROME, (AWS, AZURE, GCP)[n % 3]) for n in range(1, 7)],
        " ".join(["scanner"] * 6)),
    # What the network does not decide: image proxies, mail programs, who says what they are.
    "gmail's image proxy two seconds after, from its own network": (
        [(2, "open", GMAIL, GMAIL_PROXY)], "proxied"),
    "gmail's image proxy is never judged by its network": (
        [(2, "open", GMAIL, GCP), (DAY, "open", GMAIL, AWS)], "proxied proxied"),
    "yahoo's proxy from a data centre within a minute": ([(10, "open", YAHOO, AWS)], "proxied"),
    "apple's privacy protection from a relay": ([(4 * 3600, "open", APPLE, MPP)], "privacy"),
    "outlook on a cloud desktop, at once": ([(8, "open", OUTLOOK, AZURE)], "human"),
    "thunderbird behind a vpn, at once": ([(8, "open", THUNDERBIRD, HETZNER)], "human"),
    "a library from a data centre is a bot": ([(5, 1, "python-requests/2.31.0", AWS)], "bot"),
    # People.
    "a person's click through private relay, at once": ([(12, 1, SAFARI, RELAY)], "human"),
    "a person's click through private relay over ipv6": ([(12, 1, SAFARI, RELAY6)], "human"),
    "a person's click through private relay, next day": ([(DAY, 1, SAFARI, RELAY)], "human"),
    "an open and a click through two relays": (
        [(30, "open", SAFARI, RELAY), (45, 1, SAFARI, RELAY6)], "human human"),
    "a company that browses through zscaler, at once": ([(20, 1, CHROME, ZSCALER)], "human"),
    "home, at once": ([(4, 1, CHROME, HOME)], "human"),
    # (15), where the hand-over is known.
    "within a second of the hand-over": ([(0.9, 1, CHROME, HOME)], "scanner"),
    "a second after the hand-over": ([(1.1, 1, CHROME, HOME)], "human"),
}  # fmt: skip


@pytest.fixture(scope="module")
def networks() -> network_lists.Networks:
    return network_lists.build(network_lists.shipped())


@pytest.mark.parametrize("name", SCENARIOS)
async def test_each_request_is_taken_for_what_it_is(
    sqlite_database: DatabaseURL, clock: Clock, networks: network_lists.Networks, name: str
) -> None:
    steps, expected = SCENARIOS[name]
    async with court(sqlite_database, clock) as room:
        sent = clock.advance(minutes=5)
        mail = await Message.create(
            account=room.alice, code="abcdef", subject="Q3", origin="send", created_at=sent, arms_at=sent,
            armed_at=sent, handed_over_at=sent,
        )  # fmt: skip
        links = {
            position: await Link.create(
                token=f"{position:022d}", kind="click" if position else "open", message=mail,
                position=position, created_at=sent,
            )
            for position in range(7)
        }  # fmt: skip
        for seconds, what, agent, address in steps:
            moment = sent + dt.timedelta(seconds=seconds)
            link = links[0 if what == "open" else int(what)]
            label, network = networks.label(address), facts.truncate(address)
            await room.request(link, agent, at=moment, network=network, label=label)
            clock.now = max(clock.now, moment)
            await room.judge_all()
        assert await room.verdicts(mail) == expected.split()
        await check_sums()


SENTENCES = {
    (5 * DAY, EOP): "It came from Exchange Online Protection, where mail is filtered; no person was there.",
    (60, TREND): "It came from the security company Trend Micro within minutes of sending: a scan.",
    (30, AWS): "It came from a data centre (AWS) within a minute of sending: a scan.",
}


@pytest.mark.parametrize("when", SENTENCES)
async def test_why_names_whose_network_it_was(
    sqlite_database: DatabaseURL, clock: Clock, networks: network_lists.Networks, when: tuple[float, str]
) -> None:
    seconds, address = when
    async with court(sqlite_database, clock) as room:
        mail = await room.mail()
        clock.advance(seconds=seconds)
        await room.request(await room.link(mail), label=networks.label(address))
        await room.judge_all()
        assert sentence(await Hit.get(message=mail)) == SENTENCES[when]


async def test_labels_of_the_first_rules_still_say_mail_filter(
    sqlite_database: DatabaseURL, clock: Clock
) -> None:
    async with court(sqlite_database, clock) as room:
        mail = await room.mail()
        clock.advance(days=3)
        await room.request(await room.link(mail), label="exchange-online-protection")
        await room.judge_all()
        assert await room.verdicts(mail) == ["scanner"]
