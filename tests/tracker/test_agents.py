import time

import pytest

from tracker.hits.agents import AgentKind, agent_of

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"

BROWSERS = {
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36": "Chrome on Windows",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Chrome/126.0.0.0 Safari/537.36 OPR/111.0": "Opera on Mac",  # noqa: E501
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/126.0.0.0 Safari/537.36": "Chrome on ChromeOS",
    "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0": "Firefox on Android",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0": "Firefox on Windows",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko": "Internet Explorer on Windows",
    f"Mozilla/5.0 (Linux; Android 14; SM-S918B) {WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36":  # noqa: E501
        "Samsung Internet on Android",
    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1":  # noqa: E501
        "Chrome on iPad",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 337.0 (iPhone14,5; Barcelona)":  # noqa: E501
        "Instagram on iPhone",
    f"Mozilla/5.0 (Linux; Android 12; CUBOT X50) {WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36": "Chrome on Android",  # noqa: E501
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36 Avast/126.0": "Chrome on Windows",  # noqa: E501
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/126.0 Mobile Safari/537.36 TrustWallet/8": "Chrome on Android",  # noqa: E501
}  # fmt: skip

OTHERS = {
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)": (AgentKind.BOT, "bingbot"),
    "Go-http-client/2.0": (AgentKind.BOT, "Go-http-client"),
    "python-requests/2.31.0": (AgentKind.BOT, "python-requests"),
    "okhttp/4.12.0": (AgentKind.BOT, "okhttp"),
    "Apache-HttpClient/4.5.13 (Java/11.0.21)": (AgentKind.BOT, "Apache-HttpClient"),
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)": (AgentKind.BOT, "AhrefsBot"),
    "Mimecast-URL-Protect": (AgentKind.GATEWAY, "Mimecast"),
    "Slack-ImgProxy (+https://api.slack.com/robots)": (AgentKind.UNFURLER, "Slack"),
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5": (AgentKind.UNFURLER, "Skype or Teams"),
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)": (AgentKind.UNFURLER, "Facebook"),  # noqa: E501
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)":
        (AgentKind.UNFURLER, "LinkedIn"),
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)": (AgentKind.OUTLOOK, "Outlook"),  # noqa: E501
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Word 16.0.17328; Pro)": (AgentKind.OFFICE, "Word"),
    "Mozilla/5.0 (Windows NT 5.1; rv:99.9) Gecko Firefox/99 (via ggpht.com GoogleImageProxy)":
        (AgentKind.PROXY, "Gmail"),
    "MOZILLA/5.0": (AgentKind.UNRECOGNISED, None),
    "  Mozilla/5.0 ": (AgentKind.BARE, "Apple Mail"),
    "": (AgentKind.NONE, None),
    "   ": (AgentKind.NONE, None),
}  # fmt: skip


@pytest.mark.parametrize("text", BROWSERS)
def test_a_browser_is_called_by_its_name_and_system(text: str):
    agent = agent_of(text)
    assert (agent.kind, agent.name) == (AgentKind.BROWSER, BROWSERS[text])


@pytest.mark.parametrize("text", OTHERS)
def test_everything_else_is_what_it_says(text: str):
    agent = agent_of(text)
    assert (agent.kind, (agent.name or "").lower()) == (OTHERS[text][0], (OTHERS[text][1] or "").lower())


@pytest.mark.parametrize("piece", ["(", "android(", "mozilla/5.0 (", "a-", "@a", "proxy ", "((android", "\n"])
def test_no_text_however_made_takes_long(piece: str):
    started = time.perf_counter()
    agent_of.__wrapped__(piece * 5000)
    assert time.perf_counter() - started < 0.25
