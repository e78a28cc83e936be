"""Opening stores: the deployment's, from its settings, and the one that a job brings in its ``s3Config``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framepack.errors import InvalidField
from framepack.net.addresses import Policy, check_url
from framepack.storage.links import LinkSigner, load_or_create_secret, signed_url
from framepack.storage.local import LocalStorage
from framepack.storage.s3.client import S3Credentials
from framepack.storage.s3.location import S3Location, s3_location
from framepack.storage.s3.storage import S3Storage

if TYPE_CHECKING:
    from framepack.settings import Settings
    from framepack.storage.base import Storage
    from framepack.storage.keys import Key

    Link = Callable[[Key], str | None]


def open_storage(settings: Settings) -> Storage:
    """Open the deployment's store.

    Raises:
        InvalidField: Bucket, endpoint or prefix in the settings is invalid.
        StorageFailed: The folder cannot be opened.
    """
    kind, _, place = settings.storage.partition(":")
    if kind == "file":
        return _with_own_links(settings, lambda link: LocalStorage(Path(place), link))
    _, _, prefix = place.removeprefix("//").partition("/")
    if not has_own_links(settings):
        return _bucket(settings, prefix)
    return _with_own_links(settings, lambda link: _bucket(settings, prefix, link))


def has_own_links(settings: Settings) -> bool:
    """Whether links to objects of the deployment's store lead to the REST server, which passes the files on."""
    if settings.storage.startswith("file:"):
        return True
    if settings.s3_presign == "auto":
        return not _location(settings).can_presign
    return settings.s3_presign == "false"


def link_signer(settings: Settings, state: Storage) -> LinkSigner:
    """The signer of links to the REST server, with the secret of the settings or else the one kept in the store."""
    return LinkSigner(deployment_secret(settings, state), settings.url_lifetime_seconds)


def deployment_secret(settings: Settings, state: Storage) -> bytes:
    """The secret that all processes of a deployment share: that of the settings, or else one kept in the store."""
    given = settings.link_secret
    return given.get_secret_value().encode() if given is not None else load_or_create_secret(state)


def open_job_storage(settings: Settings, s3_config: Mapping[str, Any], policy: Policy) -> Storage:
    """Open the bucket that a job names as RunPod's ``s3Config``.

    Args:
        settings: Of the worker; they set the lifetime of URLs.
        s3_config: ``accessId``, ``accessSecret``, ``endpointUrl`` and ``bucketName`` (which may also be in the
            endpoint), optionally ``region``; other entries are ignored.
        policy: Which addresses may be reached. Does not apply to AWS, whose addresses clients cannot choose.

    Raises:
        InvalidField: An entry is missing or invalid.
        SourceNotAllowed: The endpoint is not allowed.
    """
    endpoint_url, access_key, secret_key = (
        _text(s3_config, name) for name in ("endpointUrl", "accessId", "accessSecret")
    )
    location = s3_location(_optional_text(s3_config, "bucketName"), endpoint_url, _optional_text(s3_config, "region"))
    credentials = S3Credentials(access_key, secret_key)
    if location.endpoint_url:
        check_url(location.endpoint_url, policy)  # the addresses of its host are checked at every connection
    return S3Storage(
        replace(location, policy=policy),
        credentials,
        url_lifetime_seconds=settings.url_lifetime_seconds,
        link=None if location.can_presign else _no_link,
    )


def _with_own_links(settings: Settings, opened: Callable[[Link], Storage]) -> Storage:
    """Open a store whose objects have links to the REST server, if there is a public URL."""
    public_url = settings.public_url
    if public_url is None:
        return opened(_no_link)
    signer = cache(lambda: link_signer(settings, storage))
    storage = opened(lambda key: signed_url(public_url, key, signer()))
    return storage


def _no_link(_key: Key) -> None:
    """The link to an object that has none."""


def _bucket(settings: Settings, prefix: str, link: Link | None = None) -> S3Storage:
    return S3Storage(
        _location(settings),
        _credentials(settings),
        prefix=prefix,
        url_lifetime_seconds=settings.url_lifetime_seconds,
        link=link,
    )


def _location(settings: Settings) -> S3Location:
    bucket = settings.storage.removeprefix("s3://").partition("/")[0]
    return s3_location(bucket, settings.bucket_endpoint_url, settings.s3_region)


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
