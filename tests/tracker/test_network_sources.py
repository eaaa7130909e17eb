"""What `update-networks` recognises, and what it refuses whole."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.hits.network_lists import MAX_BYTES, ListError, NetworkList, write_blocks
from tracker.hits.network_sources import LabelNeededError, recognise

TODAY = dt.date(2026, 11, 23)


def taken(data: str | bytes, label: str | None = None, name: str | None = None) -> NetworkList:
    raw = data.encode() if isinstance(data, str) else data
    return recognise(raw, label=label, name=name, default_name="own", origin="a test", today=TODAY)


def aws(number: int = 12, **more: Any) -> dict[str, Any]:
    rented = [
        {"ip_prefix": f"3.{n * 2}.0.0/16", "region": "eu-west-1", "service": "EC2"} for n in range(number)
    ]
    return {
        "syncToken": "1", "createDate": "2026-10-05-11-34-21",
        "prefixes": [*rented, {"ip_prefix": "13.224.0.0/14", "region": "GLOBAL", "service": "CLOUDFRONT"}],
        "ipv6_prefixes": [{"ipv6_prefix": "2600:1f18::/33", "region": "us-east-1", "service": "EC2"}],
        **more,
    }  # fmt: skip


def google(number: int = 12, service: str | None = "Google Cloud") -> dict[str, Any]:
    entries: list[dict[str, str]] = [{"ipv4Prefix": f"34.{n * 2}.0.0/16"} for n in range(number)]
    entries.append({"ipv6Prefix": "2600:1900::/35"})
    for entry in entries:
        if service is not None:
            entry |= {"service": service, "scope": "us-east1"}
    return {"syncToken": "1", "creationTime": "2026-11-20T12:00:00.1", "prefixes": entries}


def azure(number: int = 12) -> dict[str, Any]:
    def tag(name: str, prefixes: list[str]) -> dict[str, Any]:
        return {"name": name, "id": name, "properties": {"platform": "Azure", "addressPrefixes": prefixes}}

    return {
        "changeNumber": 1, "cloud": "Public",
        "values": [
            tag("ActionGroup", ["4.1.1.1/32"]), tag("AzureCloud.eastus", ["20.1.0.0/16"]),
            tag("AzureCloud", [f"20.{n * 2}.0.0/16" for n in range(number)] + ["2603:1000::/24"]),
        ],
    }  # fmt: skip


def test_of_aws_what_is_rented_out_is_taken() -> None:
    one = taken(json.dumps(aws()))
    assert (one.kind, one.name, one.date) == ("hosting", "AWS", dt.date(2026, 10, 5))
    assert write_blocks(one.blocks)[:2] == ["3.0.0.0/16", "3.2.0.0/16"]
    assert "13.224.0.0/14" not in write_blocks(one.blocks)
    assert write_blocks(one.blocks)[-1] == "2600:1f18::/33"


def test_of_google_cloud_everything_is_taken() -> None:
    one = taken("\ufeff\n " + json.dumps(google()))
    assert (one.kind, one.name, one.date, len(one.blocks)) == (
        "hosting", "Google Cloud", dt.date(2026, 11, 20), 13,
    )  # fmt: skip


def test_googles_own_networks_are_refused_because_gmails_image_proxy_is_among_them() -> None:
    with pytest.raises(ListError, match=r"take cloud\.json"):
        taken(json.dumps(google(service=None)))


def test_of_azure_the_whole_cloud_is_taken_once() -> None:
    one = taken(json.dumps(azure()))
    assert (one.kind, one.name, len(one.blocks)) == ("hosting", "Azure", 13)


def test_label_and_name_can_be_given() -> None:
    one = taken(json.dumps(aws()), label="security", name="Mine")
    assert (one.kind, one.name) == ("security", "Mine")


@pytest.mark.parametrize("made", [aws(3), google(3), azure(3)], ids=["aws", "google", "azure"])
def test_a_cloud_with_a_handful_of_networks_is_a_broken_answer(made: dict[str, Any]) -> None:
    with pytest.raises(ListError, match="fewer than 10"):
        taken(json.dumps(made))


def test_a_plain_list_may_have_comments_columns_and_lone_addresses() -> None:
    one = taken(
        "# mine\n\n5.9.0.0/16 # a\n5.10.0.0/16,DE,,\n; x\n// y\n\t6.6.6.6;z\r\n2a01:4f8::/32\n", "hosting"
    )
    assert write_blocks(one.blocks) == ["5.9.0.0/16", "5.10.0.0/16", "6.6.6.6/32", "2a01:4f8::/32"]
    assert (one.name, one.date) == ("own", TODAY)


def test_apples_list_of_relays_is_taken_as_it_is() -> None:
    text = "172.224.226.0/31,GB,GB-EN,London,\n2a02:26f7:b000::/64,GB,GB-EN,London,\n"
    one = taken(text, "relay", "iCloud Private Relay")
    assert write_blocks(one.blocks) == ["172.224.226.0/31", "2a02:26f7:b000::/64"]


def test_an_spf_record_is_taken_as_dig_prints_it() -> None:
    text = (
        '"v=spf1 ip4:195.130.217.0/24 +ip4:91.22" "0.42.0/24 a ip6:2a02:5be0::/47 include:x.example ~all"\n'
    )
    one = taken(text, "mail-filter", "Mimecast")
    assert write_blocks(one.blocks) == ["91.220.42.0/24", "195.130.217.0/24", "2a02:5be0::/47"]


def test_a_plain_list_does_not_say_what_it_is() -> None:
    with pytest.raises(LabelNeededError):
        taken("5.9.0.0/16\n")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "fewer than 1"),
        (b"# nothing\n", "fewer than 1"),
        (b"v=spf1 include:x.example ~all", "fewer than 1"),
        (b"<!doctype html><title>404</title>", "line 1"),
        (b"5.9.0.0/16\n0.0.0.0/0\n", "line 2: '0.0.0.0/0' is far too large"),
        (b"5.9.0.0/16\n192.168.0.0/16\n", "line 2: '192.168.0.0/16' is private"),
        (b"5.9.0.0/16\nmail.example.com\n", "line 2"),
        (b"\x89PNG\r\n\x1a\n\x00", "it is no text"),
        (b"5.9.0.0/16\x00", "it is no text"),
        (b"\xff\xfe5\x00.\x00", "it is no text"),
        (b"x" * (MAX_BYTES + 1), "larger than 32 MB"),
        (b"[" * 200_000, "is none"),
        (b'{"a":' * 200_000, "is none"),
        (b'{"prefixes": 1' + b"0" * 10_000 + b"}", "JSON"),
        (b"{}", "not as AWS"),
        (b"[]", "not as AWS"),
        (b'{"prefixes": [], "ipv6_prefixes": []}', "fewer than 10"),
        (b'{"prefixes": [1], "ipv6_prefixes": []}', "without a network"),
        (b'{"prefixes": [{"ip_prefix": 5}], "ipv6_prefixes": []}', "without a network"),
        (b'{"prefixes": [{"ip_prefix": "10.0.0.0/8", "service": "EC2"}], "ipv6_prefixes": []}', "private"),
        (b'{"values": [{"name": "AzureCloud"}]}', "no addressPrefixes"),
        (
            b'{"values": [{"name": "AzureCloud", "properties": {"addressPrefixes": [1]}}]}',
            "no addressPrefixes",
        ),
        (b'{"values": ["x"]}', "no tag"),
        (b"\n".join(b"5.9.%d.%d" % (n >> 8 & 255, n & 255) for n in range(500_001)), "more than 500000"),
    ],
    ids=range(24),
)
def test_hostile_sources_are_refused_whole(data: bytes, said: str) -> None:
    with pytest.raises(ListError) as caught:
        taken(data, "hosting")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


json_values = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=9), st.sampled_from(["5.9.0.0/16", "EC2"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["prefixes", "ipv6_prefixes", "values", "name", "properties", "addressPrefixes",
                             "ip_prefix", "ipv4Prefix", "service", "createDate", "x"]), inner, max_size=5),
    ),
    max_leaves=25,
)  # fmt: skip


@given(json_values)
def test_no_json_does_worse_than_being_refused(value: Any) -> None:
    try:
        taken(json.dumps(value), "hosting")
    except ListError as error:
        assert str(error)  # noqa: PT017, some are lists


@given(st.one_of(st.binary(), st.text().map(str.encode)), st.sampled_from([None, "hosting"]))
def test_no_bytes_do_worse_than_being_refused(data: bytes, label: str | None) -> None:
    try:
        taken(data, label)
    except ListError as error:
        assert len(str(error)) < 200  # noqa: PT017


def test_a_date_to_come_is_today() -> None:
    assert taken(json.dumps(aws(createDate="2999-01-01-0-0-0"))).date == TODAY
    assert taken(json.dumps(aws(createDate=["x"]))).date == TODAY
