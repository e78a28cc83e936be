"""Read a network's weights from ncnn's pair of files, as the state dict of the published checkpoint.

The ``.param`` file is a text graph: a magic number, the number of layers and of blobs, then one layer a line
(kind, name, numbers and names of inputs and outputs, ``key=value`` parameters). The ``.bin`` file holds the
weights in the order of the graph: for a convolution a 4-byte tag, the weights (half precision, padded to 4 bytes,
or single, as the tag says) and the bias in single precision; for a PReLU its slopes in single precision.
Nothing in either file is executed, and every byte must be accounted for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from framepack.errors import ModelUnavailable

Array = NDArray[np.float32]

_MAGIC = "7767517"
_TAG_HALF = 0x01306B47
_TAG_SINGLE = 0
_TAPS = 9  # every convolution of these networks is 3x3
_WEIGHTLESS = frozenset({"BinaryOp", "Concat", "Eltwise", "Input", "Interp", "PixelShuffle", "Split"})
_CONVOLUTION_KEYS = frozenset({0, 1, 4, 5, 6, 9, -23310})  # the last two: the activation fused into it
_DENSE_BLOCK = tuple(f"rdb{dense}.conv{step}" for dense in (1, 2, 3) for step in (1, 2, 3, 4, 5))
_RRDB_TAIL = ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")


@dataclass(frozen=True, slots=True)
class _Convolution:
    outputs: int
    inputs: int


@dataclass(frozen=True, slots=True)
class _PReLU:
    slopes: int


_Layer = _Convolution | _PReLU


def read_ncnn(param: bytes, weights: bytes) -> dict[str, torch.Tensor]:
    """Read an RRDBNet or SRVGGNetCompact.

    Args:
        param: the whole ``.param`` file.
        weights: the whole ``.bin`` file.

    Returns:
        The published checkpoint's keys (``conv_first.weight``, ``body.0.rdb1.conv1.weight`` ..., or
        ``body.0.weight``, ``body.1.weight`` ...) with single-precision tensors on the CPU, shapes as in PyTorch.

    Raises:
        ModelUnavailable: the files are damaged or hold another kind of network.
    """
    layers = _graph(param)
    names = _compact_names(layers) if any(isinstance(layer, _PReLU) for layer in layers) else _rrdb_names(layers)
    take = _Reader(weights)
    state: dict[str, torch.Tensor] = {}
    for name, layer in zip(names, layers, strict=True):
        if isinstance(layer, _PReLU):
            state[f"{name}.weight"] = torch.from_numpy(take.singles(layer.slopes))
        else:
            kernel = take.tagged(layer.outputs * layer.inputs * _TAPS)
            state[f"{name}.weight"] = torch.from_numpy(kernel.reshape(layer.outputs, layer.inputs, 3, 3))
            state[f"{name}.bias"] = torch.from_numpy(take.singles(layer.outputs))
    take.finish()
    return state


def _refuse(what: str) -> ModelUnavailable:
    return ModelUnavailable(f"The ncnn weights cannot be used: {what}.")


def _graph(param: bytes) -> list[_Layer]:
    """The layers that have weights, in order."""
    try:
        lines = param.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise _refuse("the graph is not text") from error
    if not lines or lines[0].strip() != _MAGIC:
        raise _refuse("the graph does not begin with ncnn's magic number")
    try:
        promised = int(lines[1].split()[0])
        rows = [line.split() for line in lines[2:] if line.strip()]
        parsed = [_layer(row) for row in rows]
    except (LookupError, ValueError) as error:
        raise _refuse("the graph is damaged") from error
    if len(rows) != promised:
        raise _refuse("the graph is incomplete")
    return [layer for layer in parsed if layer is not None]


def _layer(row: list[str]) -> _Layer | None:
    """One line of the graph; None for a layer without weights.

    Raises:
        ValueError, LookupError: the line is damaged.
        ModelUnavailable: the layer is none that these networks have.
    """
    kind, blobs = row[0], int(row[2]) + int(row[3])
    values = dict(pair.split("=", 1) for pair in row[4 + blobs :])
    parameters = {int(key): value for key, value in values.items()}
    if kind in _WEIGHTLESS:
        return None
    if kind == "PReLU":
        return _PReLU(slopes=_positive(parameters[0]))
    if kind == "Convolution":
        return _convolution(parameters)
    raise _refuse(f"it has a layer of the kind {kind}")


def _convolution(parameters: dict[int, str]) -> _Convolution:
    fixed = {1: "3", 4: "1", 5: "1"}  # 3x3, padded by one, with a bias
    if not parameters.keys() <= _CONVOLUTION_KEYS or any(parameters.get(key) != fixed[key] for key in fixed):
        raise _refuse("it has a convolution of another shape")
    outputs, size = _positive(parameters[0]), _positive(parameters[6])
    if size % (outputs * _TAPS):
        raise _refuse("a convolution's weights do not fit its shape")
    return _Convolution(outputs=outputs, inputs=size // (outputs * _TAPS))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _compact_names(layers: list[_Layer]) -> list[str]:
    """Convolutions and PReLUs take turns, a convolution first and last: ``body.0``, ``body.1`` ..."""
    kinds = [isinstance(layer, _Convolution) for layer in layers]
    if len(layers) % 2 == 0 or kinds != [index % 2 == 0 for index in range(len(layers))]:
        raise _refuse("its layers stand in another order than SRVGGNetCompact's")
    return [f"body.{index}" for index in range(len(layers))]


def _rrdb_names(layers: list[_Layer]) -> list[str]:
    """``conv_first``, 15 convolutions a block, then the five of the tail."""
    blocks, rest = divmod(len(layers) - 1 - len(_RRDB_TAIL), len(_DENSE_BLOCK))
    if blocks < 1 or rest:
        raise _refuse("it has another number of layers than an RRDBNet")
    body = [f"body.{block}.{name}" for block in range(blocks) for name in _DENSE_BLOCK]
    return ["conv_first", *body, *_RRDB_TAIL]


class _Reader:
    """Takes numbers off the front of the ``.bin`` file."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def tagged(self, count: int) -> Array:
        """A convolution's weights, float32, in the precision that their tag names."""
        (tag,) = self._take(np.dtype("<u4"), 1)
        if tag == _TAG_SINGLE:
            return self.singles(count)
        if tag != _TAG_HALF:
            raise _refuse("a convolution's weights are packed in an unknown way")
        values = self._take(np.dtype("<f2"), count).astype(np.float32)
        self._at += -self._at % 4
        return self._finite(values)

    def singles(self, count: int) -> Array:
        """Plain float32 numbers."""
        return self._finite(self._take(np.dtype("<f4"), count).astype(np.float32))

    def finish(self) -> None:
        """Refuse what is left over."""
        if self._at != len(self._content):
            raise _refuse("the file of weights is longer or shorter than its graph says")

    def _take(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        end = self._at + count * dtype.itemsize
        if end > len(self._content):
            raise _refuse("the file of weights is shorter than its graph says")
        values = np.frombuffer(self._content, dtype, count, self._at)
        self._at = end
        return values

    @staticmethod
    def _finite(values: Array) -> Array:
        if not np.isfinite(values).all():
            raise _refuse("it holds numbers that are not finite")
        return values
