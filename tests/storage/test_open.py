"""Which store is opened: the worker's own or the one that a job names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from framepack.errors import InvalidField, SourceNotAllowed
from framepack.net.addresses import Policy
from framepack.settings import Settings
from framepack.storage.keys import Key
from framepack.storage.local import LocalStorage
from framepack.storage.open import open_job_storage, open_storage
from framepack.storage.s3.storage import S3Storage
from tests.support.canary import Names
from tests.support.s3_server import S3Server

KEY = Key("a/b.mp4")


def s3_config(server: S3Server, bucket: str, **changes: Any) -> dict[str, Any]:
    """A job's ``s3Config`` as RunPod's clients write it."""
    return {
        "accessId": server.access_key,
        "accessSecret": server.secret_key,
        "bucketName": bucket,
        "endpointUrl": server.endpoint_url,
    } | changes


LOOPBACK = Policy(allowed_hosts=("127.0.0.1",))


def test_a_folder_is_opened(tmp_path: Path) -> None:
    """`file:FOLDER` stores below the folder, with URLs of the public address."""
    storage = open_storage(Settings(storage=f"file:{tmp_path}/store", public_url="https://host"))
    assert isinstance(storage, LocalStorage)
    storage.put_bytes(KEY, b"1")
    assert (tmp_path / "store" / "a" / "b.mp4").read_bytes() == b"1"
    assert str(storage.url(KEY)).startswith("https://host/outputs/a/b.mp4?expires=")


@pytest.mark.parametrize(("place", "prefix"), [("", ""), ("/", ""), ("/some/prefix", "some/prefix/"), ("/p/", "p/")])
def test_a_bucket_is_opened(server: S3Server, bucket: str, place: str, prefix: str) -> None:
    """`s3://BUCKET/PREFIX` stores in the bucket below the prefix, with the settings' keys and lifetime."""
    storage = open_storage(
        Settings(
            storage=f"s3://{bucket}{place}",
            bucket_endpoint_url=server.endpoint_url,
            bucket_access_key_id=SecretStr(server.access_key),
            bucket_secret_access_key=SecretStr(server.secret_key),
            url_lifetime_seconds=1234,
        )
    )
    assert isinstance(storage, S3Storage)
    storage.put_bytes(KEY, b"1")
    assert server.client.get_object(Bucket=bucket, Key=f"{prefix}a/b.mp4")["Body"].read() == b"1"
    assert "X-Amz-Expires=1234&" in (storage.url(KEY) or "")


def test_a_job_brings_its_own_bucket(server: S3Server, bucket: str) -> None:
    """The job's bucket is used without the worker's prefix."""
    storage = open_job_storage(Settings(storage="s3://other/prefix"), s3_config(server, bucket), LOOPBACK)
    storage.put_bytes(KEY, b"1")
    assert server.client.get_object(Bucket=bucket, Key="a/b.mp4")["Body"].read() == b"1"


def test_a_bucket_in_the_endpoint_is_understood(server: S3Server, bucket: str) -> None:
    """The bucket may be the end of the address instead of a name of its own."""
    config = s3_config(server, "", endpointUrl=f"{server.endpoint_url}/{bucket}/")
    open_job_storage(Settings(), config, LOOPBACK).put_bytes(KEY, b"1")
    assert server.client.get_object(Bucket=bucket, Key="a/b.mp4")["Body"].read() == b"1"


def test_a_forbidden_endpoint_is_refused(server: S3Server, bucket: str) -> None:
    """An address that must not be reached ends the job before anything is sent."""
    with pytest.raises(SourceNotAllowed):
        open_job_storage(Settings(), s3_config(server, bucket), Policy())


def test_an_aws_endpoint_skips_the_address_check() -> None:
    """An address of AWS is made from its region, which no client can lead elsewhere."""
    names = Names({})
    config = {
        "accessId": "key",
        "accessSecret": "secret",
        "bucketName": "clips",
        "endpointUrl": "https://s3.eu-west-1.amazonaws.com",
    }
    storage = open_job_storage(Settings(), config, Policy(resolve=names))
    assert (storage.url(KEY) or "").startswith("https://clips.s3.eu-west-1.amazonaws.com/a/b.mp4?")
    assert not names.asked


@pytest.mark.parametrize("name", ["accessId", "accessSecret", "endpointUrl"])
@pytest.mark.parametrize("value", [None, "", "  ", 5, ["x"]])
def test_a_missing_entry_is_named(server: S3Server, bucket: str, name: str, value: object) -> None:
    """The refusal says which entry is missing or is no text, and repeats no other."""
    with pytest.raises(InvalidField, match=rf"s3Config\.{name} ") as refusal:
        open_job_storage(Settings(), s3_config(server, bucket, **{name: value}), LOOPBACK)
    assert server.secret_key not in refusal.value.message


@pytest.mark.parametrize("value", [5, ["x"], {}])
def test_a_bucket_name_of_the_wrong_type_is_reported(server: S3Server, value: object) -> None:
    """Other types than text are refused here too."""
    with pytest.raises(InvalidField, match=r"s3Config\.bucketName "):
        open_job_storage(Settings(), s3_config(server, "x") | {"bucketName": value}, LOOPBACK)
