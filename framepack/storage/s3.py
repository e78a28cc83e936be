"""A store in an S3 bucket: AWS, Cloudflare R2, Backblaze B2, Google, MinIO, RunPod volumes and their kind.

boto3 is imported and the client made on first use. Checksum headers that boto3 would add on its own are off, because
many stores refuse them. An upload counts only when the store has confirmed the MD5 of all that was sent (or the
object, read back, has the right SHA-256) and afterwards names the right size and SHA-256, which is kept in the
object's metadata; downloads are checked against it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from framepack.errors import InvalidField, StorageFailed
from framepack.storage.base import CHUNK_BYTES, DEFAULT_CONTENT_TYPE, StoredObject, kept_when_whole
from framepack.storage.keys import Key
from framepack.storage.s3_client import S3Credentials, S3Tuning, attachment, connect, http_status, translated
from framepack.storage.s3_upload import SHA256_METADATA, Upload, put_parts, put_whole

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from framepack.storage.s3_location import S3Location

MAX_URL_LIFETIME_SECONDS = 604_800
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_FOUND = 404


class S3Storage:
    """Objects of one bucket, below a prefix.

    Args:
        location: the bucket and its server.
        credentials: None leaves the search for them to boto3.
        prefix: segments before every key, or empty.
        url_lifetime_seconds: how long a presigned URL works, at most 7 days.
        tuning: timeouts, attempts and the size of parts.
    """

    def __init__(
        self,
        location: S3Location,
        credentials: S3Credentials | None = None,
        *,
        prefix: str = "",
        url_lifetime_seconds: int = 86_400,
        tuning: S3Tuning | None = None,
    ) -> None:
        self._location = location
        self._credentials = credentials
        self._prefix = f"{Key.parse(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._url_lifetime_seconds = min(url_lifetime_seconds, MAX_URL_LIFETIME_SECONDS)
        self._tuning = tuning or S3Tuning()
        self._lock = threading.Lock()
        self._connected: S3Client | None = None

    def put_file(self, key: Key, path: Path, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Upload a copy of the file; see `Storage.put_file`."""
        with translated("the upload"), path.open("rb") as source:
            return self._put(key, source, os.fstat(source.fileno()).st_size, content_type)

    def put_bytes(self, key: Key, data: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Upload the bytes; see `Storage.put_bytes`."""
        with translated("the upload"):
            return self._put(key, io.BytesIO(data), len(data), content_type)

    def read(self, key: Key) -> bytes:
        """Download the object's bytes; see `Storage.read`."""
        sink = io.BytesIO()
        with translated("the download"):
            self._download(key, sink)
        return sink.getvalue()

    def fetch(self, key: Key, to: Path) -> None:
        """Download the object into a file; see `Storage.fetch`."""
        with translated("the download"), kept_when_whole(to), to.open("wb") as sink:
            self._download(key, sink)

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Yield the objects below the folder, page by page; see `Storage.list`."""
        with translated("the listing"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._location.bucket,
                Prefix=self._prefix + (f"{folder}/" if folder else ""),
                PaginationConfig={"PageSize": self._tuning.page_size},
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    try:
                        key = Key(item["Key"].removeprefix(self._prefix))
                    except InvalidField:  # none of ours
                        continue
                    yield StoredObject(key, item["Size"], item["LastModified"].astimezone(UTC))

    def stat(self, key: Key) -> StoredObject | None:
        """Describe the object; see `Storage.stat`."""
        with translated("the look-up"):
            return self._stat(key)

    def delete(self, key: Key) -> bool:
        """Remove the object; see `Storage.delete`."""
        with translated("the deletion"):
            if self._stat(key) is None:
                return False
            self._client.delete_object(Bucket=self._location.bucket, Key=self._name(key))
            return True

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """Presign a download; with a file name the browser saves it under that name."""
        parameters = {"Bucket": self._location.bucket, "Key": self._name(key)}
        if filename:
            parameters["ResponseContentDisposition"] = attachment(filename)
        with translated("the link"):
            return self._client.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=self._url_lifetime_seconds
            )

    @property
    def _client(self) -> S3Client:
        with self._lock:
            if self._connected is None:
                self._connected = connect(self._location, self._credentials, self._tuning)
            return self._connected

    def _name(self, key: Key) -> str:
        return f"{self._prefix}{key}"

    def _stat(self, key: Key) -> StoredObject | None:
        from botocore.exceptions import ClientError

        try:
            head = self._client.head_object(Bucket=self._location.bucket, Key=self._name(key))
        except ClientError as error:
            if http_status(error) == _NOT_FOUND:
                return None
            raise
        modified = head["LastModified"].astimezone(UTC)
        return StoredObject(key, head["ContentLength"], modified, _sha256(head["Metadata"]))

    def _put(self, key: Key, source: io.BufferedReader | io.BytesIO, size: int, content_type: str) -> StoredObject:
        """Send in one request or in parts, then look whether it is there."""
        if size > self._tuning.multipart_above_bytes:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            upload = Upload(self._location.bucket, self._name(key), content_type, size, sha256)
            confirmed = put_parts(self._client, upload, source, self._tuning)
        else:
            data = source.read(size)
            if len(data) != size:
                raise StorageFailed("The file changed while it was being stored.")
            sha256 = hashlib.sha256(data).hexdigest()
            upload = Upload(self._location.bucket, self._name(key), content_type, size, sha256)
            confirmed = put_whole(self._client, upload, data)
        return self._verified(key, upload, confirmed=confirmed)

    def _verified(self, key: Key, upload: Upload, *, confirmed: bool) -> StoredObject:
        """Return what the store now has, once it is certain that it got the upload."""
        found = self._stat(key)
        if found is None:
            raise StorageFailed("The object store lost the upload.")
        if confirmed and found.sha256 not in {None, upload.sha256}:
            # Our bytes arrived and another writer has replaced them since: the last one wins.
            return StoredObject(key, upload.size_bytes, found.modified, upload.sha256)
        if found.size_bytes != upload.size_bytes:
            raise StorageFailed("The object store did not keep the whole upload.")
        if (not confirmed or found.sha256 is None) and self._download(key, None) != upload.sha256:
            raise StorageFailed("The object store did not keep the upload as it was sent.")
        return replace(found, sha256=upload.sha256)

    def _download(self, key: Key, sink: BinaryIO | None) -> str:
        """Fill the sink, beginning anew when the connection breaks; return the SHA-256 of what came."""
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        attempt = 1
        while True:
            try:
                return self._stream(key, sink)
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                if attempt >= self._tuning.attempts:
                    raise
                attempt += 1

    def _stream(self, key: Key, sink: BinaryIO | None) -> str:
        answer = self._client.get_object(Bucket=self._location.bucket, Key=self._name(key))
        digest = hashlib.sha256()
        if sink:
            sink.seek(0)
            sink.truncate()
        with contextlib.closing(answer["Body"]) as body:
            while chunk := body.read(CHUNK_BYTES):
                digest.update(chunk)
                if sink:
                    sink.write(chunk)
        if _sha256(answer["Metadata"]) not in {None, digest.hexdigest()}:
            raise StorageFailed("The object store gave back other bytes than it was given.")
        return digest.hexdigest()


def _sha256(metadata: Mapping[str, str]) -> str | None:
    """Find our digest in an object's metadata; stores differ in how they write its name."""
    values = {name.lower(): value for name, value in metadata.items()}
    found = values.get(SHA256_METADATA, "").lower()
    return found if _SHA256.fullmatch(found) else None
