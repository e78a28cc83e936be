"""Which URLs may be fetched or called."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from framepack.errors import SourceFailed, SourceNotAllowed
from framepack.net.addresses import Policy, check_public, check_url, lookup
from framepack.net.delivery import Courier
from framepack.net.download import Downloader
from framepack.settings import Settings
from tests.support.canary import Canary, Names

REFUSAL = (
    "This URL is not allowed: use a public http or https address, or a host that the operator lists in "
    "FRAMEPACK_ALLOWED_HOSTS."
)
PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:4700:4700::1111"

LOCAL_HOSTS = """
    127.0.0.1 127.255.255.254 localhost LOCALHOST localhost. app.localhost 0.0.0.0 0 0.1.2.3
    2130706433 0x7f000001 0177.0.0.1 017700000001 127.1 127.0.1 0x7f.1 127.0.0.1. 0x7f.0.0.0x1
    ①②⑦.⓪.⓪.① 127。0。0。1 127%2e0%2e0%2e1 %31%32%37.0.0.1
    [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [0:0:0:0:0:0:0:1]
    [64:ff9b::7f00:1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::1] [2002:7f00:1::] [2001:0:7f00:1::1]
    [2606:4700::5efe:10.0.0.1] [fe80::1] [fe80::1%25lo] [fe80::1%lo] [fc00::1] [fd00:ec2::254] [fec0::1] [ff02::1]
    10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1
    169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192
    metadata.google.internal metadata instance-data printer.local router.lan nas.home.arpa
    192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 192.88.99.1 224.0.0.1 240.0.0.1 255.255.255.255
    [2001:db8::1] [3fff::1] [5f00::1] [100::1] [good.example] [127.0.0.1] [::1 ::1] -bad.example a..example
""".split()  # noqa: SIM905 - reads better than with quotes
SCHEMES = """
    file:///etc/passwd file://127.0.0.1/etc/passwd ftp://good.example/x gopher://good.example/x
    data:text/plain,hi concat:/etc/passwd|/etc/hosts subfile,,start,0,end,9,,:/etc/passwd pipe:0
    crypto:file:///etc/passwd tee:a|b srt://good.example:9000 rtmp://good.example/live unix:/run/docker.sock
    s3://bucket/key javascript:alert(1) //good.example/x good.example/x http:good.example http:/good.example/x
    httpx://good.example/ ://good.example/ /etc/passwd
""".split()  # noqa: SIM905 - reads better than with quotes
MALFORMED = [
    "http://user:pw@good.example/",
    "http://@good.example/",
    "http://good.example@127.0.0.1/",
    "http://127.0.0.1#@good.example/",
    "http://127.0.0.1\\@good.example/",
    "http://good.example\\@127.0.0.1/",
    "http://good.example/a b",
    "http://good.example/\t",
    "http://good.example/\r\nHost: x",
    " http://good.example/",
    "http://good.example\n",
    "http://good.example/\x00",
    "http://good.example/\u00a0",
    "http://good.example/\u2028",
    "http://good.example/\ud800",
    "http://\x7f.example/",
    "http://good.example/" + "a" * 8192,
    "http://" + "a" * 64 + ".example/",
    "http://" + "a.é" * 200 + ".example/",
    "http:///x",
    "http://",
    "http://?x",
    "http://.example/",
    "http://*.example/",
    "",
]
PORTS = ["0", "22", "25", "6379", "8080", "65536", "-1", "", "٨٠", "80x", "99999999999999999999"]


def refusal_of(url: str, policy: Policy) -> str:
    """The text with which ``url`` is refused before and at the connection."""
    with pytest.raises(SourceNotAllowed) as refused:
        check_public(url, policy)
    return refused.value.message


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_no_spelling_of_a_private_host_gets_a_packet_out(host: str, tmp_path: Path) -> None:
    """Downloads and deliveries to private hosts are refused with one text and reach no listener."""
    with Canary() as canary:
        policy = Policy(ports=frozenset({canary.port}))
        url = f"http://{host}:{canary.port}/latest/meta-data"
        with pytest.raises(SourceNotAllowed) as fetched:
            Downloader(policy, 5).download(url, tmp_path / "file", max_bytes=1, check=lambda: None)
        called = Courier(policy).post(url, b"{}", {}, 5)
        assert (fetched.value.message, called.status, called.reason) == (REFUSAL, None, "address not allowed")
        assert canary.connections == 0
    assert not (tmp_path / "file").exists()


def test_the_network_canary_detects_connections() -> None:
    """The listener of the test above does see a connection that is allowed."""
    with Canary() as canary:
        courier = Courier(Policy(allowed_hosts=("127.0.0.1",)))
        courier.post(f"http://127.0.0.1:{canary.port}/", b"{}", {}, 0.3)
        assert canary.connections == 1


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "::1", "0"]
)
def test_the_lookup_alone_refuses_what_the_system_reads_as_loopback(host: str) -> None:
    """Numbers that the real resolver turns into this machine are refused by what they became."""
    with pytest.raises(SourceNotAllowed, match="not allowed"):
        lookup(host, 80, Policy())


@pytest.mark.parametrize("url", SCHEMES + MALFORMED)
def test_only_plain_http_urls_are_understood(url: str) -> None:
    """Other schemes, user information, and characters that parsers disagree on are refused before a name is asked."""
    names = Names({"good.example": [[PUBLIC]]})
    refusal = refusal_of(url, Policy(resolve=names))
    assert refusal.startswith("This URL is not allowed: ")
    assert "good.example" not in refusal
    assert names.asked == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://good.example/a b?token=s3cret", "it contains a blank, which must be written as %20."),
        ("http://good.example\\@x/", 'it contains the character "\\", which must be percent-encoded.'),
        ("http://good.example/\u00a0", "it contains the character U+00A0, which must be percent-encoded."),
        ("http://me:s3cret@good.example/", "it must not contain a user name or a password."),
        ("http://good.example/" + "a" * 8192, "it has 8212 characters; at most 8192 are allowed."),
    ],
)
def test_a_refusal_names_what_the_text_of_a_url_has_too_much(url: str, reason: str) -> None:
    """A blank, another character, a password and the length are named; the URL itself is not repeated."""
    assert refusal_of(url, Policy()) == f"This URL is not allowed: {reason}"


@pytest.mark.parametrize("port", PORTS)
def test_only_ports_80_and_443_of_public_hosts_are_allowed(port: str) -> None:
    """Public hosts are reached on 80 and 443 only, by name and by address, and the refusal names setting and port."""
    policy = Policy(resolve=Names({"good.example": [[PUBLIC]]}))
    refusals = {refusal_of(f"http://{host}:{port}/", policy) for host in ("good.example", PUBLIC)}
    told = (
        f"This URL is not allowed: port {port} is not one of the allowed ports (80, 443); "
        "the operator can add it to FRAMEPACK_ALLOWED_PORTS."
    )
    assert refusals == {told if port in {"22", "25", "6379", "8080"} else REFUSAL}


@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_no_spelling_of_a_private_host_profits_from_more_ports(host: str) -> None:
    """Ports that the operator allows are those of public hosts: private ones stay refused, in the same words."""
    settings = Settings(allowed_ports=("80", "443", "8443", "9000-9010", "10000-65535"))
    policy = replace(Policy.from_settings(settings), resolve=Names({}))
    for port in (8443, 9000, 9010, 31234, 22):
        assert refusal_of(f"http://{host}:{port}/", policy) == REFUSAL


def test_allowed_ports_open_public_hosts_and_names_that_resolve_to_them() -> None:
    """With other ports allowed, public hosts are reached on them; a name that resolves to a private one is not."""
    names = Names({"minio.example": [[PUBLIC]], "inside.example": [["10.0.0.7"]], PUBLIC: [[PUBLIC]]})
    policy = replace(Policy.from_settings(Settings(allowed_ports=("443", "9000-9010", "31234"))), resolve=names)
    for url in ("https://minio.example:9000/b/c.mp4", f"http://{PUBLIC}:31234/", "https://minio.example/"):
        check_public(url, policy)
    assert refusal_of("http://inside.example:9000/", policy) == REFUSAL
    assert "(443, 9000-9010, 31234)" in refusal_of("http://minio.example/", policy)


def test_a_refused_port_tells_nothing_about_what_a_name_resolves_to() -> None:
    """Where a private network is allowed, names are resolved; the refusal of their port stays the same for all."""
    names = Names({"outside.example": [[PUBLIC]], "inside.example": [["10.9.0.7"]]})
    policy = Policy(allowed_hosts=("10.0.0.0/24",), resolve=names)
    refusals = {refusal_of(f"http://{host}:9000/", policy) for host in ("outside.example", "inside.example")}
    assert len(refusals) == 1
    assert "port 9000" in refusals.pop()
    assert names.asked == ["outside.example", "inside.example"]


def test_a_long_presigned_url_passes() -> None:
    """A URL of 8,192 characters is judged like a short one."""
    names = Names({"bucket.example": [[PUBLIC]]})
    url = "https://bucket.example/clip.mp4?X-Amz-Security-Token="
    check_public(url + "a" * (8192 - len(url)), Policy(resolve=names))


@pytest.mark.parametrize(
    "url",
    [
        "http://good.example",
        "https://good.example/a/b.mp4?x=1&y=%20#part",
        "HTTPS://GOOD.example:443/",
        "http://good.example:443/",
        "http://good.example./",
        "http://münchen.example/ä/ö.mp4?ü=ß",
        f"http://{PUBLIC}/",
        "https://[2606:4700:4700::1111]/",
        "http://a_b.good.example/a:b@c/",
    ],
)
def test_public_urls_are_allowed(url: str) -> None:
    """Ordinary URLs pass, whatever their path and query hold."""
    hosts = ("good.example", "good.example.", "xn--mnchen-3ya.example", "a_b.good.example", PUBLIC, PUBLIC_6)
    names = Names({host: [[PUBLIC, PUBLIC_6]] for host in hosts})
    check_public(url, Policy(resolve=names))
    assert check_url(url, Policy()).host in hosts


def test_a_checked_url_is_normalized_and_has_no_fragment() -> None:
    """The parsed target has its parts in normal form and no fragment."""
    target = check_url("HTTPS://Good.Example/a%20b.mp4?x=ä#y", Policy())
    assert target.url == "https://good.example/a%20b.mp4?x=%C3%A4"
    assert (target.scheme, target.host, target.port) == ("https", "good.example", 443)
    assert (target.path, target.origin) == ("/a%20b.mp4", "https://good.example:443")


def test_a_name_with_one_private_address_is_refused() -> None:
    """A name with a public and a private address is refused, whichever comes first."""
    for addresses in ([PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"], ["fe80::1%lo"]):
        assert refusal_of("http://two.example/", Policy(resolve=Names({"two.example": [addresses]}))) == REFUSAL


def test_dns_rebinding_reaches_nothing(tmp_path: Path) -> None:
    """A host that was public when it was checked and private when it is fetched is refused."""
    with Canary() as canary:
        names = Names({"rebind.example": [[PUBLIC], ["127.0.0.1"]]})
        policy = Policy(resolve=names, ports=frozenset({canary.port}))
        url = f"http://rebind.example:{canary.port}/"
        check_public(url, policy)
        with pytest.raises(SourceNotAllowed, match="not allowed"):
            Downloader(policy, 5).download(url, tmp_path / "file", max_bytes=1, check=lambda: None)
        assert names.asked == ["rebind.example", "rebind.example"]
        assert canary.connections == 0


def test_an_unresolvable_name_is_a_failed_source() -> None:
    """A public-looking name that does not resolve is a failed source, not a forbidden one."""
    with pytest.raises(SourceFailed, match="could not be found"):
        check_public("http://gone.example/", Policy(resolve=Names({})))
    with pytest.raises(SourceFailed, match="could not be found"):
        lookup("empty.example", 80, Policy(resolve=Names({"empty.example": [[]]})))


def test_https_only_refuses_plain_http() -> None:
    """With ``https_only`` plain http is refused, and the text says so."""
    policy = Policy(https_only=True, resolve=Names({"good.example": [[PUBLIC]]}))
    check_public("https://good.example/", policy)
    assert refusal_of("http://good.example/", policy) == REFUSAL.replace("http or https", "https")


def test_allowed_cidr_opens_its_addresses_on_any_port() -> None:
    """An allowed CIDR opens the addresses in it, by number and by name, and nothing beside it."""
    names = Names(
        {
            **{host: [["10.0.0.7"]] for host in ("nas", "nas.lan", "10.0.0.7")},
            "other.lan": [["10.0.1.7"]],
            "mixed.lan": [["10.0.0.7", "10.0.1.7"]],
            "good.example": [[PUBLIC]],
        }
    )
    policy = Policy(allowed_hosts=("10.0.0.0/24",), resolve=names)
    for url in ("http://10.0.0.7:9000/", "http://nas:9000/", "http://nas.lan:9000/x", "http://good.example/"):
        check_public(url, policy)
    for url in (
        "http://10.0.1.7/",
        "http://other.lan/",
        "http://mixed.lan/",
        "http://127.0.0.1/",
    ):
        assert refusal_of(url, policy) == REFUSAL
    for url in ("http://good.example:9000/", f"http://{PUBLIC}:9000/"):
        assert "port 9000" in refusal_of(url, policy)


def test_allowed_name_opens_exactly_that_name() -> None:
    """An allowed name may resolve to anything on any port; names that end or begin like it may not."""
    names = Names({host: [["10.0.0.7"]] for host in ("minio.lan", "evil.minio.lan", "minio.lan.example")})
    policy = Policy(allowed_hosts=("Minio.lan",), resolve=names)
    check_public("http://minio.lan:9000/", policy)
    check_public("http://MINIO.LAN:22/", policy)
    for url in ("http://evil.minio.lan/", "http://minio.lan.example/", "http://10.0.0.7/"):
        assert refusal_of(url, policy) == REFUSAL


def test_the_policy_follows_the_settings() -> None:
    """All three settings arrive in the policy."""
    settings = Settings(allowed_hosts=("10.0.0.0/8", "minio"), https_only=True, allowed_ports=("443", "8000-8002"))
    policy = Policy.from_settings(settings)
    assert (policy.allowed_hosts, policy.https_only) == (("10.0.0.0/8", "minio"), True)
    assert policy.ports == {443, 8000, 8001, 8002}


def test_the_reason_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """The log tells why, and holds neither query nor user information nor inline data."""
    policy = Policy(resolve=Names({"inside.example": [["10.0.0.1"]]}))
    with caplog.at_level(logging.INFO, logger="framepack.net"):
        refusal_of("http://inside.example/x?token=s3cret", policy)
        refusal_of("http://10.0.0.1/x?token=s3cret", policy)
        refusal_of("http://me:s3cret@good.example/", policy)
        refusal_of("data:text/plain,s3cret", policy)
    assert "inside.example resolves to 10.0.0.1" in caplog.text
    assert len(caplog.records) == 4
    assert "s3cret" not in caplog.text
