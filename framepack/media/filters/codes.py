"""What the integers of planar YUV stand for, and tables over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.media.clip import Matrix

    Samples = NDArray[np.uint8] | NDArray[np.uint16]

_BYTE = 8
_BYTE_VALUES = 256


@dataclass(frozen=True, slots=True)
class Codes:
    """The integers of a depth and a range.

    Attributes:
        depth: bits of the picture's samples, 8 to 12.
        full_range: whether luma spans all of them.
        shift: by how many bits they have been shifted to the left.
    """

    depth: int
    full_range: bool
    shift: int = 0

    @property
    def bits(self) -> int:
        """Bits of the shifted samples."""
        return self.depth + self.shift

    @property
    def luma(self) -> tuple[float, float]:
        """Steps from black to white, and the code of black."""
        return (self._all, 0.0) if self.full_range else (219 * self._unit, 16 * self._unit)

    @property
    def chroma(self) -> tuple[float, float]:
        """Steps from -0.5 to 0.5, and the code of gray."""
        return self._all if self.full_range else 224 * self._unit, 128 * self._unit

    def luma_values(self) -> NDArray[np.float64]:
        """Luma of every code, 0 to 1 and a little beyond."""
        import numpy as np

        steps, black = self.luma
        return (np.arange(2**self.bits) - black) / steps

    def load(self, samples: NDArray[Any], zero: float) -> NDArray[np.float32]:
        """Samples as steps of the unshifted depth above ``zero``."""
        import numpy as np

        values: NDArray[np.float32] = samples.astype(np.float32)
        if self.shift:
            values *= 2.0**-self.shift
        values -= zero
        return values

    def store_luma(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Round steps above black to codes, clipped to black and white; overwrites ``values``."""
        import numpy as np

        steps, black = self.luma
        values += black + 0.5  # casting cuts
        np.clip(values, black + 0.5, black + steps + 0.5, out=values)
        np.copyto(out, values, casting="unsafe")

    def store_chroma(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Round steps above gray, at most half of all, to codes; overwrites ``values``."""
        import numpy as np

        values += self.chroma[1] + 0.5
        if self.full_range:
            np.clip(values, 0, self._all, out=values)  # half of all is half a step above the largest code
        np.copyto(out, values, casting="unsafe")

    @property
    def _unit(self) -> float:
        return 2.0 ** (self.bits - _BYTE)

    @property
    def _all(self) -> float:
        return ((1 << self.depth) - 1) * 2.0**self.shift


@dataclass(frozen=True, slots=True)
class Layout:
    """The pictures of one clip on their way through the filters.

    Attributes:
        width: columns of luma.
        height: rows of luma.
        halved: whether chroma has half the (columns, rows), rounded up.
        matrix: how YUV and RGB relate.
        given: codes of the samples that come.
        wanted: codes of the samples that go.
    """

    width: int
    height: int
    halved: tuple[bool, bool]
    matrix: Matrix
    given: Codes
    wanted: Codes

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Columns and rows of a chroma plane."""
        across, down = self.halved
        return (self.width + across) >> across, (self.height + down) >> down


def requantised(samples: Samples, given: int, wanted: int, out: Samples) -> None:
    """Copy codes of ``given`` bits as codes of ``wanted`` bits, as many or fewer, rounded."""
    import numpy as np

    if given == wanted:
        out[...] = samples
        return
    shift = given - wanted
    rounded = samples + np.uint16(1 << (shift - 1))
    rounded >>= shift
    np.copyto(out, rounded, casting="unsafe")


class Table:
    """A value for every code.

    Bytes are looked up in pairs, which halves the work: two of them are one index into a table of all pairs.
    """

    def __init__(self, values: NDArray[Any]) -> None:
        import numpy as np

        self._values = values
        self._pairs: NDArray[Any] | None = None
        if len(values) == _BYTE_VALUES:
            both = np.stack([np.tile(values, _BYTE_VALUES), np.repeat(values, _BYTE_VALUES)], -1)
            self._pairs = both.view(f"<u{2 * values.itemsize}").reshape(-1)

    def __call__(self, codes: Samples) -> NDArray[Any]:
        """Look up contiguous codes; shape as ``codes``."""
        import numpy as np

        if self._pairs is None or codes.size % 2:
            return np.take(self._values, codes.astype(np.intp), mode="clip")
        places = codes.reshape(-1).view("<u2").astype(np.intp)
        return np.take(self._pairs, places, mode="clip").view(self._values.dtype).reshape(codes.shape)
