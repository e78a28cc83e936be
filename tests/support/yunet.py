"""A network in the form of YuNet's published file that sees a face wherever there is a green square.

The file is written field by field, as ONNX defines them. OpenCV reads it as it reads the published one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

CELL: Final = 8
"""Side of the square, whose corner must be a multiple of it. Its color is (0, 255 * score, 0)."""

SHAPE: Final = np.array([(-13.0, -15.0), (13.0, -15.0), (0.0, 0.0), (-11.0, 12.0), (11.0, 12.0)])
"""The landmarks that are seen, relative to the corner of the square: (x, y) in pixels."""

_BOX: Final = 48.0
_HEADS: Final = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
_STRIDES: Final = (8, 16, 32)
_FLOAT, _INT64 = 1, 7
_INTS = 7


def green_yunet() -> bytes:
    """The content of its file."""
    nodes, constants, outputs = [], [_tensor("shape1", np.array([1, -1, 1]))], []
    constants += [_tensor(f"shape{count}", np.array([1, -1, count])) for count in (4, 10)]
    for head, channels in _HEADS.items():
        for stride in _STRIDES:
            name = f"{head}_{stride}"
            weight, bias = _layer(head, channels, stride)
            constants += [_tensor(f"{name}.weight", weight), _tensor(f"{name}.bias", bias)]
            convolved = [f"input {name}.weight {name}.bias", f"{name}.map"]
            nodes += [
                _node("Conv", *convolved, kernel_shape=(stride, stride), strides=(stride, stride)),
                _node("Transpose", f"{name}.map", f"{name}.last", perm=(0, 2, 3, 1)),
                _node("Reshape", f"{name}.last shape{channels}", name),
            ]
            outputs.append(_value(name, (1, (640 // stride) ** 2, channels)))
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, b"green")
    graph += b"".join(_bytes(5, constant) for constant in constants)
    graph += _bytes(11, _value("input", (1, 3, 640, 640))) + b"".join(_bytes(12, output) for output in outputs)
    return _number(1, 8) + _bytes(8, _bytes(1, b"") + _number(2, 11)) + _bytes(7, graph)


def _layer(head: str, channels: int, stride: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (channels, 3, stride, stride), for blue, green and red, and bias (channels,) of one head."""
    weight, bias = np.zeros((channels, 3, stride, stride), np.float32), np.zeros(channels, np.float32)
    if head in {"cls", "obj"} and stride == CELL:
        weight += np.array([-1, 1, -1], np.float32)[:, None, None] / (255 * stride**2)
    elif head == "bbox":
        bias[2:] = np.log(_BOX / stride)
    elif head == "kps":
        bias += (SHAPE / stride).ravel().astype(np.float32)
    return weight, bias


def _node(kind: str, inputs: str, output: str, **attributes: Sequence[int]) -> bytes:
    packed = b"".join(_bytes(1, name.encode()) for name in inputs.split()) + _bytes(2, output.encode())
    packed += _bytes(3, output.encode()) + _bytes(4, kind.encode())
    for name, values in attributes.items():
        packed += _bytes(5, _bytes(1, name.encode()) + _numbers(8, values) + _number(20, _INTS))
    return packed


def _tensor(name: str, values: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    kind = _INT64 if values.dtype.kind == "i" else _FLOAT
    return _numbers(1, values.shape) + _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, values.tobytes())


def _value(name: str, shape: Iterable[int]) -> bytes:
    sides = b"".join(_bytes(1, _number(1, side)) for side in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, sides)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _numbers(field: int, values: Iterable[int]) -> bytes:
    return b"".join(_number(field, value) for value in values)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
