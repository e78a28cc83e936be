"""The store that a job brings: tried before any work, and every failure explained by the field that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from framepack.errors import FramepackError, InvalidField, StorageFailed, StorageUnavailable
from framepack.storage.outputs import ResultFolder
from framepack.storage.trial import try_out

if TYPE_CHECKING:
    from framepack.storage.base import Storage

# By the code of the store's error.
_REMEDIES: Final = {
    "SignatureDoesNotMatch": "check accessSecret",
    "InvalidAccessKeyId": "check accessId",
    "AuthorizationHeaderMalformed": "set region to that of the bucket",
    "NoSuchBucket": "check bucketName",
    "AccessDenied": "let this key put, get and delete objects of the bucket",
}
_NO_ANSWER: Final = "check endpointUrl"
_ANY: Final = "check accessId, accessSecret, bucketName and endpointUrl"


def try_job_store(storage: Storage) -> None:
    """Try the store of a job with a small object.

    Raises:
        InvalidField: It cannot be used.
        StorageUnavailable: It answers, but has a failure at the moment.
        FramepackError: Its address is not allowed, or the job was cancelled.
    """
    try:
        try_out(storage, ResultFolder.TEMP_PROCESSING.key)
    except StorageUnavailable as error:
        if _has_answered(error):
            raise
        raise _refusal(error, _NO_ANSWER) from error
    except StorageFailed as error:
        remedy = next((each for code, each in _REMEDIES.items() if f"({code})" in error.message), _ANY)
        raise _refusal(error, remedy) from error


def _has_answered(error: FramepackError) -> bool:
    """Whether the store itself has answered, with an error of S3."""
    from botocore.exceptions import ClientError

    return isinstance(error.__cause__, ClientError)


def _refusal(error: FramepackError, remedy: str) -> InvalidField:
    reason = error.message.removesuffix(".")
    return InvalidField(f"The store of s3Config cannot be used: {reason[:1].lower()}{reason[1:]}; {remedy}.")
