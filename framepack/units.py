"""Units of sizes: MB in settings, logs and messages, GiB in the fields of the API about memory."""

from __future__ import annotations

from typing import Final

MB: Final = 1_000_000
"""A megabyte, as everywhere in settings, catalogs, logs and messages."""

GIB: Final = 1 << 30
"""The unit of memory sizes that the API reports as GB, like most tools that show the memory of GPUs."""
