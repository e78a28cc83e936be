"""A store in an S3 bucket: AWS, Cloudflare R2, Backblaze B2, Google, MinIO, RunPod volumes and their kind.

boto3 is imported, and the client created, on first use. The checksum headers that boto3 adds by default are off,
because many stores refuse them. Instead, an upload succeeds only when two things are verified: the store has
confirmed the MD5 of all bytes (or the object, read back, has the right SHA-256), and the store then reports the right
size and SHA-256. The SHA-256 is kept in the object's metadata, and downloads are checked against it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from framepack.errors import InvalidField, StorageFailed
from framepack.storage.base import CHUNK_BYTES, DEFAULT_CONTENT_TYPE, StoredObject, removed_on_failure
from framepack.storage.keys import RESULTS, Key
from framepack.storage.s3.client import S3Credentials, S3Tuning, attachment, connect, http_status, s3_errors
from framepack.storage.s3.upload import SHA256_METADATA, ObjectUpload, abort_stale_uploads, put_parts, put_whole

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from framepack.files.removed import RemovedFiles
    from framepack.storage.s3.location import S3Location

MAX_URL_LIFETIME_SECONDS = 604_800
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_FOUND = 404
_FIRST_PAUSE_SECONDS = 0.05
_UPLOAD_ATTEMPTS = 2


class _WrongBytesError(StorageFailed):
    """The bytes received are not those stored: damaged in transit, or mixed with a concurrent replacement."""


class S3Storage:
    """Objects of one bucket, below a prefix.

    Args:
        location: the bucket and its server.
        credentials: None lets boto3 search for them.
        prefix: segments that precede every key; may be empty.
        url_lifetime_seconds: how long a presigned URL is valid, at most 7 days.
        tuning: retries, timeouts and part sizes.
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
        with s3_errors("the upload"), path.open("rb") as source:
            return self._put(key, source, os.fstat(source.fileno()).st_size, content_type)

    def put_bytes(self, key: Key, data: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Upload the bytes; see `Storage.put_bytes`."""
        with s3_errors("the upload"):
            return self._put(key, io.BytesIO(data), len(data), content_type)

    def read(self, key: Key) -> bytes:
        """Download the object's bytes; see `Storage.read`."""
        sink = io.BytesIO()
        with s3_errors("the download"):
            self._download(key, sink)
        return sink.getvalue()

    def fetch(self, key: Key, to: Path) -> None:
        """Download the object into a file; see `Storage.fetch`."""
        with s3_errors("the download"), removed_on_failure(to), to.open("wb") as sink:
            self._download(key, sink)

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Yield the objects below the folder, page by page; see `Storage.list`."""
        with s3_errors("the listing"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._location.bucket,
                Prefix=self._prefix + (f"{folder}/" if folder else ""),
                PaginationConfig={"PageSize": self._tuning.page_size},
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    try:
                        key = Key(item["Key"].removeprefix(self._prefix))
                    except InvalidField:  # not an object of this project
                        continue
                    yield StoredObject(key, item["Size"], item["LastModified"].astimezone(UTC))

    def folders(self, folder: Key) -> Iterator[str]:
        """Yield the names of the folders in this one, page by page; see `Storage.folders`."""
        parent = f"{self._name(folder)}/"
        with s3_errors("the listing"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._location.bucket,
                Prefix=parent,
                Delimiter="/",
                PaginationConfig={"PageSize": self._tuning.page_size},
            )
            for page in pages:
                for item in page.get("CommonPrefixes", ()):
                    with contextlib.suppress(InvalidField):  # not an object of this project
                        yield Key(item["Prefix"].removeprefix(self._prefix).removesuffix("/")).name

    def stat(self, key: Key) -> StoredObject | None:
        """Describe the object; see `Storage.stat`."""
        with s3_errors("the look-up"):
            return self._stat(key)

    def delete(self, key: Key) -> bool:
        """Remove the object; see `Storage.delete`."""
        with s3_errors("the deletion"):
            if self._stat(key) is None:
                return False
            self._client.delete_object(Bucket=self._location.bucket, Key=self._name(key))
            return True

    def remove_partial_writes(self) -> RemovedFiles:
        """Abort multipart uploads that were never completed; see `Storage.remove_partial_writes`."""
        with s3_errors("the clean-up"):
            return abort_stale_uploads(self._client, self._location.bucket, f"{self._prefix}{RESULTS}/")

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """Presign a download; see `Storage.url`."""
        parameters = {"Bucket": self._location.bucket, "Key": self._name(key)}
        if filename:
            parameters["ResponseContentDisposition"] = attachment(filename)
        with s3_errors("the link"):
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
        """Upload the object and verify it; upload it again if it was deleted meanwhile."""
        for _ in range(_UPLOAD_ATTEMPTS):
            source.seek(0)
            upload, confirmed = self._send(key, source, size, content_type)
            stored = self._verified(key, upload, confirmed=confirmed)
            if stored is not None:
                return stored
        raise StorageFailed("The object store lost the upload.")

    def _send(
        self, key: Key, source: io.BufferedReader | io.BytesIO, size: int, content_type: str
    ) -> tuple[ObjectUpload, bool]:
        """Upload in one request or in parts; return the upload and whether the store confirmed its MD5."""
        if size > self._tuning.multipart_above_bytes:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            upload = ObjectUpload(self._location.bucket, self._name(key), content_type, size, sha256)
            return upload, put_parts(self._client, upload, source, self._tuning)
        data = source.read(size)
        if len(data) != size:
            raise StorageFailed("The file changed while it was being stored.")
        sha256 = hashlib.sha256(data).hexdigest()
        upload = ObjectUpload(self._location.bucket, self._name(key), content_type, size, sha256)
        return upload, put_whole(self._client, upload, data)

    def _verified(self, key: Key, upload: ObjectUpload, *, confirmed: bool) -> StoredObject | None:
        """Return the stored object once the upload is verified; None if the object does not exist.

        While another writer replaces the object, some stores briefly report the size of one version and the digest of
        the other, or no object at all. So the store is asked several times before the upload counts as failed.
        """
        doubt = None
        for attempt in range(self._tuning.verify_attempts):
            time.sleep(_FIRST_PAUSE_SECONDS * (2**attempt - 1))
            found = self._stat(key)
            if found is None:
                doubt = None
            elif found.sha256 not in {None, upload.sha256}:
                # Another writer has replaced the upload since: the last one wins.
                return StoredObject(key, upload.size_bytes, found.modified, upload.sha256)
            elif found.size_bytes != upload.size_bytes:
                doubt = "The object store did not keep the whole upload."
            elif (not confirmed or found.sha256 is None) and self._digest(key) != upload.sha256:
                doubt = "The object store did not keep the upload as it was sent."
            else:
                return replace(found, sha256=upload.sha256)
        if doubt is not None:
            raise StorageFailed(doubt)
        return None

    def _digest(self, key: Key) -> str | None:
        """Read the object back and return the SHA-256 of its bytes; None if it no longer exists."""
        from botocore.exceptions import ClientError

        try:
            return self._download(key, None)
        except ClientError as error:
            if http_status(error) == _NOT_FOUND:
                return None
            raise

    def _download(self, key: Key, sink: BinaryIO | None) -> str:
        """Download into the sink and return the SHA-256; retry if the connection breaks or the bytes are wrong."""
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        attempt = 1
        while True:
            try:
                return self._stream(key, sink)
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError, _WrongBytesError):
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
            raise _WrongBytesError("The object store returned other bytes than were stored.")
        return digest.hexdigest()


def _sha256(metadata: Mapping[str, str]) -> str | None:
    """The digest in an object's metadata; stores differ in the case of its name."""
    values = {name.lower(): value for name, value in metadata.items()}
    found = values.get(SHA256_METADATA, "").lower()
    return found if _SHA256.fullmatch(found) else None
