"""Which store to use: the worker's own, from its settings, or the one that a job brings along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framepack.errors import InvalidField
from framepack.storage.links import LinkSigner, load_or_create_secret, signed_url
from framepack.storage.local import LocalStorage
from framepack.storage.s3.client import S3Credentials
from framepack.storage.s3.location import s3_location
from framepack.storage.s3.storage import S3Storage

if TYPE_CHECKING:
    from framepack.settings import Settings
    from framepack.storage.base import Storage


def open_storage(settings: Settings) -> Storage:
    """Open the worker's own store.

    Raises:
        InvalidField: the settings name no usable bucket, endpoint or prefix.
        StorageFailed: the folder cannot be opened.
    """
    kind, _, place = settings.storage.partition(":")
    if kind == "file":
        return _local(Path(place), settings)
    bucket, _, prefix = place.removeprefix("//").partition("/")
    return S3Storage(
        s3_location(bucket, settings.bucket_endpoint_url, settings.s3_region),
        _credentials(settings),
        prefix=prefix,
        url_lifetime_seconds=settings.url_lifetime_seconds,
    )


def link_signer(settings: Settings, state: Storage) -> LinkSigner:
    """What signs the links to a local store's files: the settings' secret, else one that is kept in the store."""
    given = settings.link_secret
    secret = given.get_secret_value().encode() if given is not None else load_or_create_secret(state)
    return LinkSigner(secret, settings.url_lifetime_seconds)


def open_job_storage(
    settings: Settings, s3_config: Mapping[str, Any], check_endpoint: Callable[[str], None]
) -> Storage:
    """Open the bucket that a job names as RunPod's ``s3Config``.

    Args:
        settings: the worker's; gives the lifetime of URLs.
        s3_config: ``accessId``, ``accessSecret``, ``endpointUrl`` and ``bucketName`` (which may also be in the
            endpoint), perhaps ``region``; other entries are passed over.
        check_endpoint: called with the address that will be connected to; raises if it may not be. Not called for
            AWS, whose addresses no client can choose.

    Raises:
        InvalidField: an entry is missing or is not usable.
    """
    endpoint_url, access_key, secret_key = (
        _text(s3_config, name) for name in ("endpointUrl", "accessId", "accessSecret")
    )
    location = s3_location(_optional_text(s3_config, "bucketName"), endpoint_url, _optional_text(s3_config, "region"))
    credentials = S3Credentials(access_key, secret_key)
    if location.endpoint_url:
        check_endpoint(location.endpoint_url)
    return S3Storage(location, credentials, url_lifetime_seconds=settings.url_lifetime_seconds)


def _local(root: Path, settings: Settings) -> LocalStorage:
    public_url = settings.public_url
    if public_url is None:
        return LocalStorage(root)
    signer = cache(lambda: link_signer(settings, storage))
    storage = LocalStorage(root, lambda key: signed_url(public_url, key, signer()))
    return storage


def _credentials(settings: Settings) -> S3Credentials | None:
    access_key, secret_key = settings.bucket_access_key_id, settings.bucket_secret_access_key
    if access_key is None or secret_key is None:
        return None
    return S3Credentials(access_key.get_secret_value(), secret_key.get_secret_value())


def _text(s3_config: Mapping[str, Any], name: str) -> str:
    value = s3_config.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidField(f"The field s3Config.{name} must be given as text.")
    return value.strip()


def _optional_text(s3_config: Mapping[str, Any], name: str) -> str | None:
    value = s3_config.get(name)
    return None if value is None or value == "" else _text(s3_config, name)
