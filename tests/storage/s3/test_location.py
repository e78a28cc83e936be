"""Endpoints as people write them, for the stores that people use."""

from __future__ import annotations

import pytest

from framepack.errors import InvalidField
from framepack.storage.s3.location import S3Location, s3_location

ACCOUNT = "0123456789abcdef0123456789abcdef"
R2 = f"https://{ACCOUNT}.r2.cloudflarestorage.com"


@pytest.mark.parametrize(
    ("bucket", "endpoint_url", "region"),
    [
        ("clips", None, "us-east-1"),
        ("clips", "", "us-east-1"),
        ("clips", "https://s3.amazonaws.com", "us-east-1"),
        ("clips", "https://s3.us-west-2.amazonaws.com", "us-west-2"),
        ("clips", "https://s3-us-west-2.amazonaws.com/", "us-west-2"),
        ("clips", "https://clips.s3.eu-west-1.amazonaws.com", "eu-west-1"),
        (None, "https://clips.s3.eu-west-1.amazonaws.com", "eu-west-1"),
        (None, "https://clips.s3.amazonaws.com", "us-east-1"),
        (None, "https://s3.ap-southeast-2.amazonaws.com/clips", "ap-southeast-2"),
        ("clips", "https://s3.us-gov-west-1.amazonaws.com/clips/", "us-gov-west-1"),
        ("clips", "https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    ],
)
def test_aws_is_found_by_its_region(bucket: str | None, endpoint_url: str | None, region: str) -> None:
    """However an AWS address is written, boto3 gets the bucket, the right region and no address."""
    assert s3_location(bucket, endpoint_url) == S3Location("clips", None, region, path_style=False)


def test_a_bucket_name_with_dots_is_whole() -> None:
    """All that stands before the host is the bucket."""
    assert s3_location(None, "https://my.clips.s3.eu-west-1.amazonaws.com").bucket == "my.clips"


@pytest.mark.parametrize(
    ("bucket", "endpoint_url", "server", "region"),
    [
        ("clips", R2, R2, "auto"),
        ("clips", f"{R2}/clips", R2, "auto"),
        (None, f"{R2}/clips/", R2, "auto"),
        (None, f"https://clips.{ACCOUNT}.r2.cloudflarestorage.com", R2, "auto"),
        (
            "clips",
            f"https://{ACCOUNT}.eu.r2.cloudflarestorage.com",
            f"https://{ACCOUNT}.eu.r2.cloudflarestorage.com",
            "auto",
        ),
        (
            None,
            "https://clips.s3.us-west-004.backblazeb2.com",
            "https://s3.us-west-004.backblazeb2.com",
            "us-west-004",
        ),
        ("clips", "https://s3.us-west-004.backblazeb2.com", "https://s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("clips", "https://storage.googleapis.com", "https://storage.googleapis.com", "us-east-1"),
        (None, "https://storage.googleapis.com/clips", "https://storage.googleapis.com", "us-east-1"),
        (None, "https://clips.storage.googleapis.com", "https://storage.googleapis.com", "us-east-1"),
        ("clips", "http://minio:9000", "http://minio:9000", "us-east-1"),
        ("clips", "http://minio:9000/clips", "http://minio:9000", "us-east-1"),
        (None, "http://127.0.0.1:9000/clips", "http://127.0.0.1:9000", "us-east-1"),
        ("clips", "http://clips.minio.example.com", "http://minio.example.com", "us-east-1"),
        (None, "http://[::1]:9000/clips", "http://[::1]:9000", "us-east-1"),
        ("clips", "https://nyc3.digitaloceanspaces.com", "https://nyc3.digitaloceanspaces.com", "us-east-1"),
        (None, "https://clips.nyc3.digitaloceanspaces.com", "https://nyc3.digitaloceanspaces.com", "us-east-1"),
        ("clips", "https://s3.eu-central-1.wasabisys.com", "https://s3.eu-central-1.wasabisys.com", "eu-central-1"),
        ("clips", "https://s3.fr-par.scw.cloud", "https://s3.fr-par.scw.cloud", "fr-par"),
        ("clips", "https://s3api-eu-ro-1.runpod.io", "https://s3api-eu-ro-1.runpod.io", "EU-RO-1"),
        ("clips", "https://host.example/storage/v1/s3", "https://host.example/storage/v1/s3", "us-east-1"),
        (None, "https://host.example/storage/clips", "https://host.example/storage", "us-east-1"),
    ],
)
def test_other_stores_are_found_by_their_address(
    bucket: str | None, endpoint_url: str, server: str, region: str
) -> None:
    """The bucket is taken out of the address, wherever it stands, and goes into the path of requests."""
    assert s3_location(bucket, endpoint_url) == S3Location("clips", server, region, path_style=True)


def test_explicit_arguments_override_the_endpoint() -> None:
    """A bucket and a region that are given win over those in the address."""
    location = s3_location("clips", "https://other.s3.eu-west-1.amazonaws.com", "eu-north-1")
    assert location == S3Location("clips", None, "eu-north-1", path_style=False)


@pytest.mark.parametrize(
    "endpoint_url",
    [
        "ftp://host/clips",
        "file:///etc/passwd",
        "host:9000",
        "https://",
        "https://user:password@host/clips",
        "https://host/clips?x=1",
        "https://host/clips#x",
        "https://host:99999/clips",
        "https://host:0/clips",
        "https://[::1/clips",
        "https://ho st/clips",
    ],
)
def test_an_invalid_address_is_refused(endpoint_url: str) -> None:
    """Only plain http and https addresses pass, and the refusal repeats nothing of a wrong one."""
    with pytest.raises(InvalidField, match="must be an http or https address") as refusal:
        s3_location("clips", endpoint_url)
    assert "password" not in refusal.value.message


@pytest.mark.parametrize(
    "bucket", ["arn:aws:s3:us-east-1:1:accesspoint/x", "a/b", "..", "a", "-clips", "clips\n", "cl ips", "a" * 256]
)
def test_an_invalid_bucket_name_is_refused(bucket: str) -> None:
    """A name cannot smuggle in a path or another resource."""
    with pytest.raises(InvalidField, match="bucket's name"):
        s3_location(bucket, "https://s3.amazonaws.com")


@pytest.mark.parametrize("endpoint_url", [None, "https://s3.amazonaws.com", "http://minio:9000/"])
def test_a_bucket_must_be_named_somewhere(endpoint_url: str | None) -> None:
    """Without a bucket in either place there is nothing to open."""
    with pytest.raises(InvalidField, match="must be named"):
        s3_location(None, endpoint_url)
