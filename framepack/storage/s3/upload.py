"""Sending bytes to an S3 store so that it is certain which bytes arrived.

Every request carries the MD5 of its body (``Content-MD5``), which the store must check, and nearly every store
answers with the MD5 it computed itself, as the ETag. An upload whose answers all match is *confirmed*; for the others
(encryption with KMS keys hides the MD5, some gateways make ETags up) the caller reads the object back.
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

from framepack.errors import StorageFailed
from framepack.files.removed import RemovedFiles

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

    from framepack.storage.s3.client import S3Tuning

logger = logging.getLogger(__name__)

MAX_PARTS = 10_000
SHA256_METADATA = "sha256"
STALE_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class ObjectUpload:
    """One object to be: its bucket, its full name there, its type, length and SHA-256 (hexadecimal)."""

    bucket: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str

    @property
    def metadata(self) -> dict[str, str]:
        """What the store keeps beside the bytes."""
        return {SHA256_METADATA: self.sha256}


@dataclass(frozen=True, slots=True)
class _Part:
    number: int
    etag: str
    confirmed: bool


def put_whole(client: S3Client, upload: ObjectUpload, data: bytes) -> bool:
    """Send the object in one request; return whether the store confirmed its MD5."""
    answer = client.put_object(
        Bucket=upload.bucket,
        Key=upload.name,
        Body=data,
        ContentMD5=_md5(data),
        ContentType=upload.content_type,
        Metadata=upload.metadata,
    )
    return _confirms(answer.get("ETag", ""), data)


def put_parts(client: S3Client, upload: ObjectUpload, source: BinaryIO, tuning: S3Tuning) -> bool:
    """Send the object in parts, leaving none behind on failure; return whether the store confirmed every MD5.

    Raises:
        StorageFailed: the bytes read are not those of ``upload.sha256``.
    """
    upload_id = client.create_multipart_upload(
        Bucket=upload.bucket, Key=upload.name, ContentType=upload.content_type, Metadata=upload.metadata
    )["UploadId"]
    try:
        parts = _send(client, upload, upload_id, source, tuning)
        completed = _complete(client, upload, upload_id, parts)
    except BaseException:
        _abort(client, upload, upload_id)
        raise
    return completed and all(part.confirmed for part in parts)


def drop_stale_parts(
    client: S3Client, bucket: str, prefix: str, stale_after: timedelta = STALE_AFTER
) -> RemovedFiles:
    """Drop uploads in parts that were begun long ago and never finished; a listing does not show them.

    Does nothing where the store does not say which there are, or does not let us.
    """
    from botocore.exceptions import ClientError

    freed = RemovedFiles()
    try:
        begun = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", ())
        for upload in begun:
            if datetime.now(UTC) - upload["Initiated"] > stale_after and upload["Key"].startswith(prefix):
                name, number = upload["Key"], upload["UploadId"]
                parts = client.list_parts(Bucket=bucket, Key=name, UploadId=number).get("Parts", ())
                client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=number)
                freed += RemovedFiles(1, sum(part["Size"] for part in parts))
    except ClientError as error:
        logger.info("Unfinished uploads cannot be dropped here (%s).", error.response.get("Error", {}).get("Code"))
    return freed


def _send(client: S3Client, upload: ObjectUpload, upload_id: str, source: BinaryIO, tuning: S3Tuning) -> list[_Part]:
    """Read part after part and send a few at a time."""

    def send_part(number: int, data: bytes) -> _Part:
        answer = client.upload_part(
            Bucket=upload.bucket,
            Key=upload.name,
            UploadId=upload_id,
            PartNumber=number,
            Body=data,
            ContentMD5=_md5(data),
        )
        return _Part(number, answer["ETag"], _confirms(answer["ETag"], data))

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


def _complete(client: S3Client, upload: ObjectUpload, upload_id: str, parts: list[_Part]) -> bool:
    """Put the parts together; return False when only looking at the object can tell whether that was done."""
    from botocore.exceptions import ClientError

    listed: list[CompletedPartTypeDef] = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
    try:
        client.complete_multipart_upload(
            Bucket=upload.bucket, Key=upload.name, UploadId=upload_id, MultipartUpload={"Parts": listed}
        )
    except ClientError as error:
        # The answer to a first try was lost, and the second finds the work already done.
        if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
            raise
        return False
    return True


def _abort(client: S3Client, upload: ObjectUpload, upload_id: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.abort_multipart_upload(Bucket=upload.bucket, Key=upload.name, UploadId=upload_id)
    except (BotoCoreError, ClientError):
        logger.warning("The parts of a failed upload could not be removed; a lifecycle rule of the bucket should.")


def _md5(data: bytes) -> str:
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _confirms(etag: str, data: bytes) -> bool:
    return etag.strip('"').lower() == hashlib.md5(data, usedforsecurity=False).hexdigest()
