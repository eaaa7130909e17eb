"""What may be stored of a request: never a full address, never an error, whatever a stranger sends."""

from __future__ import annotations

import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.hits import facts

PROXIES = facts.Proxies((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger's header says nothing
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # what the client wrote itself stands left
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ['"[2001:db8::7]:443"'], "2001:db8::7"),
        ("10.0.0.1", ["198.51.100.1, unknown, , 10.1.1.1"], "198.51.100.1"),
        ("10.0.0.1", ["<script>", "\x00"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.2.2.2"], "10.2.2.2"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::1", ["fe80::1%eth0"], "fe80::1"),
        (None, ["198.51.100.1"], None),
        ("", ["198.51.100.1"], None),
    ],
)
def test_the_client_is_whom_the_nearest_trusted_proxy_saw(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    assert facts.client_address(peer, forwarded, PROXIES) == client


@given(st.text(), st.lists(st.text()))
def test_no_header_can_make_it_fail(peer: str, forwarded: list[str]) -> None:
    facts.client_address("10.0.0.1", forwarded, PROXIES)
    facts.client_address(peer, forwarded, PROXIES)


def test_addresses_are_truncated_before_anything_is_stored() -> None:
    assert facts.truncate("203.0.113.77") == "203.0.113.0/24"
    assert facts.truncate("2001:db8:1:2:3::4") == "2001:db8:1::/48"
    assert facts.truncate("::ffff:203.0.113.77") == "203.0.113.0/24"
    assert facts.truncate("nobody") is None


def test_a_device_is_address_and_agent_under_the_key() -> None:
    device = facts.device_of("key", "203.0.113.77", "Firefox")
    assert device is not None
    assert len(device) == 32
    assert device == facts.device_of("key", "203.0.113.77", "Firefox")
    others = {
        facts.device_of("other key", "203.0.113.77", "Firefox"),
        facts.device_of("key", "203.0.113.78", "Firefox"),
        facts.device_of("key", "203.0.113.77", None),
    }
    assert device not in others
    assert len(others) == 3
    assert facts.device_of("key", None, "Firefox") is None


def test_of_an_address_only_network_label_and_device_are_stored() -> None:
    origin = facts.origin_of("key", "104.47.3.4", "mail-filter/X", "Mozilla/5.0")
    device = facts.device_of("key", "104.47.3.4", "Mozilla/5.0")
    assert origin == ("104.47.3.0/24", "mail-filter/X", device)
    assert facts.origin_of("key", None, None, "Mozilla/5.0") == (None, None, None)


def test_user_agents_are_one_line_and_cut() -> None:
    assert facts.clean_agent("  Mozilla/5.0\t (a\r\nb)\x00 ") == "Mozilla/5.0 (a b)"
    assert facts.clean_agent("x" * 9000) == "x" * 500
    assert facts.clean_agent("\udcff") == "?"
    assert facts.clean_agent(" ") is facts.clean_agent("") is facts.clean_agent(None) is None


@given(st.text())
def test_whatever_is_kept_can_be_stored_anywhere(text: str) -> None:
    """PostgreSQL refuses NUL and lone surrogates, in text and inside JSON."""
    names = ("user-agent", "purpose", "accept", "accept-language", "sec-fetch-dest", "referer")
    headers = dict.fromkeys(names, text)
    headers["referer"] = f"https://{text}/x?secret"
    for kept in (facts.clean_agent(text), facts.purpose_of(headers), facts.kept_headers(headers)):
        assert "\x00" not in (kept or "")
        assert "\\u0000" not in (kept or "").replace("\\\\", "")
        (kept or "").encode()
    assert len(facts.purpose_of(headers) or "") <= 40
    kept = json.loads(facts.kept_headers(headers) or "{}")
    json.dumps(kept, ensure_ascii=False).encode()


def test_of_a_referer_only_the_origin_is_kept() -> None:
    headers = {
        "referer": "https://mail.example.com/inbox/ana?q=1",
        "accept-language": "de-AT",
        "accept": "image/*",
    }
    kept = json.loads(facts.kept_headers(headers) or "")
    assert kept == {"accept": "image/*", "accept-language": "yes", "referer": "https://mail.example.com"}
    assert facts.kept_headers({"host": "x"}) is None


def test_the_purpose_is_the_first_header_that_tells_one() -> None:
    assert facts.purpose_of({"x-moz": "Prefetch"}) == "prefetch"
    assert facts.purpose_of({"sec-purpose": "prefetch;prerender", "purpose": "x"}) == "prefetch;prerender"
    assert facts.purpose_of({}) is None
