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
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from framepack.errors import InvalidField, NotFound, StorageFailed, StorageUnavailable
from framepack.storage.base import CHUNK_BYTES, DEFAULT_CONTENT_TYPE, StoredObject, removed_on_failure
from framepack.storage.keys import RESULTS, Key
from framepack.storage.s3.client import S3Credentials, S3Tuning, attachment, http_status, s3_errors
from framepack.storage.s3.requests import S3Requests
from framepack.storage.s3.upload import (
    SHA256_METADATA,
    ObjectUpload,
    abort_stale_uploads,
    put_parts,
    put_whole,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ListObjectsV2RequestTypeDef

    from framepack.files.removed import RemovedFiles
    from framepack.storage.s3.location import S3Location

MAX_URL_LIFETIME_SECONDS = 604_800
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_FOUND = 404
_NO_CONTENT = 204
_FIRST_PAUSE_SECONDS = 0.05
_UPLOAD_ATTEMPTS = 2


class S3Storage:
    """Objects of one bucket, below a prefix.

    Args:
        location: The bucket and its server.
        credentials: None lets boto3 search for them.
        prefix: Segments that precede every key; may be empty.
        url_lifetime_seconds: How long a presigned URL is valid, at most 7 days.
        tuning: Retries, timeouts and part sizes.
        link: For a server without presigned links: returns the URL of an object, if there is one.
    """

    def __init__(
        self,
        location: S3Location,
        credentials: S3Credentials | None = None,
        *,
        prefix: str = "",
        url_lifetime_seconds: int = 86_400,
        tuning: S3Tuning | None = None,
        link: Callable[[Key], str | None] | None = None,
    ) -> None:
        self._prefix = f"{Key.parse(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._url_lifetime_seconds = min(url_lifetime_seconds, MAX_URL_LIFETIME_SECONDS)
        self._tuning = tuning or S3Tuning()
        self._requests = S3Requests(location, credentials, self._tuning)
        self._bucket = location.bucket
        self._link = link
        self._failed_uploads: set[str] = set()

    def put_file(self, key: Key, path: Path, *, content_type: str = DEFAULT_CONTENT_TYPE) -> StoredObject:
        """Upload a copy of the file; see `Storage.put_file`."""
        with s3_errors("the upload"), path.open("rb") as source:
            return self._put(key, source, os.fstat(source.fileno()).st_size, content_type)

    def put_bytes(
        self, key: Key, data: bytes, *, content_type: str = DEFAULT_CONTENT_TYPE, private: bool = False
    ) -> StoredObject:
        """Upload the bytes; see `Storage.put_bytes`."""
        del private  # the bucket decides who may read
        return self._put(key, io.BytesIO(data), len(data), content_type)

    def read(self, key: Key) -> bytes:
        """Download the object's bytes; see `Storage.read`."""
        sink = io.BytesIO()
        self._download(key, sink)
        return sink.getvalue()

    def fetch(self, key: Key, to: Path) -> None:
        """Download the object into a file; see `Storage.fetch`."""
        with s3_errors("the download"), removed_on_failure(to), to.open("wb") as sink:
            self._download(key, sink)

    def read_part(self, stored: StoredObject, start: int, size_bytes: int) -> bytes:
        """Download bytes of an object; see `Storage.read_part`."""

        def part(client: S3Client) -> bytes:
            last = start + size_bytes - 1
            answer = client.get_object(Bucket=self._bucket, Key=self._name(stored.key), Range=f"bytes={start}-{last}")
            with contextlib.closing(answer["Body"]) as body:
                is_part = answer.get("ContentRange") == f"bytes {start}-{last}/{stored.size_bytes}"
                if not is_part or _sha256(answer["Metadata"]) != stored.sha256:
                    raise StorageFailed("The object was replaced, or the store does not read parts of objects.")
                return body.read()

        return self._requests.ask("the download", part, size_bytes=size_bytes)

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Yield the objects below the folder, page by page; see `Storage.list`."""
        with s3_errors("the listing"):
            for page in self._pages(self._prefix + (f"{folder}/" if folder else "")):
                for item in page.get("Contents", ()):
                    try:
                        key = Key(item["Key"].removeprefix(self._prefix))
                    except InvalidField:  # not an object of this project
                        continue
                    yield StoredObject(key, item["Size"], item["LastModified"].astimezone(UTC))

    def folders(self, folder: Key) -> Iterator[str]:
        """Yield the names of the folders in this one, page by page; see `Storage.folders`."""
        with s3_errors("the listing"):
            for page in self._pages(f"{self._name(folder)}/", "/"):
                for item in page.get("CommonPrefixes", ()):
                    with contextlib.suppress(InvalidField):  # not an object of this project
                        yield Key(item["Prefix"].removeprefix(self._prefix).removesuffix("/")).name

    def stat(self, key: Key) -> StoredObject | None:
        """Describe the object; see `Storage.stat`."""
        return self._requests.ask("the look-up", lambda client: self._stat(client, key))

    def delete(self, key: Key) -> bool:
        """Remove the object; see `Storage.delete`."""
        action = "the deletion"
        if self._requests.ask(action, lambda client: self._stat(client, key)) is None:
            return False
        self._requests.ask(action, lambda client: self._delete(client, key))
        return True

    def remove_partial_writes(self) -> RemovedFiles:
        """Abort multipart uploads that were never completed; see `Storage.remove_partial_writes`."""
        return self._requests.ask(
            "the clean-up", lambda client: abort_stale_uploads(client, self._bucket, f"{self._prefix}{RESULTS}/")
        )

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """Presign a download; see `Storage.url`."""
        if self._link is not None:
            return self._link(key)
        parameters = {"Bucket": self._bucket, "Key": self._name(key)}
        if filename:
            parameters["ResponseContentDisposition"] = attachment(filename)
        with s3_errors("the link"):
            return self._requests.client.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=self._url_lifetime_seconds
            )

    def _name(self, key: Key) -> str:
        return f"{self._prefix}{key}"

    def _pages(self, prefix: str, delimiter: str | None = None) -> Iterator[ListObjectsV2OutputTypeDef]:
        """The pages of a listing."""
        asked: ListObjectsV2RequestTypeDef = {
            "Bucket": self._bucket,
            "Prefix": prefix,
            "MaxKeys": self._tuning.page_size,
        }
        if delimiter:
            asked["Delimiter"] = delimiter

        def page(client: S3Client) -> ListObjectsV2OutputTypeDef:
            found = client.list_objects_v2(**asked)
            if "Name" not in found and "KeyCount" not in found:
                raise ValueError("not a listing")  # such as a web page: an absent list is not an empty one
            return found

        while True:
            found = self._requests.ask("the listing", page)
            yield found
            token = found.get("NextContinuationToken")
            if not found.get("IsTruncated") or not token or token == asked.get("ContinuationToken"):
                return
            asked["ContinuationToken"] = token

    def _stat(self, client: S3Client, key: Key) -> StoredObject | None:
        from botocore.exceptions import ClientError

        try:
            head = client.head_object(Bucket=self._bucket, Key=self._name(key))
        except ClientError as error:
            if http_status(error) == _NOT_FOUND:
                return None
            raise
        _check_object(head)
        modified = head["LastModified"].astimezone(UTC)
        return StoredObject(key, head["ContentLength"], modified, _sha256(head["Metadata"]))

    def _delete(self, client: S3Client, key: Key) -> None:
        answer = client.delete_object(Bucket=self._bucket, Key=self._name(key))
        is_usual = answer["ResponseMetadata"]["HTTPStatusCode"] == _NO_CONTENT
        if not is_usual and self._stat(client, key) is not None:
            raise ValueError("not the answer to a deletion")

    def _put(self, key: Key, source: io.BufferedReader | io.BytesIO, size: int, content_type: str) -> StoredObject:
        """Upload the object and verify it; upload it again if it was deleted meanwhile."""
        for _ in range(_UPLOAD_ATTEMPTS):
            source.seek(0)
            upload, confirmed = self._send(key, source, size, content_type)
            stored = self._verified(key, upload, confirmed=confirmed)
            if stored is not None:
                return stored
            self._failed_uploads.add(upload.name)
        raise StorageUnavailable("The object store lost the upload.")

    def _send(
        self, key: Key, source: io.BufferedReader | io.BytesIO, size: int, content_type: str
    ) -> tuple[ObjectUpload, bool]:
        """Upload in one request or in parts; return the upload and whether the store confirmed its MD5."""
        if size > self._tuning.multipart_above_bytes:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            source.seek(0)
            upload = ObjectUpload(self._bucket, self._name(key), content_type, size, sha256)
            return upload, self._send_parts(upload, source)
        data = source.read(size)
        if len(data) != size:
            raise StorageFailed("The file changed while it was being stored.")
        sha256 = hashlib.sha256(data).hexdigest()
        upload = ObjectUpload(self._bucket, self._name(key), content_type, size, sha256)
        return upload, put_whole(self._requests, upload, data)

    def _send_parts(self, upload: ObjectUpload, source: BinaryIO) -> bool:
        """Upload in parts; return whether the store confirmed every MD5. Parts of failed uploads are removed."""
        try:
            confirmed = put_parts(self._requests, upload, source, had_failed=upload.name in self._failed_uploads)
        except BaseException:
            self._failed_uploads.add(upload.name)
            raise
        self._failed_uploads.discard(upload.name)
        return confirmed

    def _verified(self, key: Key, upload: ObjectUpload, *, confirmed: bool) -> StoredObject | None:
        """Return the stored object once the upload is verified; None if the object does not exist.

        While another writer replaces the object, some stores briefly report the size of one version and the digest of
        the other, or no object at all. So the store is asked several times before the upload counts as failed.
        """
        doubt = None
        for attempt in range(self._tuning.verify_attempts):
            time.sleep(_FIRST_PAUSE_SECONDS * (2**attempt - 1))
            found = self._requests.ask("the upload", lambda client: self._stat(client, key))
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
            raise StorageUnavailable(doubt)
        return None

    def _digest(self, key: Key) -> str | None:
        """Read the object back and return the SHA-256 of its bytes; None if it no longer exists."""
        try:
            return self._download(key, None, "the upload")
        except NotFound:
            return None

    def _download(self, key: Key, sink: BinaryIO | None, action: str = "the download") -> str:
        """Download into the sink and return the SHA-256."""
        return self._requests.ask(action, lambda client: self._stream(client, key, sink))

    def _stream(self, client: S3Client, key: Key, sink: BinaryIO | None) -> str:
        answer = client.get_object(Bucket=self._bucket, Key=self._name(key))
        with contextlib.closing(answer["Body"]) as body:
            _check_object(answer)
            self._requests.allow(answer["ContentLength"])
            digest = hashlib.sha256()
            if sink:
                sink.seek(0)
                sink.truncate()
            while chunk := body.read(CHUNK_BYTES):
                digest.update(chunk)
                if sink:
                    sink.write(chunk)
        if _sha256(answer["Metadata"]) not in {None, digest.hexdigest()}:
            raise StorageUnavailable("The object store returned other bytes than were stored.")
        return digest.hexdigest()


def _check_object(answer: Mapping[str, Any]) -> None:
    """Check that an answer with status 200 describes an object; a gateway may give it, too."""
    if "LastModified" not in answer:
        raise ValueError("not an object")


def _sha256(metadata: Mapping[str, str]) -> str | None:
    """The digest in an object's metadata; stores differ in the case of its name."""
    values = {name.lower(): value for name, value in metadata.items()}
    found = values.get(SHA256_METADATA, "").lower()
    return found if _SHA256.fullmatch(found) else None
