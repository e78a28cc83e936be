"""Verified uploads to an S3 store.

Every request carries the MD5 of its body (``Content-MD5``), which the store must check, and nearly every store
answers with the MD5 that it computed itself, as the ETag. An upload is *confirmed* if all ETags match. If not
(encryption with KMS keys hides the MD5, and some gateways invent ETags), the caller must read the object back.
"""

from __future__ import annotations

import hashlib
import logging
from base64 import b64encode
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

from framepack.cancellation import current_check, stoppable
from framepack.errors import FramepackError, StorageFailed
from framepack.files.removed import RemovedFiles
from framepack.storage.patience import briefly

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

    from framepack.storage.s3.requests import S3Requests

logger = logging.getLogger(__name__)

MAX_PARTS = 10_000
SHA256_METADATA = "sha256"
STALE_AFTER = timedelta(hours=24)
_ACTION = "the upload"


@dataclass(frozen=True, slots=True)
class ObjectUpload:
    """An object to upload: bucket, full name in it, content type, size and SHA-256 (hexadecimal)."""

    bucket: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata that the store keeps with the object."""
        return {SHA256_METADATA: self.sha256}


@dataclass(frozen=True, slots=True)
class _Part:
    number: int
    etag: str
    confirmed: bool


def put_whole(requests: S3Requests, upload: ObjectUpload, data: bytes) -> bool:
    """Upload the object in one request; return whether the store confirmed its MD5."""
    answer = requests.ask(
        _ACTION,
        lambda client: client.put_object(
            Bucket=upload.bucket,
            Key=upload.name,
            Body=data,
            ContentMD5=_md5(data),
            ContentType=upload.content_type,
            Metadata=upload.metadata,
        ),
        size_bytes=len(data),
    )
    return _confirms(answer.get("ETag", ""), data)


def put_parts(requests: S3Requests, upload: ObjectUpload, source: BinaryIO, *, had_failed: bool) -> bool:
    """Upload the object in parts; return whether the store confirmed every MD5. A failed upload is aborted.

    Args:
        requests: Sends the requests.
        upload: The object.
        source: Its bytes.
        had_failed: Whether an earlier upload of the object has failed, and may have left parts, which are removed.

    Raises:
        StorageFailed: The SHA-256 of the bytes read is not ``upload.sha256``.
    """
    tries = 0

    def create(client: S3Client) -> str:
        nonlocal tries
        tries += 1
        return client.create_multipart_upload(
            Bucket=upload.bucket, Key=upload.name, ContentType=upload.content_type, Metadata=upload.metadata
        )["UploadId"]

    upload_id = requests.ask(_ACTION, create)
    try:
        parts = _send(requests, upload, upload_id, source)
        completed = _complete(requests, upload, upload_id, parts)
    except BaseException:
        _abort(requests, upload, upload_id)
        raise
    if had_failed or tries > 1:  # perhaps only the answer to the first try was lost
        _abort_others(requests, upload)
    return completed and all(part.confirmed for part in parts)


def abort_stale_uploads(
    client: S3Client, bucket: str, prefix: str, stale_after: timedelta = STALE_AFTER
) -> RemovedFiles:
    """Abort multipart uploads that were started long ago and never completed; listings do not show them.

    Does nothing if the store does not support or does not allow that.
    """
    from botocore.exceptions import ClientError

    removed = RemovedFiles()
    try:
        started = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", ())
        for upload in started:
            if datetime.now(UTC) - upload["Initiated"] > stale_after and upload["Key"].startswith(prefix):
                name, number = upload["Key"], upload["UploadId"]
                parts = client.list_parts(Bucket=bucket, Key=name, UploadId=number).get("Parts", ())
                client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=number)
                removed += RemovedFiles(1, sum(part["Size"] for part in parts))
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        logger.info("Unfinished uploads cannot be removed from this store (%s).", code)
    return removed


def _send(requests: S3Requests, upload: ObjectUpload, upload_id: str, source: BinaryIO) -> list[_Part]:
    """Read part after part and upload a few at a time."""
    tuning, check = requests.tuning, current_check()

    def send_part(number: int, data: bytes) -> _Part:
        def send(client: S3Client) -> str:
            return client.upload_part(
                Bucket=upload.bucket,
                Key=upload.name,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
                ContentMD5=_md5(data),
            )["ETag"]

        with stoppable(check):
            etag = requests.ask(_ACTION, send, size_bytes=len(data))
        return _Part(number, etag, _confirms(etag, data))

    part_bytes = max(tuning.part_bytes, -(-upload.size_bytes // MAX_PARTS))
    digest = hashlib.sha256()
    running: deque[Future[_Part]] = deque()
    parts: list[_Part] = []
    with ThreadPoolExecutor(tuning.parallel_parts, thread_name_prefix="upload") as pool:
        while data := source.read(part_bytes):
            digest.update(data)
            if len(running) == tuning.parallel_parts:
                parts.append(running.popleft().result())
            running.append(pool.submit(send_part, len(parts) + len(running) + 1, data))
        parts += [future.result() for future in running]
    if digest.hexdigest() != upload.sha256:
        raise StorageFailed("The file changed while it was being stored.")
    return parts


def _complete(requests: S3Requests, upload: ObjectUpload, upload_id: str, parts: list[_Part]) -> bool:
    """Complete the upload; return False if the caller must look at the object to know whether that succeeded."""
    from botocore.exceptions import ClientError

    listed: list[CompletedPartTypeDef] = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]

    def complete(client: S3Client) -> bool:
        try:
            answer = client.complete_multipart_upload(
                Bucket=upload.bucket, Key=upload.name, UploadId=upload_id, MultipartUpload={"Parts": listed}
            )
        except ClientError as error:
            # The answer to a first attempt was lost, and the retry finds the upload already completed.
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
                raise
            return False
        if not {"ETag", "Key", "Location"} & answer.keys():
            raise ValueError("not the answer to a completion")
        return True

    return requests.ask(_ACTION, complete, size_bytes=upload.size_bytes)  # the store copies the bytes meanwhile


def _abort(requests: S3Requests, upload: ObjectUpload, upload_id: str) -> None:
    """Remove the parts of a failed upload."""

    def abort(client: S3Client) -> None:
        client.abort_multipart_upload(Bucket=upload.bucket, Key=upload.name, UploadId=upload_id)

    try:
        briefly(lambda: requests.ask("the clean-up", abort))
    except FramepackError:
        logger.info("the parts of a failed upload could not be removed yet")


def _abort_others(requests: S3Requests, upload: ObjectUpload) -> None:
    """Abort all unfinished uploads of an object that is stored now."""
    from botocore.exceptions import ClientError

    def abort(client: S3Client) -> None:
        try:
            abort_all(client)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":  # nothing is left
                raise

    def abort_all(client: S3Client) -> None:
        unfinished = client.list_multipart_uploads(Bucket=upload.bucket, Prefix=upload.name).get("Uploads", ())
        for other in unfinished:
            if other["Key"] == upload.name:
                client.abort_multipart_upload(Bucket=upload.bucket, Key=upload.name, UploadId=other["UploadId"])

    try:
        requests.ask("the clean-up", abort)
    except FramepackError:
        logger.warning("The parts of a failed upload could not be removed; a lifecycle rule of the bucket should.")


def _md5(data: bytes) -> str:
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _confirms(etag: str, data: bytes) -> bool:
    return etag.strip('"').lower() == hashlib.md5(data, usedforsecurity=False).hexdigest()
