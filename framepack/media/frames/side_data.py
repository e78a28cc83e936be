"""Side data of decoded frames, such as the display matrix."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import av


def side_data(frame: av.VideoFrame | None, name: str) -> bytes | None:
    """The side data of a frame; None if it has none of that type.

    Args:
        frame: The frame; None has no side data.
        name: PyAV's name of the type, such as "DISPLAYMATRIX".
    """
    if frame is None:
        return None
    _accept_other_types()
    data = frame.side_data.get(name)
    return None if data is None else bytes(cast("Any", data))


@cache
def _accept_other_types() -> None:
    # PyAV 18.1 looks up the type of all side data of a frame in an enum that lacks the newest ones (28 to 31: LCEVC,
    # the views of MV-HEVC, 3D displays, EXIF), and raises ValueError for a frame that has one of them.
    from av.sidedata.sidedata import Type

    def other(enum: type[Type], value: int) -> Type:
        member = object.__new__(enum)
        member._name_ = f"OTHER_{value}"
        member._value_ = value  # type: ignore[assignment] # as of all members; PyAV's stubs have none
        return member

    Type._missing_ = classmethod(other)  # type: ignore[method-assign, assignment]
