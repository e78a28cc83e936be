"""What is known of errors that are not ours."""

from __future__ import annotations

import errno

import pytest

from framepack.errors import DiskFull, OutOfMemory, is_disk_full, public


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_several_errno_values_mean_a_full_disk(number: int) -> None:
    """These are no space, no quota and too large a file."""
    error = OSError(number, "full")

    assert is_disk_full(error)
    assert isinstance(public(error), DiskFull)


def test_an_ffmpeg_error_may_mean_a_full_disk() -> None:
    """Exceptions of PyAV have the errno, too."""
    from av.error import FFmpegError

    assert is_disk_full(FFmpegError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), OSError("no number"), ValueError("28")])
def test_other_errors_are_not_a_full_disk(error: Exception) -> None:
    """These are a broken disk and errors without relation to a disk."""
    assert not is_disk_full(error)
    assert not isinstance(public(error), DiskFull)


def test_running_out_of_memory_is_a_known_error() -> None:
    """The client gets 503 with a message."""
    known = public(MemoryError())

    assert isinstance(known, OutOfMemory)
    assert known.status == 503
