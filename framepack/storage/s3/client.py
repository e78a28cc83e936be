"""The client of an S3 store, and the translation of its errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from framepack.errors import (
    FramepackError,
    SourceFailed,
    SourceNotAllowed,
    SourceTooSlow,
    StorageFailed,
    StorageUnavailable,
)
from framepack.storage.base import object_not_found, storage_error
from framepack.storage.patience import Patience

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError
    from types_boto3_s3 import S3Client

    from framepack.storage.s3.location import S3Location

_MIB = 1 << 20
_PUBLIC_CODE = re.compile(r"[A-Za-z0-9]{1,64}")
_PATIENCE = Patience(4, least_tries=2, first_pause_seconds=0.1, longest_pause_seconds=1)
_CLIENT_FAULT = 400
_SERVER_FAULT = 500
_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_TRANSIENT_CODES = frozenset(
    {
        *("SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "TooManyRequests"),
        *("RequestLimitExceeded", "RequestTimeout", "InternalError", "ServiceUnavailable", "BadDigest"),
        *("IncompleteBody", "InvalidPart", "OperationAborted"),
    }
)
_BAD_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
_WEB_PAGES = ("text/html", "application/xhtml")
_STORE_HEADERS = ("x-amz-", "x-goog-")


@dataclass(frozen=True, slots=True)
class S3Credentials:
    """An access key; its ``repr`` does not show it."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class S3Tuning:
    """Retries, timeouts and part sizes.

    Attributes:
        patience: How often a request is repeated while the store does not answer it.
        request_seconds: Time limit of one request and its answer, without the time for the bytes of an object.
        slowest_bytes_per_second: Speed that the bytes of an object must have on average.
        connect_timeout_seconds: Maximum wait for a connection.
        read_timeout_seconds: Maximum wait for the next bytes of an answer.
        multipart_above_bytes: Larger objects are uploaded in parts.
        part_bytes: Size of a part, at least 5 MiB for most stores; increased if 10,000 parts would not suffice.
        parallel_parts: Parts of one object that are uploaded at a time; each is in memory.
        page_size: Objects per page of a listing.
        verify_attempts: How often an upload is looked up, with growing pauses, before it counts as lost.
    """

    patience: Patience = _PATIENCE
    request_seconds: float = 15
    slowest_bytes_per_second: float = 250_000
    connect_timeout_seconds: float = 5
    read_timeout_seconds: float = 30
    multipart_above_bytes: int = 32 * _MIB
    part_bytes: int = 16 * _MIB
    parallel_parts: int = 4
    page_size: int = 1000
    verify_attempts: int = 6


def connect(location: S3Location, credentials: S3Credentials | None, tuning: S3Tuning) -> S3Client:
    """Create a client, which threads may share; nothing is sent yet.

    Every request must be sent within `connections.deadline`. The client repeats nothing: see `S3Requests`.

    Args:
        location: The bucket and its server. If a client chose them, proxies of the environment are not used.
        credentials: None lets boto3 search for them.
        tuning: Timeouts.

    Raises:
        StorageFailed: The endpoint is not a valid address.
    """
    import boto3
    from botocore.config import Config

    from framepack.storage.s3.connections import guard

    config = Config(
        signature_version="s3v4",
        connect_timeout=tuning.connect_timeout_seconds,
        read_timeout=tuning.read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=32,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if location.path_style else "virtual"},
        proxies=None if location.policy is None else {},
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
    client.meta.events.register("before-parse.s3.*", _refuse_web_page)
    guard(client, location.policy if location.endpoint_url else None)  # clients cannot choose the addresses of AWS
    return client


def _skip_region_lookup(**_event: object) -> None:
    """Keep botocore from asking for a bucket's region: it asks after every redirect, so a server could trap it."""
    from botocore.exceptions import ClientError

    raise ClientError({"ResponseMetadata": {"HTTPHeaders": {}}}, "HeadBucket")  # type: ignore[typeddict-item]


def _refuse_web_page(response_dict: Mapping[str, Any], **_event: object) -> None:
    """Refuse the web page of a gateway with status 2xx to 4xx: it is no object, and no sign that there is none."""
    from botocore.parsers import ResponseParserError

    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    status = response_dict["status_code"]
    if status >= _SERVER_FAULT:  # says itself that it is no answer
        return
    pages = _WEB_PAGES if status < _CLIENT_FAULT else (*_WEB_PAGES, "text/plain")
    is_page = headers.get("content-type", "").lower().startswith(pages)
    if is_page and not any(name.startswith(_STORE_HEADERS) for name in headers):
        raise ResponseParserError("The answer is a web page.")


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
        action: The request, such as "the upload".

    Raises:
        NotFound: The object does not exist.
        StorageFailed: The store refused.
        StorageUnavailable: The store failed or did not answer, or something that is no S3 store answered.
        SourceNotAllowed: A client's store is at an address that must not be reached.
        DiskFull: This machine has no room for the download.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _of_answer(error, action) from error
    except BotoCoreError as error:
        raise _of_connection(error, action) from error
    except (SourceFailed, SourceTooSlow) as error:
        raise StorageUnavailable(f"The object store did not answer {action} in time.") from error
    except (ResponseParserError, KeyError, ValueError) as error:
        raise StorageUnavailable(f"The object store answered {action} with something that is not S3.") from error
    except OSError as error:
        raise storage_error(error) from error


def _of_answer(error: ClientError, action: str) -> FramepackError:
    """The error for an answer of the store that says why it did not do what was asked."""
    code, status = str(error.response.get("Error", {}).get("Code", "")), http_status(error)
    if code == "NoSuchKey":
        return object_not_found()
    public_code = code if _PUBLIC_CODE.fullmatch(code) else "no known code"
    if code in _TRANSIENT_CODES or status in _TRANSIENT_STATUSES:
        return StorageUnavailable(f"The object store failed at {action} ({public_code}).")
    verb = "failed at" if status >= _SERVER_FAULT else "refused"
    return StorageFailed(f"The object store {verb} {action} ({public_code}).")


def _of_connection(error: BotoCoreError, action: str) -> FramepackError:
    """The error for a request without an answer."""
    from botocore.exceptions import ConnectionError as NoConnectionError
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    inner = error.kwargs.get("error")
    if isinstance(inner, SourceNotAllowed):
        return inner
    if isinstance(inner, FramepackError):  # of a guarded connection: says nothing about what is at the address
        return StorageUnavailable(f"The object store did not answer {action}.")
    sentence = f"The object store did not answer {action} ({type(error).__name__})."
    is_transient = isinstance(error, (NoConnectionError, HTTPClientError, IncompleteReadError))
    if not is_transient or _BAD_CERTIFICATE in str(inner):
        return StorageFailed(sentence)
    return StorageUnavailable(sentence)
