"""What is known of a model before it is loaded: its published files, its catalog row, its recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Group = Literal["upscaler", "interpolator", "face", "enhancer", "captioner", "generator"]


@dataclass(frozen=True, slots=True)
class WheelWeights:
    """An ncnn pair of files inside an installed package that holds the same network.

    Attributes:
        package: top-level name of the package; it is located, never imported.
        param: the graph's file, relative to the package's folder.
        param_sha256: its SHA-256 in lower-case hex.
        bin: the weights' file, relative to the package's folder.
        bin_sha256: its SHA-256 in lower-case hex.
    """

    package: str
    param: str
    param_sha256: str
    bin: str
    bin_sha256: str


@dataclass(frozen=True, slots=True)
class Weights:
    """One published file of weights.

    Attributes:
        filename: its name in the weights folder.
        url: its official address, or None for a user's own file, which is never fetched.
        size_bytes: its exact size.
        sha256: its SHA-256 in lower-case hex; nothing with another one is ever parsed.
        license: SPDX name, or a few words.
        wheel: the same network in an installed package, if there is one.
        mirrors: other addresses of the same file, tried in order after the official one.
    """

    filename: str
    url: str | None
    size_bytes: int
    sha256: str
    license: str
    wheel: WheelWeights | None = None
    mirrors: tuple[str, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """Every address, the official one first; none for a user's own file."""
        return () if self.url is None else (self.url, *self.mirrors)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model that can be named in a request.

    Attributes:
        name: public name, such as ``RealESRGAN_x4plus``.
        group: what status and unloading talk about.
        architecture: the network in a few words.
        scale: how many times larger its output is; 1 for networks that keep the size.
        weights: its files; the second one of an upscaler is the network that keeps noise, blended in by
            ``denoise_strength``.
        memory_mb: what the loaded network keeps in single precision, without the memory of its work.
        description: one line for people.
    """

    name: str
    group: Group
    architecture: str
    scale: int
    weights: tuple[Weights, ...]
    memory_mb: int
    description: str


@dataclass(frozen=True, slots=True)
class ModelSpec(Generic[T]):
    """How to get a loaded model; a value that the cache turns into the model itself.

    Attributes:
        key: identity in the cache, such as ``RealESR-general-x4v3@0.50``: equal keys are the same model.
        name: public name, for status and messages; None: the name of the loaded model's class.
        group: what status and unloading talk about.
        load: loads it; called at most once at a time per key, imports what it needs. Called again if memory ran out.
        memory_mb: estimate of what it keeps while loaded; makes room before the first loading, after which it is
            known.
    """

    key: str
    name: str | None
    group: Group
    load: Callable[[], T]
    memory_mb: int
