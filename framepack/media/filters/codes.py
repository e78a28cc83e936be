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
        depth: bits of the frame's samples, 8 to 12.
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

    def load(self, samples: NDArray[Any], zero: float, out: NDArray[np.float32]) -> None:
        """Write samples into ``out`` as steps of the unshifted depth above ``zero``."""
        import numpy as np

        np.copyto(out, samples)
        if self.shift:
            out *= 2.0**-self.shift
        out -= zero

    def store_luma(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Round steps above black to codes, clipped to black and white; overwrites ``values``."""
        import numpy as np

        steps, black = self.luma
        np.clip(values, 0, steps, out=values)
        _rounded(values, black, out)

    def store_chroma(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Round steps above gray, at most half of all, to codes; overwrites ``values``."""
        import numpy as np

        if self.full_range:
            np.clip(values, -self.chroma[1], self.chroma[1] - 1, out=values)  # half of all is beyond the largest code
        _rounded(values, self.chroma[1], out)

    @property
    def _unit(self) -> float:
        return 2.0 ** (self.bits - _BYTE)

    @property
    def _all(self) -> float:
        return ((1 << self.depth) - 1) * 2.0**self.shift


@dataclass(frozen=True, slots=True)
class Layout:
    """The frames of one clip on their way through the filters.

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


def requantize(samples: Samples, given: int, wanted: int, out: Samples) -> None:
    """Copy codes of ``given`` bits as codes of ``wanted`` bits, as many or fewer, rounded."""
    import numpy as np

    if given == wanted:
        out[...] = samples
        return
    shift = given - wanted
    rounded = samples + np.uint16(1 << (shift - 1))
    rounded >>= shift
    np.copyto(out, rounded, casting="unsafe")


def _rounded(values: NDArray[Any], zero: float, out: NDArray[Any]) -> None:
    """Round ``values + zero``, none of them negative, to integers; overwrites ``values``."""
    import cv2
    import numpy as np

    if out.dtype == np.uint8 and values.dtype == np.float32:
        cv2.convertScaleAbs(values, out, 1, zero)
        return
    values += zero + 0.5  # casting cuts
    np.copyto(out, values, casting="unsafe")


class Table:
    """A value forevery code: uint8, uint16 or float32."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values
        self._is_of_bytes = len(values) == _BYTE_VALUES

    def __call__(self, codes: Samples, out: NDArray[Any]) -> None:
        """Look up codes; ``out`` has their shape and the values' dtype."""
        import cv2
        import numpy as np

        if self._is_of_bytes:
            cv2.LUT(codes, self._values, out)
        else:
            out[...] = np.take(self._values, codes, mode="clip")
