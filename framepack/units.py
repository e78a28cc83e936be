"""Units: MB in settings, logs and messages, GiB in the fields of the API about memory, FFmpeg's time base."""

from __future__ import annotations

from typing import Final

MB: Final = 1_000_000
"""A megabyte, as everywhere in settings, catalogs, logs and messages."""

GIB: Final = 1 << 30
"""The unit of memory sizes that the API reports as GB, like most tools that show the memory of GPUs."""

MICROSECONDS: Final = 1_000_000
"""Microseconds of a second: FFmpeg's ``AV_TIME_BASE``, in which containers count."""
