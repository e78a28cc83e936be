"""Audio with known samples, in files that keep them exactly."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Shape (channels, n), -1 to 1."""


def noise(count: int, channels: int = 1, seed: int = 3) -> Samples:
    """White noise in 16 bits, no two parts of which are equal."""
    values = np.random.default_rng(seed).integers(-20000, 20000, (channels, count), np.int16)
    return (values / 32768).astype(np.float32)


def make_pcm(path: Path, samples: Samples, rate: int = 48000, start: Fraction = Fraction(0)) -> Path:
    """Write samples as 16-bit PCM that begins at ``start`` seconds; the suffix sets the container."""
    layout = "mono" if len(samples) == 1 else "stereo"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=rate, layout=layout)
        whole = np.ascontiguousarray((samples * 32768).round().astype(np.int16).T.reshape(1, -1))
        width = len(samples) * 1024
        for begin in range(0, whole.shape[1], width):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(whole[:, begin : begin + width]), "s16", layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(start * rate) + begin // len(samples)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
