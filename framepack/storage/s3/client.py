"""The client of an S3 store, and the translation of its errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from framepack.errors import StorageFailed
from framepack.storage.base import object_not_found, storage_error

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from types_boto3_s3 import S3Client

    from framepack.storage.s3.location import S3Location

_MIB = 1 << 20
_PUBLIC_CODE = re.compile(r"[A-Za-z0-9]{1,64}")
_SERVER_FAULT = 500


@dataclass(frozen=True, slots=True)
class S3Credentials:
    """An access key; its ``repr`` does not show it."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class S3Tuning:
    """Retries, timeouts and part sizes.

    Attributes:
        attempts: attempts per request.
        connect_timeout_seconds: maximum wait for a connection.
        read_timeout_seconds: maximum wait for the next bytes of an answer.
        multipart_above_bytes: larger objects are uploaded in parts.
        part_bytes: size of a part, at least 5 MiB for most stores; increased if 10,000 parts would not suffice.
        parallel_parts: parts of one object that are uploaded at a time; each is in memory.
        page_size: objects per page of a listing.
        verify_attempts: how often an upload is looked up, with growing pauses, before it counts as lost.
    """

    attempts: int = 6
    connect_timeout_seconds: float = 5
    read_timeout_seconds: float = 60
    multipart_above_bytes: int = 64 * _MIB
    part_bytes: int = 16 * _MIB
    parallel_parts: int = 4
    page_size: int = 1000
    verify_attempts: int = 6


def connect(location: S3Location, credentials: S3Credentials | None, tuning: S3Tuning) -> S3Client:
    """Create a client, which threads may share; nothing is sent yet.

    Raises:
        StorageFailed: the endpoint is not a valid address.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        connect_timeout=tuning.connect_timeout_seconds,
        read_timeout=tuning.read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": tuning.attempts},
        max_pool_connections=32,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if location.path_style else "virtual"},
    )
    try:
        client = boto3.session.Session().client(
            "s3",
            region_name=location.region,
            endpoint_url=location.endpoint_url,
            aws_access_key_id=credentials.access_key if credentials else None,
            aws_secret_access_key=credentials.secret_key if credentials else None,
            config=config,
        )
    except ValueError as error:
        raise StorageFailed("The object store's endpoint is not a valid address.") from error
    client.meta.events.register("before-call.s3.HeadBucket", _skip_region_lookup)
    return client


def _skip_region_lookup(**_event: object) -> None:
    """Keep botocore from asking for a bucket's region: it asks after every redirect, so a server could trap it."""
    from botocore.exceptions import ClientError

    raise ClientError({"ResponseMetadata": {"HTTPHeaders": {}}}, "HeadBucket")  # type: ignore[typeddict-item]


def attachment(filename: str) -> str:
    """The ``Content-Disposition`` that makes browsers save a download under the name (RFC 6266, RFC 5987)."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"


def http_status(error: ClientError) -> int:
    """The HTTP status of the store's answer; 0 if there was none."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


@contextlib.contextmanager
def s3_errors(action: str) -> Iterator[None]:
    """Translate errors of boto3, the store and the disk; messages never contain the store's address or keys.

    Args:
        action: the request, such as "the upload".

    Raises:
        NotFound: the object does not exist.
        StorageFailed: the store refused, failed, did not answer, or is not an S3 store.
        DiskFull: this machine has no room for the download.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code == "NoSuchKey":
            raise object_not_found() from error
        public_code = code if _PUBLIC_CODE.fullmatch(code) else "no known code"
        verb = "failed at" if http_status(error) >= _SERVER_FAULT else "refused"
        raise StorageFailed(f"The object store {verb} {action} ({public_code}).") from error
    except BotoCoreError as error:
        raise StorageFailed(f"The object store did not answer {action} ({type(error).__name__}).") from error
    except (ResponseParserError, KeyError, ValueError) as error:
        raise StorageFailed(f"The object store answered {action} with something that is not S3.") from error
    except OSError as error:
        raise storage_error(error) from error
