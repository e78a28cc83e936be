"""Opening stores: the deployment's, from its settings, and the one that a job brings in its ``s3Config``."""

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
    """Open the deployment's store.

    Raises:
        InvalidField: bucket, endpoint or prefix in the settings is invalid.
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
    """The signer of links to a local store, with the secret of the settings or else the one kept in the store."""
    return LinkSigner(deployment_secret(settings, state), settings.url_lifetime_seconds)


def deployment_secret(settings: Settings, state: Storage) -> bytes:
    """The secret that all processes of a deployment share: that of the settings, or else one kept in the store."""
    given = settings.link_secret
    return given.get_secret_value().encode() if given is not None else load_or_create_secret(state)


def open_job_storage(
    settings: Settings, s3_config: Mapping[str, Any], check_endpoint: Callable[[str], None]
) -> Storage:
    """Open the bucket that a job names as RunPod's ``s3Config``.

    Args:
        settings: of the worker; they set the lifetime of URLs.
        s3_config: ``accessId``, ``accessSecret``, ``endpointUrl`` and ``bucketName`` (which may also be in the
            endpoint), optionally ``region``; other entries are ignored.
        check_endpoint: called with the address that will be connected to; raises if that is not allowed. Not called
            for AWS, whose addresses clients cannot choose.

    Raises:
        InvalidField: an entry is missing or invalid.
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
        raise InvalidField(f"s3Config.{name} is required and must be text.")
    return value.strip()


def _optional_text(s3_config: Mapping[str, Any], name: str) -> str | None:
    value = s3_config.get(name)
    return None if value is None or value == "" else _text(s3_config, name)
