"""Types that describe a model before it is loaded: its weight files, its catalog row, and how to load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Group = Literal["upscaler", "interpolator", "face", "enhancer", "captioner", "generator"]


@dataclass(frozen=True, slots=True)
class WheelWeights:
    """A pair of ncnn files in an installed package that holds the weights of the same network.

    Attributes:
        package: Top-level name of the package, which is located but never imported.
        param: Path of the graph file, relative to the package's folder.
        param_sha256: Its SHA-256 in lower-case hex.
        bin: Path of the weights file, relative to the package's folder.
        bin_sha256: Its SHA-256 in lower-case hex.
    """

    package: str
    param: str
    param_sha256: str
    bin: str
    bin_sha256: str


@dataclass(frozen=True, slots=True)
class Weights:
    """One published weights file.

    Attributes:
        filename: Name in the weights folder.
        url: Official URL, or None for a user's own file, which is never downloaded.
        size_bytes: Exact size.
        sha256: SHA-256 in lower-case hex; a file with a different one is never parsed.
        license: SPDX name, or a few words.
        wheel: The same network in an installed package, if there is one.
        mirrors: Other URLs of the same file, tried in order after the official one.
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
        """All URLs, the official one first; empty for a user's own file."""
        return () if self.url is None else (self.url, *self.mirrors)


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One row of the catalog: a model that a request can name.

    Attributes:
        name: Public name, such as ``RealESRGAN_x4plus``.
        group: Group of models it belongs to, for status and unloading.
        architecture: The network in a few words, such as "RRDBNet, 64 features, 23 blocks"; the command line tells by
            its first word whether the model is fast enough for a CPU.
        scale: Factor by which it enlarges width and height; 1 for networks that keep the size.
        weights: Its files. The second file of an upscaler is a network that keeps noise, blended in by
            ``denoise_strength``.
        memory_mb: Memory of the loaded weights in single precision, in units of 10^6 bytes, without working memory.
        description: One line for users.
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
    """How the cache identifies and loads a model.

    Attributes:
        key: Identity in the cache, such as ``RealESR-general-x4v3@0.50``: equal keys are the same model.
        name: Public name, for status and messages; None: the name of the loaded model's class.
        group: Group of models it belongs to, for status and unloading.
        load: Loads the model and imports what it needs; never called twice at the same time for one key, but called
            again if memory ran out.
        memory_mb: Estimate of its memory in units of 10^6 bytes, used until it has been loaded and measured once.
    """

    key: str
    name: str | None
    group: Group
    load: Callable[[], T]
    memory_mb: int
