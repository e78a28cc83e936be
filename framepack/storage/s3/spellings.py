"""Objects whose names come from macOS: letters are stored apart from their accents (NFD), unlike those of keys."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice, product
from operator import itemgetter
from typing import Final, TypeVar
from unicodedata import normalize

T = TypeVar("T")

_MOST: Final = 16

Named = tuple[str, bool, T]
"""The name of an item in NFC, whether it is stored as something else, and the item."""


def spellings(name: str) -> list[str]:
    """How an object of this name may be stored: as it is, in NFC, and with some or all segments in NFD."""
    if name.isascii():
        return [name]
    forms = (dict.fromkeys((segment, normalize("NFD", segment))) for segment in name.split("/"))
    return ["/".join(segments) for segments in islice(product(*forms), _MOST)]


def merged(listings: Iterable[Iterable[Named[T]]]) -> Iterator[T]:
    """Yield the items of several listings, sorted by their names in NFC; of two spellings of one, that in NFC counts.

    Args:
        listings: Each is sorted by names as they are stored. Earlier ones count more.
    """
    latest = None
    for name, item in heapq.merge(*map(_sorted, listings), key=itemgetter(0)):
        if name != latest:
            yield item
        latest = name


def _sorted(listing: Iterable[Named[T]]) -> Iterator[tuple[str, T]]:
    """Put items that are stored as NFD, which is nearly always before NFC, where their names belong."""
    waiting: list[tuple[str, int, T]] = []
    for number, (name, is_decomposed, item) in enumerate(listing):
        if is_decomposed:
            heapq.heappush(waiting, (name, number, item))
            continue
        while waiting and waiting[0][0] <= name:
            earlier, _, found = heapq.heappop(waiting)
            if earlier != name:
                yield earlier, found
        yield name, item
    while waiting:
        name, _, item = heapq.heappop(waiting)
        yield name, item
