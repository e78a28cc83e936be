"""Which operations make sense on files, and what each of them takes and gives there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from framepack.api.schemas import CallbackRequest, VideoRequest, VideoResponse

if TYPE_CHECKING:
    from framepack.registry import AnyOperation, Registry

Takes = Literal["video", "videos", "image", "frames", "text", "nothing"]
Gives = Literal["video", "frames", "answer"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How an operation is used on files.

    Attributes:
        takes: What stands where the command line says IN; "videos" are joined to one result, all else is one each.
        gives: What is written to OUT; an "answer" is JSON on stdout.
        filled: Fields of the request that the command fills, so that nobody can give them.
    """

    takes: Takes
    gives: Gives
    filled: frozenset[str] = frozenset()


_SHAPES: Final[Mapping[str, Shape]] = MappingProxyType(
    {
        "analyze": Shape("video", "answer"),
        "extract_frames": Shape("video", "frames"),
        "reassemble_frames": Shape("frames", "video", frozenset({"folder_name"})),
        "join": Shape("videos", "video", frozenset({"video_urls"})),
        "caption_image": Shape("image", "answer", frozenset({"image_url", "image_base64"})),
        "enhance_prompt": Shape("text", "answer", frozenset({"prompt"})),
        "list_models": Shape("nothing", "answer"),
        "list_filter_presets": Shape("nothing", "answer"),
        "system_status": Shape("nothing", "answer"),
    }
)
"""The operations that are not simply from one video to another."""

_SENT_ONLY: Final = frozenset(
    {*VideoRequest.model_fields, *CallbackRequest.model_fields, "output_name", "use_streaming"}
)
"""Fields that say nothing here: the file is named, the result too, and every video is streamed."""

_INSTEAD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "batch": "any operation takes several files: framepack run pipeline a.mp4 b.mp4 -o FOLDER --operations FILE",
        "save_video": "your files are saved already",
    }
)


def shape_of(operation: AnyOperation) -> Shape | None:
    """How an operation is used on files; None if it is not."""
    if operation.name in _SHAPES:
        return _SHAPES[operation.name]
    is_plain = issubclass(operation.request, VideoRequest) and issubclass(operation.response, VideoResponse)
    return Shape("video", "video") if is_plain else None


def offered(registry: Registry) -> Iterator[tuple[AnyOperation, Shape]]:
    """The operations that make sense on files, by name."""
    for operation in sorted(registry, key=lambda each: each.name):
        shape = shape_of(operation)
        if shape is not None:
            yield operation, shape


def open_fields(operation: AnyOperation, shape: Shape) -> list[str]:
    """The fields of an operation that can be given as options."""
    return [name for name in operation.request.model_fields if name not in _SENT_ONLY | shape.filled]


def refusal(name: str) -> str:
    """Why an operation that exists is not offered."""
    reason = _INSTEAD.get(name, "it manages what a server keeps, not files; see `framepack serve`")
    return f"{command_name(name)} is not for the command line: {reason}."


def command_name(name: str) -> str:
    """What an operation or a field is called on the command line."""
    return name.replace("_", "-")
