"""The address guard: which URLs may be fetched or called.

It has three layers: the text of a URL is checked (``check_url``), every address that its host resolves to is checked
(``lookup``), and the connection is made to one of the checked addresses (``session``).
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from framepack.errors import SourceFailed, SourceNotAllowed
from framepack.net.ranges import Address, Network, is_public, is_within
from framepack.setting_checks import HOST_NAME, MAX_URL_CHARACTERS, WEB_PORTS, port_range

if TYPE_CHECKING:
    from framepack.settings import Settings

logger = logging.getLogger("framepack.net")

Resolver: TypeAlias = Callable[..., Sequence[tuple[Any, ...]]]

_MAX_HOST_LENGTH = 253
_SCHEME_PORTS = {"http": 80, "https": 443}
_UNSAFE_CHARACTER = re.compile(r"[\x00-\x20\x7f-\xa0\\\ud800-\udfff]|\s")
_AUTHORITY = re.compile(r"[a-z]+://([^/?#]*)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa", ".lan")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which addresses may be reached.

    Attributes:
        allowed_hosts: Host names or CIDR blocks that are allowed although they are private, on any port.
        https_only: Whether plain http is refused.
        ports: Allowed ports of public hosts.
        resolve: Resolves host names; has the signature of ``socket.getaddrinfo``.
    """

    allowed_hosts: tuple[str, ...] = ()
    https_only: bool = False
    ports: frozenset[int] = frozenset(map(int, WEB_PORTS))
    resolve: Resolver = socket.getaddrinfo

    @classmethod
    def from_settings(cls, settings: Settings) -> Policy:
        """Build the policy of one worker."""
        ports = frozenset(port for text in settings.allowed_ports for port in port_range(text))
        return cls(allowed_hosts=settings.allowed_hosts, https_only=settings.https_only, ports=ports)

    def names(self, host: str) -> bool:
        """Whether ``host`` itself is one of the allowed hosts."""
        plain = host.rstrip(".").lower()
        return any(plain == allowed.rstrip(".").lower() for allowed in self.allowed_hosts)

    def covers(self, address: Address) -> bool:
        """Whether ``address`` is in one of the allowed CIDR blocks."""
        return any(is_within(address, network) for network in self._networks())

    def may_be_public(self, host: str) -> bool:
        """Whether a host name or address may belong to a public server, as far as its text tells."""
        address = _literal(host)
        if address is not None:
            return is_public(address)
        plain = host.rstrip(".")
        return "." in plain and not plain.endswith(_LOCAL_SUFFIXES)

    def is_usual(self, host: str, port: int) -> bool:
        """Whether a host name and port may belong to a public server, or to an address in an allowed CIDR block."""
        return self.names(host) or bool(self._networks()) or (port in self.ports and self.may_be_public(host))

    def permits(self, address: Address, port: int) -> bool:
        """Whether a connection to ``address`` and ``port`` may be made."""
        return self.covers(address) or (is_public(address) and port in self.ports)

    def _networks(self) -> list[Network]:
        return [network for network in map(_network, self.allowed_hosts) if network is not None]


@dataclass(frozen=True, slots=True)
class ParsedTarget:
    """A checked URL, parsed by the same parser that the connection uses.

    Attributes:
        url: The URL in normal form, without fragment.
        scheme: ``http`` or ``https``.
        host: ASCII host name in lower case, or an IP address without brackets.
        port: From 1 to 65535.
        path: Path without the query, percent-encoded.
    """

    url: str
    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: the part of a URL that may be logged."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def check_url(url: str, policy: Policy) -> ParsedTarget:
    """Parse ``url`` and check its text; host names are not resolved.

    Raises:
        SourceNotAllowed: The URL is not allowed.
    """
    target = _parse(url, policy)
    address = _literal(target.host)
    if address is None:
        is_allowed = policy.is_usual(target.host, target.port)
    else:
        is_allowed = policy.permits(address, target.port) or policy.names(target.host)
    if not is_allowed:
        _refuse_host(policy, target.host, target.port, f"host or port of {target.origin}")
    return target


def check_public(url: str, policy: Policy) -> None:
    """Check a URL that another library will connect to: its text and the addresses of its host.

    The library resolves the host again, so this protects less than a request through ``session``.

    Raises:
        SourceNotAllowed: The URL is not allowed.
        SourceFailed: The host cannot be resolved.
    """
    target = check_url(url, policy)
    lookup(target.host, target.port, policy)


def lookup(host: str, port: int, policy: Policy) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """Resolve ``host`` once and return the allowed addresses as pairs of family and socket address.

    Raises:
        SourceNotAllowed: At least one of the addresses is not allowed.
        SourceFailed: The host cannot be resolved.
    """
    try:
        answers = policy.resolve(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        logger.info("Lookup of %s failed: %s", host, type(error).__name__)
        raise SourceFailed("The server of this URL could not be found.") from error
    found: list[tuple[socket.AddressFamily, tuple[Any, ...]]] = []
    for family, _, _, _, sockaddr in answers:
        address = ip_address(sockaddr[0])
        if not policy.permits(address, port) and not policy.names(host):
            _refuse_host(policy, host, port, f"{host} resolves to {address}, port {port}")
        found.append((family, sockaddr))
    if not found:
        raise SourceFailed("The server of this URL could not be found.")
    return found


def _parse(url: str, policy: Policy) -> ParsedTarget:
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    if len(url) > MAX_URL_CHARACTERS:
        _refuse(policy, "too long", f"it has {len(url)} characters; at most {MAX_URL_CHARACTERS} are allowed")
    if unsafe := _UNSAFE_CHARACTER.search(url):
        _refuse(policy, "a character that is not allowed in URLs", _character_reason(unsafe[0]))
    try:
        parts = parse_url(url)
    except LocationParseError:
        _refuse(policy, "cannot be parsed")
    scheme = parts.scheme or ""
    if scheme not in (("https",) if policy.https_only else _SCHEME_PORTS):
        _refuse(policy, "scheme")
    authority = _AUTHORITY.match(url)
    if authority is not None and "@" in authority[1]:
        _refuse(policy, "user information", "it must not contain a user name or a password")
    if authority is None or authority[1].endswith(":"):
        _refuse(policy, "no authority, or an empty port")
    host = (parts.host or "").removeprefix("[").removesuffix("]")
    port = _SCHEME_PORTS[scheme] if parts.port is None else parts.port
    if not port or not _is_host(host):
        _refuse(policy, "no usable host or port")
    normal = parts._replace(auth=None, path=parts.path or "/", fragment=None)
    return ParsedTarget(normal.url, scheme, host, port, normal.path or "/")


def _is_host(host: str) -> bool:
    """Whether ``host`` is an address in its usual form, or a name that no resolver takes for an address."""
    if _literal(host) is not None:
        return True
    ends_in_number = _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None
    return not ends_in_number and len(host) <= _MAX_HOST_LENGTH and HOST_NAME.fullmatch(host) is not None


def _literal(host: str) -> Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id is not None else address


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _refuse(policy: Policy, reason: str, told: str | None = None) -> NoReturn:
    """Refuse a URL.

    What the client is told must depend on the text of the URL and the policy alone: a message that depended on what a
    name resolves to would let clients map the private network.

    Args:
        policy: The policy.
        reason: For the log.
        told: The reason that the client is told; None for the general one, which also covers private hosts.
    """
    logger.info("URL refused: %s", reason)
    what = "https" if policy.https_only else "http or https"
    general = f"use a public {what} address, or a host that the operator lists in FRAMEPACK_ALLOWED_HOSTS"
    raise SourceNotAllowed(f"This URL is not allowed: {told or general}.")


def _refuse_host(policy: Policy, host: str, port: int, reason: str) -> NoReturn:
    """Refuse a URL because of its host, or because of its port if the host's text does not rule it out."""
    told = None
    if port not in policy.ports and policy.may_be_public(host):
        told = (
            f"port {port} is not one of the allowed ports ({_in_words(policy.ports)}); "
            "the operator can add it to FRAMEPACK_ALLOWED_PORTS"
        )
    _refuse(policy, reason, told)


def _character_reason(character: str) -> str:
    if character == " ":
        return "it contains a blank, which must be written as %20"
    shown = f'"{character}"' if character.isprintable() else f"U+{ord(character):04X}"
    return f"it contains the character {shown}, which must be percent-encoded"


def _in_words(ports: Iterable[int]) -> str:
    """Ports in order, those that follow each other as ranges."""
    runs: list[list[int]] = []
    for port in sorted(ports):
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)
