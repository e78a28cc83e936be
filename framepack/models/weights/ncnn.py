"""Read a network's weights from a pair of ncnn files, as the state dict of the published checkpoint.

The ``.param`` file is a text graph: a magic number, the numbers of layers and blobs, then one layer per line
(type, name, numbers and names of inputs and outputs, ``key=value`` parameters). The ``.bin`` file contains the
weights in the order of the graph. A convolution has a 4-byte tag, the weights (half precision padded to 4 bytes, or
single precision, depending on the tag) and the bias in single precision. A PReLU has its slopes in single precision.
Nothing in either file is executed, and no byte may be left over.
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
_KERNEL_SIZE = 9  # weights per kernel: all convolutions of these networks are 3x3
_WEIGHTLESS = frozenset({"BinaryOp", "Concat", "Eltwise", "Input", "Interp", "PixelShuffle", "Split"})
_CONVOLUTION_KEYS = frozenset({0, 1, 4, 5, 6, 9, -23310})  # the last two: a fused activation
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
        param: Content of the ``.param`` file.
        weights: Content of the ``.bin`` file.

    Returns:
        The published checkpoint's keys (``conv_first.weight``, ``body.0.rdb1.conv1.weight`` ..., or
        ``body.0.weight``, ``body.1.weight`` ...) with single-precision tensors on the CPU, shapes as in PyTorch.

    Raises:
        ModelUnavailable: The files are damaged or contain another kind of network.
    """
    layers = _graph(param)
    names = _compact_names(layers) if any(isinstance(layer, _PReLU) for layer in layers) else _rrdb_names(layers)
    reader = _BinReader(weights)
    state: dict[str, torch.Tensor] = {}
    for name, layer in zip(names, layers, strict=True):
        if isinstance(layer, _PReLU):
            state[f"{name}.weight"] = torch.from_numpy(reader.read_singles(layer.slopes))
        else:
            kernel = reader.read_tagged(layer.outputs * layer.inputs * _KERNEL_SIZE)
            state[f"{name}.weight"] = torch.from_numpy(kernel.reshape(layer.outputs, layer.inputs, 3, 3))
            state[f"{name}.bias"] = torch.from_numpy(reader.read_singles(layer.outputs))
    reader.finish()
    return state


def _invalid(reason: str) -> ModelUnavailable:
    return ModelUnavailable(f"The ncnn weights cannot be used: {reason}.")


def _graph(param: bytes) -> list[_Layer]:
    """Parse the graph; return the layers that have weights, in order."""
    try:
        lines = param.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise _invalid("the graph is not text") from error
    if not lines or lines[0].strip() != _MAGIC:
        raise _invalid("the graph does not begin with ncnn's magic number")
    try:
        layer_count = int(lines[1].split()[0])
        rows = [line.split() for line in lines[2:] if line.strip()]
        parsed = [_layer(row) for row in rows]
    except (LookupError, ValueError) as error:
        raise _invalid("the graph is damaged") from error
    if len(rows) != layer_count:
        raise _invalid("the graph is incomplete")
    return [layer for layer in parsed if layer is not None]


def _layer(row: list[str]) -> _Layer | None:
    """Parse one line of the graph; return None for a layer without weights.

    Raises:
        ValueError, LookupError: The line is damaged.
        ModelUnavailable: These networks have no layer of this type.
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
    raise _invalid(f"it has a layer of the type {kind}")


def _convolution(parameters: dict[int, str]) -> _Convolution:
    fixed = {1: "3", 4: "1", 5: "1"}  # 3x3, padded by one, with a bias
    if not parameters.keys() <= _CONVOLUTION_KEYS or any(parameters.get(key) != fixed[key] for key in fixed):
        raise _invalid("it has a convolution of another shape")
    outputs, size = _positive(parameters[0]), _positive(parameters[6])
    if size % (outputs * _KERNEL_SIZE):
        raise _invalid("a convolution's weights do not fit its shape")
    return _Convolution(outputs=outputs, inputs=size // (outputs * _KERNEL_SIZE))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _compact_names(layers: list[_Layer]) -> list[str]:
    """Name alternating convolutions and PReLUs, a convolution first and last: ``body.0``, ``body.1`` ..."""
    kinds = [isinstance(layer, _Convolution) for layer in layers]
    if len(layers) % 2 == 0 or kinds != [index % 2 == 0 for index in range(len(layers))]:
        raise _invalid("the order of its layers is not that of SRVGGNetCompact")
    return [f"body.{index}" for index in range(len(layers))]


def _rrdb_names(layers: list[_Layer]) -> list[str]:
    """Name ``conv_first``, 15 convolutions per block, then the five of the tail."""
    blocks, rest = divmod(len(layers) - 1 - len(_RRDB_TAIL), len(_DENSE_BLOCK))
    if blocks < 1 or rest:
        raise _invalid("its number of layers is not that of an RRDBNet")
    body = [f"body.{block}.{name}" for block in range(blocks) for name in _DENSE_BLOCK]
    return ["conv_first", *body, *_RRDB_TAIL]


class _BinReader:
    """Reads the numbers of a ``.bin`` file one after another."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def read_tagged(self, count: int) -> Array:
        """Read a convolution's weights, stored in the precision that their tag names, as float32."""
        (tag,) = self._take(np.dtype("<u4"), 1)
        if tag == _TAG_SINGLE:
            return self.read_singles(count)
        if tag != _TAG_HALF:
            raise _invalid("a convolution's weights have an unknown storage type")
        values = self._take(np.dtype("<f2"), count).astype(np.float32)
        self._position += -self._position % 4
        return self._finite(values)

    def read_singles(self, count: int) -> Array:
        """Read plain float32 numbers."""
        return self._finite(self._take(np.dtype("<f4"), count).astype(np.float32))

    def finish(self) -> None:
        """Raise an error if there are bytes left."""
        if self._position != len(self._content):
            raise _invalid("the file of weights is longer or shorter than its graph says")

    def _take(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        end = self._position + count * dtype.itemsize
        if end > len(self._content):
            raise _invalid("the file of weights is shorter than its graph says")
        values = np.frombuffer(self._content, dtype, count, self._position)
        self._position = end
        return values

    @staticmethod
    def _finite(values: Array) -> Array:
        if not np.isfinite(values).all():
            raise _invalid("it contains numbers that are not finite")
        return values
