"""Which IP addresses count as public."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepack.net.ranges import is_public, is_within

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255
    127.0.0.1 127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2
    172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.8 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1
    192.88.99.1 192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1
    203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::10.0.0.1 ::8.8.8.8
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1
    64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::10.1.2.3 64:ff9b:1::1 64:ff9b:1::a9fe:a9fe
    100::1 100:0:0:1::1 2001::1 2001:0:7f00:1::1 2001:2::1 2001:10::1 2001:20::1 2001:1ff::1 2001:db8::1
    2002:7f00:1:: 2002:a9fe:a9fe::1 2002:808:808::1 2620:4f:8000::1 3fff::1 3fff:fff::1 5f00::1
    fc00::1 fd00:ec2::254 fe80::1 fe80::1%lo fec0::1 ff02::1 ff0e::1 4000::1 1000::1
    2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:10.0.0.1 2606:4700::5efe:169.254.169.254
    2606:4700:4700::1111%eth0
""".split()  # noqa: SIM905 - reads better than with quotes
PUBLIC = """
    8.8.8.8 1.1.1.1 93.184.216.34 2606:4700:4700::1111 2a00:1450:4001::1
    9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 169.253.255.255
    172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2001:200::1 2003::1 2606:4700::5efe:8.8.8.8
""".split()  # noqa: SIM905 - reads better than with quotes


def test_at_least_52_blocked_and_5_allowed_addresses_are_tested() -> None:
    """At least 52 addresses must be blocked and 5 allowed."""
    assert len(set(NOT_PUBLIC)) >= 52
    assert len(set(PUBLIC)) >= 5


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_reserved_addresses_are_not_public(address: str) -> None:
    """Special addresses are not public, in whichever form they are written."""
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_ordinary_addresses_are_public(address: str) -> None:
    """Ordinary addresses are public, up to the edges of the special ranges."""
    assert is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_like_the_plain_one(address: IPv4Address) -> None:
    """Mapped, NAT64 and ISATAP forms of an IPv4 address are exactly as public as the address itself."""
    plain = is_public(address)
    for prefix in ("::ffff:0:0", "64:ff9b::", "2606:4700::5efe:0:0", "2a00:1450::200:5efe:0:0"):
        embedded = IPv6Address(int(IPv6Address(prefix)) | int(address))
        assert is_public(embedded) == plain, embedded


@given(st.ip_addresses(v=6))
def test_ipv6_outside_global_unicast_is_public_only_by_its_ipv4(address: IPv6Address) -> None:
    """Outside 2000::/3 only mapped and NAT64 addresses can be public."""
    embeds = any(address in ip_network(prefix) for prefix in ("::ffff:0:0/96", "64:ff9b::/96"))
    if address not in ip_network("2000::/3") and not embeds:
        assert not is_public(address)


def test_a_mapped_address_is_in_its_ipv4_network() -> None:
    """An allowed IPv4 network covers the mapped form, but nothing with a zone and nothing outside."""
    network = ip_network("127.0.0.0/8")
    assert is_within(ip_address("127.1.2.3"), network)
    assert is_within(ip_address("::ffff:127.0.0.1"), network)
    assert not is_within(ip_address("::1"), network)
    assert not is_within(ip_address("10.0.0.1"), network)
    assert is_within(ip_address("fd00::1"), ip_network("fd00::/8"))
    assert not is_within(ip_address("fd00::1%eth0"), ip_network("fd00::/8"))
