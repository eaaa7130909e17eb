"""What user agents are taken for, by family. The same on public lists: benchmarks/agents.py."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracker.hits.agents import LONGEST, AgentKind, agent_of
from tracker.hits.browser_names import BROWSERS, ENGINES, PHONES, SYSTEMS
from tracker.hits.classify import classify
from tracker.hits.evidence import HitFacts, MailFacts
from tracker.hits.machine_names import GATEWAYS, PROGRAM_STEMS, STEMS, UNFURLERS, UNFURLERS_FIRST
from tracker.hits.mail_names import MAIL_CLIENTS, OFFICE, PROXIES
from tracker.hits.verdicts import Verdict

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36"
LINUX = f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36"
PHONE = f"Mozilla/5.0 (Linux; Android 14; %s) {WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36"
WEBVIEW = f"Mozilla/5.0 (Linux; Android 14; wv) {WEBKIT} Version/4.0 Chrome/126.0 Mobile Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"

BROWSERS_BY_NAME = {
    WINDOWS: "Chrome on Windows",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Chrome/126.0.0.0 Safari/537.36 OPR/111.0": "Opera on Mac",  # noqa: E501
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/126.0.0.0 Safari/537.36": "Chrome on ChromeOS",
    "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0": "Firefox on Android",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0": "Firefox on Windows",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko": "Internet Explorer on Windows",
    f"Mozilla/5.0 (Linux; Android 14; SM-S918B) {WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36":  # noqa: E501
        "Samsung Internet on Android",
    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1":  # noqa: E501
        "Chrome on iPad",
    f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1": "Safari on iPhone",
    f"{WINDOWS} Avast/126.0": "Chrome on Windows",
    f"{WINDOWS} Edg/126.0.0.0": "Edge on Windows",
    f"{WINDOWS} Vivaldi/6.7": "Vivaldi on Windows",
}  # fmt: skip

PEOPLE = {
    "a phone called Cubot": PHONE % "CUBOT X50",
    "a phone called Cubot with a build": PHONE % "CUBOT_NOTE_S Build/MRA58K",
    "a phone called Robot": PHONE % "Robot Spider Fetch",
    "a phone called Monitor": PHONE % "Monitor Check 5 Build/QP1A",
    "a tablet of HTTP": PHONE % "Crawler_Tab Scanner",
    "Facebook's browser": f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/467.0;FBDV/iPhone14,5;FBCR/vodafone.de]",
    "Instagram's browser": f"{IPHONE} Mobile/15E148 Instagram 337.0 (iPhone14,5; Barcelona)",
    "LinkedIn's browser": f"{IPHONE} Mobile/15E148 [LinkedInApp]/9.29",
    "WeChat's browser": f"{WEBVIEW} MicroMessenger/8.0.49 NetType/WIFI",
    "LINE's browser": f"{IPHONE} Mobile/15E148 Safari Line/14.9.0",
    "TikTok's browser": f"{WEBVIEW} trill_2023409040 BytedanceWebview/d8a21c6",
    "Snapchat's browser": f"{IPHONE} Mobile/15E148 Snapchat/12.90.0.46 (like Safari/8617, panda)",
    "Pinterest's browser": f"{WEBVIEW} [Pinterest/Android]",
    "Viber's browser": f"{WEBVIEW} Viber/22.0",
    "Twitter's browser": f"{IPHONE} Mobile/15E148 Twitter for iPhone/10.44",
    "the Google app": f"{IPHONE} GSA/320.0 Mobile/15E148 Safari/604.1",
    "a wallet": f"{WEBVIEW} TrustWallet/8",
    "Rocket.Chat's own window": f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Rocket.Chat/4.1 Chrome/126.0 Electron/31.0 Safari/537.36",  # noqa: E501
    "Slack's own window": f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Slack/4.38 Chrome/126.0 Electron/31.0 Safari/537.36",  # noqa: E501
    "Postman's own window": f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Postman/11.2 Chrome/120.0 Electron/28.2 Safari/537.36",  # noqa: E501
    "a toolbar's address": "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; EmbeddedWB 14.52 from: http://www.bsalsa.com/)",
    "a company's own build of Internet Explorer": "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Banca Caboto s.p.a.)",  # noqa: E501
    "Konqueror": "Mozilla/5.0 (compatible; Konqueror/4.14; Linux) KHTML/4.14.8 (like Gecko)",
    "a Kindle": "Mozilla/4.0 (compatible; Linux 2.6.22) NetFront/3.4 Kindle/2.5 (screen 824x1200;rotate)",
    "a television": "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0/6.0 TV Safari/537.36",  # noqa: E501
    "a phone of before": "Nokia6300/2.0 (07.21) Profile/MIDP-2.0 Configuration/CLDC-1.1",
    "UC Browser": "UCWEB/2.0 (Java; U; MIDP-2.0; en-US; Nokia305) U2/1.0.0 UCBrowser/9.5 U2/1.0.0 Mobile",
    "Opera Mini": "Opera/9.80 (Android; Opera Mini/36.2/119.132; U; en) Presto/2.12.423 Version/12.16",
    "Lynx": "Lynx/2.9.0 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/3.0",
    "w3m": "w3m/0.5.3+git20230121",
    "a car": f"Mozilla/5.0 (X11; GNU/Linux) {WEBKIT} Chrome/109.0 Safari/537.36 Tesla/2024.20",
}  # fmt: skip

MAIL = {
    "Outlook-iOS/709.2226530.prod.iphone (3.24.1)": "Outlook for iOS",
    "Outlook-Android/2.0": "Outlook for Android",
    "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0": "Thunderbird",
    "Mail/3826.500.181.1.5 CFNetwork/3826.500.111.1.1 Darwin/24.4.0": "Apple Mail",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)": "Apple Mail",
    f"{IPHONE} Mobile/15E148": "Apple Mail",
    "Airmail 1.3.3 rv:237 (Macintosh; Mac OS X 10.9.3; sk_SK)": "Airmail",
    "Yahoo%20Mail/49268 CFNetwork/1121.2.2 Darwin/19.3.0": "Yahoo Mail app",
    "Postbox/7.0.60 (Macintosh)": "Postbox",
    f"Mozilla/5.0 (Windows NT 6.1) {WEBKIT} Chrome/55.0 Safari/537.36 eM Client/7.1.32088.0": "eM Client",
    "Mozilla/4.0 (compatible; Lotus-Notes/6.0; Windows-NT)": "Notes",
    "The Bat! (v10.5) Professional": "The Bat!",
    "NaverMailApp/2.2.2 (Android 10; SM-G986N)": "Naver Mail",
    "Evolution/3.44 (Linux)": "Evolution",
}  # fmt: skip

MACHINES = {
    # crawlers
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)": "bingbot",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)": "AhrefsBot",
    f"{WINDOWS} (compatible; NewNameNobodyKnows/1.0)": None,
    f"{LINUX} (https://unheard.example.org/why)": "unheard.example.org",
    "Mozilla/5.0 (compatible; UnheardOf/3.1; write to us@unheard.example)": "UnheardOf",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko; compatible; GoogleAgent-Mariner) Chrome/142.0 Safari/537.36":  # noqa: E501
        "GoogleAgent-Mariner",
    (PHONE % "Nexus 5X; Storebot-Google/1.0"): None,
    # libraries
    "Go-http-client/2.0": "Go-http-client",
    "python-requests/2.31.0": "python-requests",
    "okhttp/4.12.0": "okhttp",
    "Apache-HttpClient/4.5.13 (Java/11.0.21)": "Apache-HttpClient",
    "axios/1.7.2": "axios",
    "curl/8.5.0": "curl",
    # monitors, browsers without anybody
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)": "UptimeRobot",
    f"{LINUX} PTST/230601": "PTST",
    f"{LINUX} Ghost Inspector": "Inspector",
    f"{LINUX} NewRelicSynthetics/1.0": "NewRelicSynthetics",
    "Mozilla/5.0 (X11; Linux x86_64; rv:25.0; GTmetrix http://gtmetrix.com/) Gecko/20100101 Firefox/25.0": "GTmetrix",  # noqa: E501
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/126.0 Safari/537.36": "HeadlessChrome",
    "PS_Daily/1.0 " + WINDOWS: "PS_Daily",
    # attackers
    "${jndi:ldap://127.0.0.1/a}": None,
    WINDOWS + "'+(select 1)+'": None,
    "() { :;}; /bin/bash -c id": None,
}  # fmt: skip

OTHERS = {
    "Mimecast-URL-Protect": (AgentKind.GATEWAY, "Mimecast"),
    "BarracudaCentral/1.0 (Barracuda Sentinel (EE))": (AgentKind.GATEWAY, "Barracuda"),
    "SpamExperts/128741 (Virus Scan)": (AgentKind.GATEWAY, "SpamExperts"),
    "Slack-ImgProxy (+https://api.slack.com/robots)": (AgentKind.UNFURLER, "Slack"),
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5": (AgentKind.UNFURLER, "Skype or Teams"),
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)": (AgentKind.UNFURLER, "Facebook"),  # noqa: E501
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)":
        (AgentKind.UNFURLER, "LinkedIn"),
    "WhatsApp/2.23.20.0": (AgentKind.UNFURLER, "WhatsApp"),
    "Rocket.Chat/6.8": (AgentKind.UNFURLER, "Rocket.Chat"),
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)": (AgentKind.OUTLOOK, "Outlook"),  # noqa: E501
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Word 16.0.17328; Pro)": (AgentKind.OFFICE, "Word"),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X) Word/14.25.0": (AgentKind.OFFICE, "Word"),
    "MOZILLA/5.0": (AgentKind.UNRECOGNISED, None),
    "Mozilla/4.0": (AgentKind.UNRECOGNISED, None),
    "  Mozilla/5.0 ": (AgentKind.BARE, "Apple Mail"),
    "AcmeMail/3.1 (Linux)": (AgentKind.MAIL_PROGRAM, "AcmeMail"),
    "Foo/1.0": (AgentKind.PROGRAM, "Foo"),
    "Twitter/7.8 CFNetwork/811.5.4 Darwin/16.6.0": (AgentKind.UNRECOGNISED, None),
    "Dalvik/2.1.0 (Linux; U; Android 9; SM-J810F Build/PPR1)": (AgentKind.UNRECOGNISED, None),
    "12": (AgentKind.UNRECOGNISED, None),
    "": (AgentKind.NONE, None),
    "   ": (AgentKind.NONE, None),
}  # fmt: skip

# Each as its mailbox has sent it; every version of each must count.
IMAGE_PROXIES = {
    "Mozilla/5.0 (Windows NT 5.1; rv:{v}) Gecko Firefox/{v} (via ggpht.com GoogleImageProxy)": "Gmail",
    "YahooMailProxy/{v}; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html": "Yahoo Mail",
    "Mozilla/5.0 (compatible; YahooMailProxy/{v}; https://help.yahoo.com/)": "Yahoo Mail",
    "hey.com/imageproxy Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/{v} Chrome/{v} Safari/{v}": "HEY",
    "FastmailUA/{v}": "Fastmail",
    "SeznamEmailProxy/{v}": "Seznam",
    "Superhuman/{v} image fetcher (bot)": "Superhuman",
    "Shortwave Image Fetcher/{v}": "Shortwave",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/{v} Chrome/{v} Safari/{v} (via secureurl.fwdcdn.com - mail.ukr.net proxy)":  # noqa: E501
        "Ukr.net",
    "AcmeMail-ImageProxy/{v} (+https://acme.example/bot)": "AcmeMail-ImageProxy",
    "ACME Mail Proxy {v} crawler": "Mail",
}  # fmt: skip

numbers = st.lists(st.integers(0, 99_999).map(str), min_size=1, max_size=4)
versions = numbers.map(".".join)


def verdict(agent: str | None, kind: str = "open") -> Verdict:
    mail = MailFacts(origin="compose", mode="full", created_at=0, arms_at=0, armed_at=0)
    return classify(HitFacts(uid="1", at=10**10, kind=kind, agent=agent_of(agent)), mail, {}).verdict


@pytest.mark.parametrize("text", BROWSERS_BY_NAME)
def test_a_browser_is_called_by_its_name_and_system(text: str):
    agent = agent_of(text)
    assert (agent.kind, agent.name) == (AgentKind.BROWSER, BROWSERS_BY_NAME[text])


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("kind", ["open", "click"])
def test_people_count_whatever_their_browser_or_phone_is_called(who: str, kind: str):
    assert verdict(PEOPLE[who], kind) is Verdict.HUMAN


@pytest.mark.parametrize("text", MAIL)
def test_a_mail_client_counts_and_has_its_name(text: str):
    assert agent_of(text).kind in (AgentKind.MAIL_CLIENT, AgentKind.OUTLOOK)
    assert agent_of(text).name == MAIL[text]
    assert verdict(text) is Verdict.HUMAN


@pytest.mark.parametrize("text", MACHINES)
@pytest.mark.parametrize("kind", ["open", "click"])
def test_a_machine_does_not_count(text: str, kind: str):
    assert agent_of(text).kind is AgentKind.BOT
    assert verdict(text, kind) is Verdict.BOT
    if name := MACHINES[text]:
        assert (agent_of(text).name or "").lower() == name.lower()


@pytest.mark.parametrize("text", OTHERS)
def test_everything_else_is_what_it_says(text: str):
    agent = agent_of(text)
    assert (agent.kind, (agent.name or "").lower()) == (OTHERS[text][0], (OTHERS[text][1] or "").lower())


@given(shape=st.sampled_from(sorted(IMAGE_PROXIES)), version=versions)
def test_every_version_of_a_mailboxs_image_proxy_counts(shape: str, version: str):
    agent = shape.format(v=version)
    assert agent_of(agent).name == IMAGE_PROXIES[shape]
    assert verdict(agent) is Verdict.PROXIED
    assert verdict(agent, "click") is Verdict.BOT


def test_a_mail_program_that_nobody_knows_counts_on_a_pixel_and_not_on_a_link():
    assert verdict("AcmeMail/3.1") is Verdict.HUMAN
    assert verdict("AcmeMail/3.1", "click") is Verdict.BOT


def test_a_program_that_nobody_knows_stays_unknown_on_a_pixel_and_follows_no_link_for_a_person():
    assert verdict("Foo/1.0") is Verdict.UNKNOWN
    assert verdict("Foo/1.0", "click") is Verdict.BOT


@pytest.mark.parametrize("part", [part for part, _ in PROXIES])
def test_no_list_of_machines_comes_before_a_proxy(part: str):
    assert agent_of(f"crawler bot spider {part} +http://bot.example").kind is AgentKind.PROXY


@pytest.mark.parametrize("part", [part for part, _ in MAIL_CLIENTS])
def test_no_word_of_machines_hides_a_mail_client(part: str):
    assert agent_of(f"{part}9.1 curl http://check.example").kind in (AgentKind.MAIL_CLIENT, AgentKind.OUTLOOK)


@pytest.mark.parametrize("part", [*(part for part, _ in BROWSERS), *ENGINES])
def test_no_word_of_machines_is_in_a_browsers_name(part: str):
    assert not [stem for stem in STEMS if stem in f" {part}"]


def test_the_tables_are_in_lower_case_and_hold_nothing_twice():
    for names in (PROXIES, OFFICE, MAIL_CLIENTS, UNFURLERS, UNFURLERS_FIRST, GATEWAYS, BROWSERS, SYSTEMS):
        parts = [part for part, _ in names]
        assert all(part and part == part.lower() for part in parts)
        assert len(set(parts)) == len(parts)
    for words in (STEMS, PROGRAM_STEMS, ENGINES, PHONES):
        assert all(word and word == word.lower() for word in words)
        assert len(set(words)) == len(words)


PIECES = st.sampled_from(
    ["(", ")", "android(", "mozilla/5.0 (", "a-", "a.", "@a", "+a.", "proxy ", "mail", "/1", "bot", "; ",
     "\n", " ", "(compatible; ", "like gecko; ", "http://", "%", "\x00", "é", "\U0001f600", "agent"]
)  # fmt: skip
hostile = st.one_of(
    st.text(max_size=500),
    st.lists(PIECES, max_size=120).map(lambda pieces: "".join(pieces)[:500]),
    st.tuples(PIECES, PIECES).map(lambda pair: (pair[0] + pair[1] * 500)[:500]),
)


@settings(max_examples=500)
@given(hostile)
@example("\ud800")
@example("İ" * 500)
def test_any_text_is_answered_within_five_milliseconds(text: str):
    def took() -> float:
        began = time.thread_time()
        agent_of.__wrapped__(text)
        return time.thread_time() - began

    assert min(took() for _ in range(3)) < 0.005
    assert len(agent_of(text).name or "") <= 60


@pytest.mark.parametrize("piece", ["(", "android(", "mozilla/5.0 (", "a-", "@a", "proxy ", "((android", "\n"])
def test_what_is_longer_than_people_write_is_not_looked_at(piece: str):
    began = time.thread_time()
    assert agent_of.__wrapped__(piece * 500_000) == agent_of((piece * 500_000).strip()[:LONGEST])
    assert time.thread_time() - began < 0.25
