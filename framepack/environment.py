"""Names and defaults of environment variables, and messages about invalid ones, which never show secrets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import PydanticCustomError

from framepack.spelling import did_you_mean

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PREFIX: Final = "FRAMEPACK_"

_OF_TESTS: Final = "TEST_FILES"
_SENTENCE: Final = "sentence"
_LONGEST_VALUE: Final = 80


def temp_folder() -> Path:
    """The default folder for temporary files, one for each user of the machine."""
    return Path(tempfile.gettempdir()) / f"framepack-{os.getuid()}"


def data_folder(name: str) -> Path:
    """The default folder for files: in the checkout if there is one, else in the user's data folder.

    Some containers have users without a home folder; for them, it is in the folder for temporary files.
    """
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file() and (root / "handler.py").is_file():
        return root / name
    from platformdirs import user_data_path

    try:
        return user_data_path("framepack", appauthor=False) / name
    except RuntimeError:
        return temp_folder() / name


def are_gpus_hidden() -> bool:
    """Whether ``CUDA_VISIBLE_DEVICES`` hides every GPU from CUDA.

    It is read here because it is not a setting: an empty setting counts as unset, while an empty value of this
    variable hides all GPUs.
    """
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}  # noqa: TID251 - not a setting


def promised_gpu() -> str | None:
    """The variable by which a RunPod machine promises a GPU, "RUNPOD_GPU_COUNT=1" for one; None if it does not.

    They are read here because they are not settings: the platform and the image set them.
    """
    if not os.environ.get("RUNPOD_POD_ID"):  # noqa: TID251 - not a setting
        return None
    for name, none in (("RUNPOD_GPU_COUNT", {"0"}), ("NVIDIA_VISIBLE_DEVICES", {"none", "void"})):
        if value := os.environ.get(name, "").strip():  # noqa: TID251 - as above
            return None if value in none else f"{name}={value}"
    return None


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable of a setting."""
    return str(field.validation_alias or f"{PREFIX}{name.upper()}")


def whole_sentence(text: str) -> PydanticCustomError:
    """A validation error with a complete sentence, for rules that concern several variables."""
    return PydanticCustomError(_SENTENCE, text)


def problems(model: type[BaseModel], error: ValidationError) -> list[str]:
    """One line per invalid variable: its full name, what is allowed and, unless it may be secret, its value."""
    fields = {variable(name, field): field for name, field in model.model_fields.items()}
    lines = []
    for finding in error.errors(include_url=False):
        name = _variable_of(str(finding["loc"][0]), model)
        lines.append(_line(name, fields.get(name), finding))
    return list(dict.fromkeys(lines))


def unknown(names: Iterable[str], model: type[BaseModel]) -> Iterator[str]:
    """One sentence per variable that has the prefix of settings but is not one; it may be misspelled."""
    # Compared without the prefix, which would make all names look similar.
    known = {name.upper(): variable(name, field) for name, field in model.model_fields.items()}
    for name in sorted(names):
        short = name.upper().removeprefix(PREFIX)
        if name.upper().startswith(PREFIX) and short not in {*known, _OF_TESTS}:
            yield f"{name} is not a setting and is ignored{did_you_mean(short, known)}"


def _variable_of(location: str, model: type[BaseModel]) -> str:
    field = model.model_fields.get(location)
    return location if field is None else variable(location, field)


def _line(name: str, field: FieldInfo | None, finding: Any) -> str:
    if finding["type"] == _SENTENCE:
        return str(finding["msg"])
    if field is None:
        return f"{name}: {finding['msg']}."
    parts = set(_parts(field.annotation))
    if finding["type"] == "too_short":
        return f"{name} must have at least {finding['ctx']['min_length']} characters."
    shown = "" if SecretStr in parts else _shown(finding["input"])
    if finding["type"] == "value_error":
        return f"{name} must be {finding['ctx']['error']}{shown}."
    return f"{name} must be {_allowed(field, parts) or finding['msg'].removeprefix('Input should be ')}{shown}."


def _parts(annotation: object) -> Iterator[object]:
    """A type and all its type arguments, at any depth."""
    yield annotation
    for part in () if get_origin(annotation) is Literal else get_args(annotation):
        yield from _parts(part)


def _allowed(field: FieldInfo, parts: set[object]) -> str:
    """The allowed values of a setting that is not text; empty for text."""
    if get_origin(field.annotation) is Literal:
        *others, last = get_args(field.annotation)
        return f"{', '.join(others)} or {last}"
    if bool in parts:
        return "true or false"
    if int in parts or float in parts:
        return ("a whole number" if int in parts else "a number") + _range(field)
    return ""


def _range(field: FieldInfo) -> str:
    limits = {
        name: value
        for entry in field.metadata
        for name in ("ge", "le", "gt")
        if (value := getattr(entry, name, None)) is not None
    }
    if "gt" in limits:
        return f" above {limits['gt']:.10g} and up to {limits['le']:.10g}"
    return f" from {limits['ge']:.10g} to {limits['le']:.10g}"


def _shown(value: object) -> str:
    """The end of a sentence with the invalid value; empty if the value may contain a password or a signature."""
    text = str(value)
    if set("@?") & set(text):
        return ""
    shortened = text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
    return f", not {shortened!r}"
