"""The location of a bucket, parsed from the many ways in which people write an S3 endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from framepack.errors import InvalidField
from framepack.setting_checks import BUCKET, parsed_address

if TYPE_CHECKING:
    from framepack.net.addresses import Policy

DEFAULT_REGION = "us-east-1"

# Stores whose host name may start with the bucket (`bucket.s3.eu-west-1.amazonaws.com`).
_BUCKET_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9._-]+)\.)?"
    r"(?P<host>"
    r"s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?"
    r"|[0-9a-f]{32}\.(?:[a-z]+\.)?r2\.cloudflarestorage\.com"
    r"|s3\.[a-z0-9-]+\.backblazeb2\.com"
    r"|s3\.(?:[a-z0-9-]+\.)?wasabisys\.com"
    r"|storage\.googleapis\.com"
    r"|[a-z]{3}\d\.digitaloceanspaces\.com"
    r")"
)
_AWS_HOST = re.compile(r"s3(?:[.-][a-z]{2}(?:-[a-z]+)+-\d)?\.amazonaws\.com(?:\.cn)?")
_REGION_IN_HOST = re.compile(r"(?:^|\.)s3(?:-fips)?[.-](?:dualstack\.)?(?P<region>[a-z]{2}(?:-[a-z0-9]+)+)\.")
_RUNPOD_HOST = re.compile(r"s3api-(?P<region>[a-z0-9-]+)\.runpod\.io")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A bucket and its server.

    Attributes:
        bucket: Its name.
        endpoint_url: The server, without the bucket; None for AWS, whose servers follow from the region.
        region: The region that requests are signed for.
        path_style: Whether requests name the bucket in their path rather than in the host name.
        policy: Which addresses may be reached, for a server that a client chose; None for the deployment's.
    """

    bucket: str
    endpoint_url: str | None
    region: str
    path_style: bool
    policy: Policy | None = None

    @property
    def can_presign(self) -> bool:
        """Whether the server supports presigned links: RunPod's, for its network volumes, do not."""
        return _RUNPOD_HOST.fullmatch(urlsplit(self.endpoint_url or "").hostname or "") is None


def s3_location(bucket: str | None, endpoint_url: str | None = None, region: str | None = None) -> S3Location:
    """Find bucket, server and region.

    Args:
        bucket: Its name; None or empty if the endpoint contains it, as the first part of the host name or the last
            part of the path. If both name a bucket, this one counts.
        endpoint_url: ``http`` or ``https`` address of the server, with or without the bucket; None means AWS.
        region: None derives it from the host name: ``auto`` for Cloudflare R2, ``us-east-1`` if there is none in it.

    Raises:
        InvalidField: The bucket or the address is missing or invalid.
    """
    if not endpoint_url:
        return S3Location(_checked(bucket), None, region or DEFAULT_REGION, path_style=False)
    url = _parsed(endpoint_url)
    host, in_host = _without_bucket(url.hostname or "", bucket)
    path, in_path = _split_path(url.path, bucket or in_host)
    chosen = _checked(bucket or in_host or in_path)
    region = region or _region(host)
    if _AWS_HOST.fullmatch(host) and not url.port:
        return S3Location(chosen, None, region, path_style=False)
    address = f"[{host}]" if ":" in host else host
    port = f":{url.port}" if url.port else ""
    return S3Location(chosen, f"{url.scheme}://{address}{port}{path}", region, path_style=True)


def _parsed(endpoint_url: str) -> SplitResult:
    try:
        return parsed_address(endpoint_url)
    except ValueError as error:
        raise InvalidField(
            "The object store's endpoint must be an http or https address without user name, query or fragment."
        ) from error


def _without_bucket(host: str, bucket: str | None) -> tuple[str, str | None]:
    """Split ``bucket.host``, for known stores and for hosts that start with the given bucket."""
    known = _BUCKET_HOST.fullmatch(host)
    if known:
        return known["host"], known["bucket"]
    if bucket and host.startswith(f"{bucket}.") and "." in host.removeprefix(f"{bucket}."):
        return host.removeprefix(f"{bucket}."), bucket
    return host, None


def _split_path(path: str, bucket: str | None) -> tuple[str, str | None]:
    """Split the bucket off the end of the path; the rest is the path under which a gateway serves S3."""
    path = path.rstrip("/")
    mount, _, last = path.rpartition("/")
    if last and (not bucket or last == bucket):
        return mount, last
    return path, None


def _region(host: str) -> str:
    if host.endswith("r2.cloudflarestorage.com"):
        return "auto"
    if runpod := _RUNPOD_HOST.fullmatch(host):
        return runpod["region"].upper()
    found = _REGION_IN_HOST.search(host)
    return found["region"] if found else DEFAULT_REGION


def _checked(bucket: str | None) -> str:
    if not bucket:
        raise InvalidField("The object store's bucket must be named.")
    if not BUCKET.fullmatch(bucket):
        raise InvalidField("The bucket's name must have 3 to 255 letters, digits, dots, dashes or underscores.")
    return bucket
