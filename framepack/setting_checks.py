"""Validators of settings. Each returns the value to use, or raises a ValueError that says what is allowed.

The message completes the sentence "FRAMEPACK_... must be ...".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from framepack.filenames import is_segment

HOST_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})*\.?")
BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
MAX_URL_CHARACTERS: Final = 8192
"""Maximum length of a URL: presigned ones with a session token pass 2,000 characters."""
WEB_PORTS: Final = ("80", "443")
"""The ports of http and https."""

PINNED_MODEL: Final = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")

_DEVICE: Final = re.compile(r"auto|cpu|cuda(:\d+)?")
_FACTORY: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ORIGIN: Final = re.compile(r"https?://(?P<host>[^/:]+)(?::(?P<port>\d+))?")
_PORTS: Final = re.compile(r"(?P<first>[0-9]{1,5})(-(?P<last>[0-9]{1,5}))?", re.ASCII)
_MAX_PORT: Final = 65_535
_SIGNING_PREFIX: Final = "whsec_"


def store(text: str) -> str:
    """``file:FOLDER`` with the folder made absolute, or ``s3://BUCKET/PREFIX``."""
    kind, _, place = text.partition(":")
    if kind == "file" and place.strip():
        return f"file:{absolute(Path(place))}"
    if kind != "s3" or not place.startswith("//"):
        raise ValueError("file:FOLDER or s3://BUCKET/PREFIX")
    bucket, _, prefix = place.removeprefix("//").partition("/")
    if not BUCKET.fullmatch(bucket):
        raise ValueError("s3://BUCKET/PREFIX with a bucket of 3 to 255 letters, digits, dots, dashes or underscores")
    if prefix.strip("/") and not all(is_segment(each) for each in prefix.strip("/").split("/")):
        raise ValueError("s3://BUCKET/PREFIX with a prefix of names such as videos/2025")
    return text


def absolute(path: Path) -> Path:
    """The absolute path, which stays right when the current folder changes."""
    return path.expanduser().absolute()


def web_address(text: str) -> str:
    """An http or https address that paths can be appended to."""
    parsed_address(text)
    return text


def parsed_address(text: str) -> SplitResult:
    """The parts of an http or https address that paths can be appended to."""
    allowed = "an http or https address without user name, query or fragment, such as https://video.example.com"
    try:
        url = urlsplit(text.strip())
        port_is_right = url.port is None or url.port > 0
    except ValueError as error:
        raise ValueError(allowed) from error
    if url.scheme not in {"http", "https"} or not url.hostname or not port_is_right:
        raise ValueError(allowed)
    if "@" in url.netloc or url.query or url.fragment or any(char.isspace() for char in url.geturl()):
        raise ValueError(allowed)
    return url


def host_or_network(text: str) -> str:
    """A host name, an IP address or a CIDR block."""
    try:
        ip_network(text, strict=False)
    except ValueError as error:
        if not HOST_NAME.fullmatch(text.lower()):
            allowed = "host names, IP addresses or networks such as 10.0.0.0/8, without port, separated by commas"
            raise ValueError(allowed) from error
    return text


def web_origin(text: str) -> str:
    """An origin of web pages as browsers send it, in lower case, or ``*``."""
    origin = text.lower()
    if origin == "*":
        return origin
    parts = _ORIGIN.fullmatch(origin)
    if parts is None or not HOST_NAME.fullmatch(parts["host"]):
        example = "https://app.example.com or http://localhost:3000"
        raise ValueError(f"origins such as {example}, without path, separated by commas, or *")
    port_range(parts["port"] or "1")
    return origin


def ports(text: str) -> str:
    """A port, or a range such as 9000-9010."""
    port_range(text)
    return text


def port_range(text: str) -> range:
    """The ports of ``ports``."""
    parts = _PORTS.fullmatch(text)
    if parts is not None:
        first, last = int(parts["first"]), int(parts["last"] or parts["first"])
        if 1 <= first <= last <= _MAX_PORT:
            return range(first, last + 1)
    raise ValueError("ports from 1 to 65535 or ranges such as 9000-9010, separated by commas")


def device(text: str) -> str:
    """A device for inference."""
    if not _DEVICE.fullmatch(text):
        raise ValueError("auto, cpu, cuda or cuda:N")
    return text


def factory(text: str) -> str:
    """A reference to a factory function."""
    if not _FACTORY.fullmatch(text):
        raise ValueError("of the form package.module:factory")
    return text


def language_model(default: str) -> Callable[[str], str]:
    """The validator of a language model: the default one, another one with its revision, or a folder."""

    def check(text: str) -> str:
        if text == default or PINNED_MODEL.fullmatch(text):
            return text
        path = Path(text).expanduser()
        if path.is_absolute() or path.is_dir():  # the volume may not be mounted yet; the model's first job finds out
            return str(absolute(path))
        raise ValueError(f"{default}, another model as organization/name@COMMIT (40 hex digits), or a folder")

    return check


def header_value(text: str) -> str:
    """Text that the header of a request can carry; servers and proxies read other characters in different ways."""
    if not text.isascii() or not text.isprintable():
        raise ValueError("values of printable ASCII characters separated by commas")
    return text


def signing_key(secret: str) -> bytes:
    """The key in a secret of Standard Webhooks: ``whsec_`` and base64, or any other text as UTF-8."""
    key = secret.encode()
    if secret.startswith(_SIGNING_PREFIX):
        text = secret.removeprefix(_SIGNING_PREFIX).rstrip("=")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            key = b""
    if not key:
        raise ValueError("whsec_ followed by base64, or any other text")
    return key
