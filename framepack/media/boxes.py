"""The outermost boxes of an MP4 or MOV file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

_LEAST_BYTES: Final = 8  # a length and a name


class Box(NamedTuple):
    """A box of a file.

    Attributes:
        name: Its four bytes.
        begin: Where it begins in the file.
        header_bytes: Length of its header.
        length: Its length with the header, as it says, perhaps beyond the file; 0 if it ends with the file.
    """

    name: bytes
    begin: int
    header_bytes: int
    length: int


def file_boxes(file: BinaryIO, size_bytes: int) -> Iterator[Box]:
    """Yield the boxes of a file, up to the first whose length is too small for a box."""
    begin = 0
    while begin + _LEAST_BYTES <= size_bytes:
        file.seek(begin)
        head = file.read(16)
        length, header_bytes = int.from_bytes(head[:4], "big"), 8
        if length == 1:  # the size follows, in 64 bits
            length, header_bytes = int.from_bytes(head[8:16], "big"), 16
        yield Box(head[4:8], begin, header_bytes, length)
        if length < _LEAST_BYTES:
            return
        begin += length
