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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from framepack.errors import InvalidField, NotFound, StorageFailed, StorageUnavailable
from framepack.storage.base import CHUNK_BYTES, DEFAULT_CONTENT_TYPE, StoredObject, removed_on_failure
from framepack.storage.keys import RESULTS, Key
from framepack.storage.s3.client import S3Credentials, S3Tuning, attachment, http_status, s3_errors
from framepack.storage.s3.requests import S3Requests
from framepack.storage.s3.spellings import Named, merged, spellings
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

T = TypeVar("T")

MAX_URL_LIFETIME_SECONDS = 604_800
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_FOUND = 404
_NO_CONTENT = 204
_FIRST_PAUSE_SECONDS = 0.05
_UPLOAD_ATTEMPTS = 2
_MOST_DECOMPOSED = 10_000


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
        self._decomposed: dict[str, str] = {}

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

        def part(client: S3Client, name: str) -> bytes:
            last = start + size_bytes - 1
            answer = client.get_object(Bucket=self._bucket, Key=name, Range=f"bytes={start}-{last}")
            with contextlib.closing(answer["Body"]) as body:
                is_part = answer.get("ContentRange") == f"bytes {start}-{last}/{stored.size_bytes}"
                if not is_part or _sha256(answer["Metadata"]) != stored.sha256:
                    raise StorageFailed("The object was replaced, or the store does not read parts of objects.")
                return body.read()

        return self._ask_by_name(stored.key, "the download", part, size_bytes=size_bytes)

    def list(self, folder: Key | None = None) -> Iterator[StoredObject]:
        """Yield the objects below the folder, page by page; see `Storage.list`."""
        prefixes = [f"{name}/" for name in spellings(self._name(folder))] if folder else [self._prefix]
        with s3_errors("the listing"):
            for stored, name in merged(map(self._listed, prefixes)):
                self._note(stored.key, name)
                yield stored

    def _listed(self, prefix: str) -> Iterator[Named[tuple[StoredObject, str]]]:
        for page in self._pages(prefix):
            for item in page.get("Contents", ()):
                name = item["Key"].removeprefix(self._prefix)
                with contextlib.suppress(InvalidField):  # otherwise not an object of this project
                    key = Key.parse(name)
                    stored = StoredObject(key, item["Size"], item["LastModified"].astimezone(UTC))
                    yield key.text, key.text != name, (stored, name)

    def folders(self, folder: Key) -> Iterator[str]:
        """Yield the names of the folders in this one, page by page; see `Storage.folders`."""
        with s3_errors("the listing"):
            yield from merged(map(self._listed_folders, spellings(self._name(folder))))

    def _listed_folders(self, parent: str) -> Iterator[Named[str]]:
        for page in self._pages(f"{parent}/", "/"):
            for item in page.get("CommonPrefixes", ()):
                name = item["Prefix"].removeprefix(self._prefix).removesuffix("/")
                with contextlib.suppress(InvalidField):  # otherwise not an object of this project
                    key = Key.parse(name)
                    yield f"{key.name}/", key.text != name, key.name

    def stat(self, key: Key) -> StoredObject | None:
        """Describe the object; see `Storage.stat`."""
        found = (self._found(key, name, "the look-up") for name in spellings(self._name(key)))
        return next((stored for stored in found if stored is not None), None)

    def delete(self, key: Key) -> bool:
        """Remove the object in all spellings of its name; see `Storage.delete`."""
        action = "the deletion"
        names = [name for name in spellings(self._name(key)) if self._found(key, name, action) is not None]
        for name in names:
            self._requests.ask(action, partial(self._delete, key=key, name=name))
        return bool(names)

    def remove_partial_writes(self) -> RemovedFiles:
        """Abort multipart uploads that were never completed; see `Storage.remove_partial_writes`."""
        return self._requests.ask(
            "the clean-up", lambda client: abort_stale_uploads(client, self._bucket, f"{self._prefix}{RESULTS}/")
        )

    def url(self, key: Key, *, filename: str | None = None) -> str | None:
        """Presign a download; see `Storage.url`."""
        if self._link is not None:
            return self._link(key)
        name = self._decomposed.get(key.text, key.text)
        parameters = {"Bucket": self._bucket, "Key": f"{self._prefix}{name}"}
        if filename:
            parameters["ResponseContentDisposition"] = attachment(filename)
        with s3_errors("the link"):
            return self._requests.client.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=self._url_lifetime_seconds
            )

    def _name(self, key: Key) -> str:
        return f"{self._prefix}{key}"

    def _note(self, key: Key, name: str) -> None:
        """Keep the name, without the prefix, of an object whose name is not in NFC: its links need it."""
        if key.text == name:
            self._decomposed.pop(name, None)
        elif len(self._decomposed) < _MOST_DECOMPOSED:
            self._decomposed[key.text] = name

    def _found(self, key: Key, name: str, action: str) -> StoredObject | None:
        """Describe the object of this name."""
        stored = self._requests.ask(action, lambda client: self._stat(client, key, name))
        if stored is not None:
            self._note(key, name.removeprefix(self._prefix))
        return stored

    def _ask_by_name(self, key: Key, action: str, request: Callable[[S3Client, str], T], *, size_bytes: int = 0) -> T:
        """Send a request about the first spelling of an object's name that exists.

        Raises:
            NotFound: None does.
        """

        def ask(name: str) -> T:
            return self._requests.ask(action, lambda client: request(client, name), size_bytes=size_bytes)

        *others, last = spellings(self._name(key))
        for name in others:
            with contextlib.suppress(NotFound):
                return ask(name)
        return ask(last)

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

    def _stat(self, client: S3Client, key: Key, name: str) -> StoredObject | None:
        from botocore.exceptions import ClientError

        try:
            head = client.head_object(Bucket=self._bucket, Key=name)
        except ClientError as error:
            if http_status(error) == _NOT_FOUND:
                return None
            raise
        _check_object(head)
        modified = head["LastModified"].astimezone(UTC)
        return StoredObject(key, head["ContentLength"], modified, _sha256(head["Metadata"]))

    def _delete(self, client: S3Client, key: Key, name: str) -> None:
        answer = client.delete_object(Bucket=self._bucket, Key=name)
        is_usual = answer["ResponseMetadata"]["HTTPStatusCode"] == _NO_CONTENT
        if not is_usual and self._stat(client, key, name) is not None:
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
            found = self._found(key, upload.name, "the upload")
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
        return self._ask_by_name(key, action, lambda client, name: self._stream(client, name, sink))

    def _stream(self, client: S3Client, name: str, sink: BinaryIO | None) -> str:
        answer = client.get_object(Bucket=self._bucket, Key=name)
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
