"""Files of networks: what comes with mailbell, what an operator adds, and what hostile files do not do."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.hits import network_lists
from tracker.hits.network_lists import (
    ListError,
    NetworkList,
    build,
    in_use,
    parse_block,
    read_lists,
    write_list,
)
from tracker.hits.networks import KINDS, Block

HEAD = "# label: hosting\n# date: 2026-10-05\n"
DAY = dt.date(2026, 10, 5)

numbers4 = st.builds(
    lambda bits, length: ipaddress.ip_network((bits, length), strict=False),
    st.integers(1 << 24, (224 << 24) - 1), st.integers(8, 32),
)  # fmt: skip
numbers6 = st.builds(
    lambda bits, length: ipaddress.ip_network(((1 << 125) + bits, length), strict=False),
    st.integers(0, 2**125 - 1), st.integers(16, 128),
)  # fmt: skip


def is_special(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """What is not of the Internet; IPv6 examples are all drawn from where the Internet is."""
    local = (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
    )
    return network.version == 4 and any(
        network.overlaps(ipaddress.ip_network(one)) for one in (*local, "198.18.0.0/15")
    )


@given(st.one_of(numbers4, numbers6))
@settings(max_examples=300)
def test_a_network_is_read_as_the_standard_library_reads_it(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> None:
    if is_special(network):
        with pytest.raises(ListError, match="private"):
            parse_block(str(network))
        return
    block = parse_block(str(network))
    assert block == (network.version, int(network.network_address), int(network.broadcast_address))


@given(st.text(max_size=60))
def test_anything_else_is_refused_and_never_anything_worse(text: str) -> None:
    try:
        block = parse_block(text)
    except ListError as error:
        said = str(error)
        assert len(said) < 200
    else:
        assert int(ipaddress.ip_network(text).network_address) == block.first


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0/0", "::/0", "0.0.0.0", "10.0.0.0/8", "192.168.1.0/24", "127.0.0.1", "fe80::/64", "fc00::/16",
        "::1", "169.254.169.254", "100.64.0.0/10", "224.0.0.0/8", "1.0.0.0/7", "2000::/3", "5.9.0.1/16",
        "5.9.0.0/33", "5.9.0.0/-1", "5.9.0.0/", "5.9.0.0/1６", "5.9.0.0/016x", "5.9.0", "5.9.0.0.0/16",
        "2001:db8::%eth0/64", "::ffff:5.9.0.0/112", "0x5.9.0.0/16", "5.9.0.0/9999999999", "", "/", "\x00",
    ],
)  # fmt: skip
def test_what_no_list_may_hold(text: str) -> None:
    with pytest.raises(ListError):
        parse_block(text)


@given(
    st.lists(st.one_of(numbers4, numbers6).filter(lambda one: not is_special(one)), min_size=1, max_size=40)
)
def test_joining_keeps_every_address_and_no_other(
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> None:
    lines = network_lists.write_blocks(parse_block(str(one)) for one in networks)
    for version in (4, 6):
        wanted = ipaddress.collapse_addresses(one for one in networks if one.version == version)  # type: ignore[type-var]
        assert [ipaddress.ip_network(one) for one in lines if (":" in one) == (version == 6)] == list(wanted)


def test_a_list_that_was_written_is_read_back() -> None:
    blocks = tuple(map(parse_block, ("5.9.0.0/16", "5.10.0.0/16", "2a01:4f8::/32")))
    one = NetworkList("hosting", "Own Cloud", blocks, DAY, "a file\n# label: relay\n[x]", "mine")
    (back,) = read_lists(write_list(one))
    assert (back.kind, back.name, back.date, back.origin) == (
        "hosting", "Own Cloud", DAY, "a file # label: relay [x]",
    )  # fmt: skip
    assert network_lists.join_blocks(back.blocks) == network_lists.join_blocks(blocks)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "date"),
        ("# label: hosting\n[A]\n5.9.0.0/16", "date"),
        ("# label: bank\n# date: 2026-10-05\n[A]\n5.9.0.0/16", "'bank' is no label"),
        (HEAD + "5.9.0.0/16", "line 3: a network before"),
        (HEAD + "[A]\n5.9.0.0/16\nhello", "line 5: 'hello' is no network"),
        (HEAD + "[A]\n5.9.0.0/16\n10.1.0.0/16", "line 5: '10.1.0.0/16' is private"),
        (HEAD + "[A]\n", "A has no networks"),
        (HEAD + "[<script>]\n5.9.0.0/16", "is no name"),
        (HEAD + "[" + "x" * 29 + "]\n5.9.0.0/16", "is no name"),
        (HEAD + "[A]\n" + "\n".join(f"{n}.0.0.0/8" for n in range(11, 60)), "eighth of the Internet"),
        (HEAD + "[A]\n" + "x" * 100_000, "line 4: 'xxx"),
    ],
)
def test_a_file_that_is_wrong_says_where(text: str, said: str) -> None:
    with pytest.raises(ListError) as caught:
        read_lists(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "networks"
    folder.mkdir()
    return folder


def test_an_own_list_replaces_what_comes_with_mailbell_and_the_rest_stays(folder: Path) -> None:
    before = build(in_use(folder))
    assert before.label("5.9.1.1") == "hosting/Hetzner"
    (folder / "own.txt").write_text(HEAD + "[hetzner]\n23.88.0.0/17\n")
    after = build(in_use(folder))
    assert after.label("5.9.1.1") is None
    assert after.label("23.88.1.1") == "hosting/hetzner"
    assert after.label("104.47.3.4") == before.label("104.47.3.4") == "mail-filter/Exchange Online Protection"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00garbage", b"\x00" * 1000, b"5.9.0.0/16\n", b"[" * 5000, b""])
def test_a_broken_file_is_left_out_and_told_while_the_others_work(
    folder: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.txt").write_bytes(data)
    (folder / "good.txt").write_text(HEAD + "[Good]\n6.6.6.0/24\n")
    networks = build(in_use(folder))
    assert networks.label("6.6.6.6") == "hosting/Good"
    assert networks.label("5.9.1.1") == "hosting/Hetzner"
    assert "network list left out: broken.txt" in caplog.text


def test_a_huge_file_is_not_even_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(40 * 1024 * 1024)  # a hole on disk, not 40 MB
    assert build(in_use(folder)).label("5.9.1.1") == "hosting/Hetzner"
    assert "huge.txt: is larger than 32 MB" in caplog.text


def test_lists_that_overlap_agree_on_the_one_that_says_most(folder: Path) -> None:
    (folder / "a.txt").write_text(HEAD + "[A]\n5.0.0.0/8\n")
    (folder / "b.txt").write_text(HEAD.replace("hosting", "security") + "[B]\n5.9.0.0/17\n5.9.0.0/16\n")
    networks = build(in_use(folder))
    assert networks.label("5.9.1.1") == "security/B"
    assert networks.label("5.8.1.1") == "hosting/A"


def test_every_list_that_comes_with_mailbell_says_from_where_from_when_and_under_which_licence() -> None:
    lists = network_lists.shipped()
    assert {one.kind for one in lists} == {"mail-filter", "security", "hosting"}
    assert len({one.key for one in lists}) == len(lists)
    for one in lists:
        assert one.kind in KINDS
        assert one.origin
        assert one.licence
        assert dt.date(2026, 1, 1) < one.date


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("40.92.0.1", "mail-filter/Exchange Online Protection"),
        ("40.107.255.255", "mail-filter/Exchange Online Protection"),
        ("52.103.9.9", "mail-filter/Exchange Online Protection"),
        ("104.47.127.1", "mail-filter/Exchange Online Protection"),
        ("67.231.152.9", "mail-filter/Proofpoint"),
        ("205.139.110.61", "mail-filter/Mimecast"),
        ("68.232.140.1", "mail-filter/Cisco Secure Email"),
        ("209.222.82.3", "mail-filter/Barracuda Email Gateway"),
        ("85.158.137.5", "mail-filter/Symantec Email Security"),
        ("150.70.188.172", "security/Trend Micro"),
        ("64.235.150.10", "security/Barracuda"),
        ("18.208.22.64", "hosting/AWS"),
        ("20.42.1.1", "hosting/Azure"),
        ("35.184.1.1", "hosting/Google Cloud"),
        ("5.9.1.1", "hosting/Hetzner"),
        ("51.68.1.1", "hosting/OVH"),
        ("2a01:4f8:1::1", "hosting/Hetzner"),
    ],
)
def test_well_known_networks_are_known(address: str, label: str) -> None:
    assert build(network_lists.shipped()).label(address) == label


@pytest.mark.parametrize(
    "address",
    [
        "66.249.84.10", "66.102.8.10", "74.125.209.1",  # Gmail's image proxy
        "172.225.10.1", "104.28.40.1", "146.75.130.1", "2a02:26f7::1",  # Apple's Private Relay
        "17.58.1.1", "8.8.8.8", "1.1.1.1",
        "165.225.0.1", "136.226.0.1",  # Zscaler, through which companies browse
        "73.1.1.1", "86.1.1.1", "93.184.1.1", "2600:1700::1",  # people's lines
        "127.0.0.1", "10.1.1.1", "203.0.113.7", "198.51.100.7", "192.0.2.7", "2001:db8::7",
    ],
)  # fmt: skip
def test_networks_of_people_have_no_label(address: str) -> None:
    assert build(network_lists.shipped()).label(address) is None


def test_how_old_a_list_is_does_not_change_what_it_says(folder: Path) -> None:
    (folder / "old.txt").write_text("# label: hosting\n# date: 2019-01-01\n[Old]\n6.6.6.0/24\n")
    assert build(in_use(folder)).label("6.6.6.6") == "hosting/Old"


def test_five_hundred_thousand_networks_are_the_most() -> None:
    many = tuple(Block(4, n << 8, n << 8) for n in range(1 << 16, (1 << 16) + network_lists.MAX_BLOCKS + 1))
    with pytest.raises(ListError, match="the most is 500000"):
        network_lists.check(NetworkList("relay", "Many", many, DAY))
