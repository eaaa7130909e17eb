"""The look-up of network labels agrees with the standard library, whatever the lists and the addresses."""

from __future__ import annotations

import ipaddress
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.hits.networks import KINDS, Block, Networks, kind_of, label_of, owner_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Few bits that differ, so that networks overlap, touch and nest, and addresses fall on their edges.
_bits4 = st.one_of(st.integers(0, 63).map(lambda n: (5 << 24) + n), st.integers(0, 2**32 - 1))
_bits6 = st.one_of(st.integers(0, 63).map(lambda n: (0x2001 << 112) + n), st.integers(0, 2**128 - 1))
networks4 = st.builds(
    lambda bits, length: ipaddress.ip_network((bits, length), strict=False), _bits4, st.integers(0, 32)
)
networks6 = st.builds(
    lambda bits, length: ipaddress.ip_network((ipaddress.IPv6Address(bits), length), strict=False),
    _bits6, st.integers(0, 128),
)  # fmt: skip
addresses = st.one_of(_bits4.map(ipaddress.IPv4Address), _bits6.map(ipaddress.IPv6Address))
lists = st.lists(st.tuples(st.one_of(networks4, networks6), st.sampled_from(KINDS)), max_size=30)


def block(network: Network) -> Block:
    return Block(network.version, int(network.network_address), int(network.broadcast_address))


@given(lists, st.lists(addresses, min_size=1))
@settings(max_examples=300)
def test_it_finds_what_a_plain_search_finds(
    listed: list[tuple[Network, str]], asked: list[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> None:
    networks = Networks((block(network), kind) for network, kind in listed)
    edges = [one for network, _ in listed for one in (network.network_address, network.broadcast_address)]
    for address in [*asked, *edges]:
        holding = [kind for network, kind in listed if address in network]
        assert networks.label(str(address)) == min(holding, key=KINDS.index, default=None)


@given(lists)
def test_the_order_of_the_lists_does_not_matter(listed: list[tuple[Network, str]]) -> None:
    there, back = (
        Networks((block(network), kind) for network, kind in one) for one in (listed, listed[::-1])
    )
    for network, _ in listed:
        address = str(network.network_address)
        assert there.label(address) == back.label(address)


def test_the_narrower_of_two_networks_of_one_kind_wins() -> None:
    wide, narrow = ipaddress.ip_network("5.0.0.0/8"), ipaddress.ip_network("5.9.0.0/16")
    networks = Networks([(block(narrow), "hosting/Narrow"), (block(wide), "hosting/Wide")])
    assert networks.label("5.9.1.1") == "hosting/Narrow"
    assert networks.label("5.8.1.1") == networks.label("5.10.0.0") == "hosting/Wide"
    assert len(networks) == 3


def test_a_mail_filter_inside_a_data_centre_is_a_mail_filter_and_a_relay_is_none() -> None:
    cloud = block(ipaddress.ip_network("5.0.0.0/8"))
    inside = block(ipaddress.ip_network("5.9.0.0/16"))
    assert Networks([(cloud, "hosting/A"), (inside, "relay/B")]).label("5.9.1.1") == "relay/B"
    assert Networks([(cloud, "mail-filter/A"), (inside, "relay/B")]).label("5.9.1.1") == "mail-filter/A"


@given(st.one_of(st.none(), st.text()))
def test_what_is_no_address_has_no_label(text: str | None) -> None:
    everything = Networks([(Block(4, 0, 2**32 - 1), "hosting"), (Block(6, 0, 2**128 - 1), "hosting")])
    try:
        ipaddress.ip_address(text or "")
    except ValueError:
        assert everything.label(text) is None


def test_without_lists_nothing_has_a_label() -> None:
    assert Networks([]).label("5.9.1.1") is Networks([]).label("2001:db8::1") is None


def test_labels_say_kind_and_owner_and_can_be_stored() -> None:
    assert label_of("hosting", "AWS") == "hosting/AWS"
    assert (kind_of("hosting/AWS"), owner_of("hosting/AWS")) == ("hosting", "AWS")
    assert (kind_of("hosting"), owner_of("hosting")) == ("hosting", "hosting")
    assert kind_of(None) is None
    assert all(len(label_of(kind, "x" * 28)) <= 40 for kind in KINDS)


def test_a_look_up_is_a_matter_of_microseconds() -> None:
    networks = Networks((Block(4, n << 16, (n << 16) + 255), "hosting") for n in range(0, 60_000, 3))
    asked = [str(ipaddress.IPv4Address(n * 65_537)) for n in range(1, 20_000)]
    start = time.perf_counter()
    for address in asked:
        networks.label(address)
    assert (time.perf_counter() - start) / len(asked) < 20e-6  # 0.8 µs on a quiet machine
