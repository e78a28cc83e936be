"""What is known of errors that are not ours."""

from __future__ import annotations

import errno

import pytest

from framepack.errors import DiskFull, OutOfMemory, is_disk_full, public


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_several_errno_values_mean_a_full_disk(number: int) -> None:
    """No space, no quota and too large a file are all a full disk, and the client is told so."""
    error = OSError(number, "full")

    assert is_disk_full(error)
    assert isinstance(public(error), DiskFull)


def test_a_full_disk_of_ffmpeg_is_one() -> None:
    """FFmpeg's own errors carry the number, too."""
    from av.error import FFmpegError

    assert is_disk_full(FFmpegError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), OSError("no number"), ValueError("28")])
def test_other_errors_are_not_a_full_disk(error: Exception) -> None:
    """A broken disk is no full one, and neither is what is no trouble with a disk at all."""
    assert not is_disk_full(error)
    assert not isinstance(public(error), DiskFull)


def test_running_out_of_memory_is_no_defect() -> None:
    """Where nothing smaller could be tried, the client learns that memory is short."""
    known = public(MemoryError())

    assert isinstance(known, OutOfMemory)
    assert known.status == 503
