"""Integer sample values of planar YUV: their meaning, rounding and lookup tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framepack.media.clip import Matrix
    from framepack.media.frames.arrays import Samples


_BYTE = 8  # bits
_BYTE_VALUES = 256


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """The bit depth and the range of sample values.

    Attributes:
        depth: Bits of the frame's samples, 8 to 12.
        full_range: Whether luma spans all values.
        shift: Number of bits by which samples are shifted to the left.
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
        """The number of steps from black to white, and the value of black."""
        return (self._max_value, 0.0) if self.full_range else (219 * self._scale, 16 * self._scale)

    @property
    def chroma(self) -> tuple[float, float]:
        """The number of steps from -0.5 to 0.5, and the value of gray."""
        return self._max_value if self.full_range else 224 * self._scale, 128 * self._scale

    def luma_values(self) -> NDArray[np.float64]:
        """Luma of every sample value: 0 to 1, and slightly outside in limited range."""
        import numpy as np

        steps, black = self.luma
        return (np.arange(2**self.bits) - black) / steps

    def load(self, samples: NDArray[Any], zero: float, out: NDArray[np.float32]) -> None:
        """Convert samples to steps above ``zero``, of the unshifted depth, into ``out``."""
        import numpy as np

        np.copyto(out, samples)
        if self.shift:
            out *= 2.0**-self.shift
        out -= zero

    def store_luma(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Round steps above black to samples, clipped to black and white; overwrites ``values``."""
        import numpy as np

        steps, black = self.luma
        np.clip(values, 0, steps, out=values)
        _rounded(values, black, out)

    def store_chroma(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Round steps above gray, at most half of the range, to samples; overwrites ``values``."""
        import numpy as np

        if self.full_range:
            gray = self.chroma[1]
            np.clip(values, -gray, gray - 1, out=values)  # half of the range is above the largest value
        _rounded(values, self.chroma[1], out)

    @property
    def _scale(self) -> float:
        return 2.0 ** (self.bits - _BYTE)

    @property
    def _max_value(self) -> float:
        return ((1 << self.depth) - 1) * 2.0**self.shift


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a clip's frames, before and after the filters.

    Attributes:
        width: Columns of luma.
        height: Rows of luma.
        halved: Whether chroma has half the (columns, rows) of luma, rounded up.
        matrix: The matrix between YUV and RGB.
        source: Sample format of the input.
        target: Sample format of the output.
    """

    width: int
    height: int
    halved: tuple[bool, bool]
    matrix: Matrix
    source: SampleFormat
    target: SampleFormat

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Columns and rows of a chroma plane."""
        across, down = self.halved
        return (self.width + across) >> across, (self.height + down) >> down


def requantize(samples: Samples, source_bits: int, target_bits: int, out: Samples) -> None:
    """Copy samples, rounded from ``source_bits`` to ``target_bits``, which are as many or fewer."""
    import numpy as np

    if source_bits == target_bits:
        out[...] = samples
        return
    shift = source_bits - target_bits
    rounded = samples + np.uint16(1 << (shift - 1))
    rounded >>= shift
    np.copyto(out, rounded, casting="unsafe")


def _rounded(values: NDArray[Any], zero: float, out: NDArray[Any]) -> None:
    """Round ``values + zero``, which are not negative, to integers; overwrites ``values``."""
    import cv2
    import numpy as np

    if out.dtype == np.uint8 and values.dtype == np.float32:
        cv2.convertScaleAbs(values, out, 1, zero)
        return
    values += zero + 0.5  # casting truncates
    np.copyto(out, values, casting="unsafe")


class LookupTable:
    """A lookup table with a value (uint8, uint16 or float32) for every sample value."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values
        self._is_of_bytes = len(values) == _BYTE_VALUES

    def __call__(self, samples: Samples, out: NDArray[Any]) -> None:
        """Look up samples; ``out`` has their shape and the dtype of the table."""
        import cv2
        import numpy as np

        if self._is_of_bytes:
            cv2.LUT(samples, self._values, out)
        else:
            out[...] = np.take(self._values, samples, mode="clip")
