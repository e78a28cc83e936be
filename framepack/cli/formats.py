"""The format of a result follows its name, and whatever says otherwise is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from framepack.errors import InvalidField

if TYPE_CHECKING:
    from framepack.api.workflow import StepTypes
    from framepack.media.clip import Format

_EXPORT: Final = "export"
MADE: Final = "mp4"
"""The format of what operations make where nothing says another."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request says the format of its result."""

    params: dict[str, Any]
    field: str
    name: str

    @property
    def said(self) -> str | None:
        value = self.params.get(self.field)
        return None if value is None else str(value).strip().lower().removeprefix(".")


def said(name: str, fields: dict[str, Any], preset: dict[str, Any] | None, steps: StepTypes) -> str:
    """The format that a request asks for: "mp4" if it does not say. The arguments are those of `settle`."""
    place = _place(name, fields, preset, steps)
    return (place.said if place is not None else None) or MADE


def settle(
    name: str, fields: dict[str, Any], preset: dict[str, Any] | None, steps: StepTypes, wanted: str
) -> Format | None:
    """Make an operation write the format ``wanted``.

    Args:
        name: The operation.
        fields: Its fields, valid; changed where one of them says the format.
        preset: Its workflow preset, valid; changed likewise.
        steps: The types of steps there are.
        wanted: "mp4", "webm" or "gif".

    Returns:
        The format that the result must be written in beside what the fields say; None if they say enough.

    Raises:
        InvalidField: The fields say another format.
    """
    place = _place(name, fields, preset, steps)
    if place is None:
        return None if wanted == MADE else cast("Format", wanted)
    if place.said is None:
        place.params[place.field] = wanted
    elif place.said != wanted:
        raise InvalidField(
            f"{place.name} is {place.params[place.field]}, but the name of the result ends in .{wanted}; change one "
            "of them."
        )
    return None


def _place(name: str, fields: dict[str, Any], preset: dict[str, Any] | None, steps: StepTypes) -> _Place | None:
    """Where a request says the format: a field, its last export step or its preset; None if nowhere."""
    if name == _EXPORT:
        return _Place(fields, "format", "--format")
    operations = fields.get("operations", ())
    exporting = [index for index, step in enumerate(operations) if steps.kind(step["type"]) == _EXPORT]
    if exporting:
        params = operations[exporting[-1]].setdefault("params", {})
        return _Place(params, "format", f"operations[{exporting[-1]}].params.format")
    if preset is not None and any(steps.kind(step) == _EXPORT for step in preset.get("active_steps") or ()):
        if preset.get("params") is None:
            preset["params"] = {}
        params = preset["params"]
        field = "format" if params.get("format") is not None else "export_format"
        return _Place(params, field, f"params.{field}")
    return None
