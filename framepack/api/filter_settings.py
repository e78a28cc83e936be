"""Filter settings: the controls of the filters, and the built-in presets made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from framepack.api.schemas import Request, limits, redeclared, whole
from framepack.errors import NotFound
from framepack.spelling import shortened


@dataclass(frozen=True, slots=True)
class Traits:
    """What the declaration of a control says beside its type, range, default and description.

    Attributes:
        stage: Place in the order in which the code applies the controls. It orders the page of the filters only.
        does: What it does to a frame, for the page of the filters.
        is_whole: Whether ``POST /postprocess/filters`` itself takes whole numbers only.
        request_name: What requests and steps call it; None: like its field.
        is_fine: Whether it shows from pixel to pixel only, so that its frames show a detail.
    """

    stage: int
    does: str
    is_whole: bool = False
    request_name: str | None = None
    is_fine: bool = False


# The list of controls. Requests, steps, workflow presets, the documentation's table and frame, the benchmark and
# tests follow from it.
class FilterSettings(Request):
    """A value for each filter control. Every control at its default leaves the frame as it is.

    ``film_grain`` is understood as another name of ``film_grain_strength``.
    """

    brightness: Annotated[
        float, Traits(stage=4, does="adds to luma; the ends are all black and all white", is_whole=True)
    ] = Field(0, ge=-100, le=100, description="Brightness adjustment")
    contrast: Annotated[float, Traits(stage=3, does="multiplies the distance from mid gray; 0 is flat gray")] = Field(
        1, ge=0, le=3, description="Contrast multiplier; 0 is flat gray"
    )
    saturation: Annotated[float, Traits(stage=5, does="multiplies color; 0 is black and white")] = Field(
        1, ge=0, le=3, description="Saturation multiplier; 0 is black and white"
    )
    temperature: Annotated[
        float,
        Traits(
            stage=2,
            does="red times (1 + 0.3 t), blue times (1 - 0.3 t), t from -1 to 1, in all tones; luma and black stay",
            is_whole=True,
        ),
    ] = Field(0, ge=-100, le=100, description="Color temperature; above 0 is warmer")
    sharpen: Annotated[float, Traits(stage=8, does="unsharp mask on luma (5 by 5), 0.3 per unit", is_fine=True)] = (
        Field(0, ge=0, le=5, description="Sharpening amount")
    )
    blur: Annotated[float, Traits(stage=7, does="Gaussian, standard deviation 0.4 pixels per unit", is_fine=True)] = (
        Field(0, ge=0, le=5, description="Blur amount")
    )
    denoise: Annotated[
        float,
        Traits(
            stage=1,
            does="averages neighbors that differ little, and over time where nothing moves; edges and moving things "
            "stay; starts afresh at cuts",
            is_fine=True,
        ),
    ] = Field(0, ge=0, le=10, description="Denoise strength")
    vignette: Annotated[
        float,
        Traits(
            stage=10,
            does="light falls from the center with cos⁴, along ellipses that fit the frame; at 100 corners keep 9 %",
            is_whole=True,
        ),
    ] = Field(0, ge=0, le=100, description="Vignette intensity")
    s_curve_contrast: Annotated[
        float,
        Traits(
            stage=6,
            does="the smooth curve through (0, 0), (¼, ¼ - d), (¾, ¾ + d), (1, 1), with d = 0.15 at 100",
            is_whole=True,
        ),
    ] = Field(0, ge=0, le=100, description="S-curve contrast")
    film_grain_strength: Annotated[
        float,
        Traits(
            stage=9,
            does="luma noise, new in every frame and the same in every run; standard deviation 0.14 levels per unit "
            "in mid gray, as in the original, none in black and white; grains grow with the frame",
            is_whole=True,
            request_name="film_grain",
            is_fine=True,
        ),
    ] = Field(0, ge=0, le=50, description="Film grain strength")

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: object) -> object:
        for control in CONTROLS:
            data = _respelled(data, control.request_name, control.name)
        return data

    @property
    def is_neutral(self) -> bool:
        """Whether nothing is to be done."""
        return self == FilterSettings()


@dataclass(frozen=True, slots=True)
class Control:
    """One control, as `FilterSettings` declares it.

    Attributes:
        name: Its field of `FilterSettings`.
        request_name: What requests and steps call it.
        low: Lowest value.
        high: Highest value.
        default: Where it does nothing.
        traits: What else its declaration says.
    """

    name: str
    request_name: str
    low: float
    high: float
    default: float
    traits: Traits

    def toward_ends(self, part: float) -> Iterator[float]:
        """The values that lie ``part`` (0..1) of the way from the default to each end, the lower one first."""
        for end in (self.low, self.high):
            if end != self.default:
                yield round(self.default + part * (end - self.default), 6)


def _declared_controls() -> Iterator[Control]:
    for name, field in FilterSettings.model_fields.items():
        traits = next(each for each in field.metadata if isinstance(each, Traits))
        bounds = limits(field.metadata)
        yield Control(name, traits.request_name or name, bounds["minimum"], bounds["maximum"], field.default, traits)


CONTROLS: Final = tuple(_declared_controls())
"""All controls, in the order of `FilterSettings`."""


def control_fields(*, as_whole: bool = False) -> dict[str, Any]:
    """The controls as fields of a request, by the names they have there; for `pydantic.create_model`.

    Args:
        as_whole: Take whole numbers only where ``POST /postprocess/filters`` does.
    """
    fields: dict[str, Any] = {}
    for control in CONTROLS:
        field = FilterSettings.model_fields[control.name]
        named: dict[str, Any] = {}
        if control.request_name != control.name:  # for forms that show what a preset sets
            named["json_schema_extra"] = {"x-preset-name": control.name}
        if control.traits.is_whole and as_whole:
            field_type = redeclared(field, int, default=int(control.default), **named)
            fields[control.request_name] = Annotated[field_type, BeforeValidator(whole)]
        else:
            default = int(control.default) if control.traits.is_whole else float(control.default)
            fields[control.request_name] = redeclared(field, float, default=default, **named)
    return fields


def by_request_names(data: object) -> object:
    """The fields ``data`` with every control under the name that requests have for it.

    Raises:
        ValueError: A control is given by both of its names.
    """
    for control in CONTROLS:
        data = _respelled(data, control.name, control.request_name)
    return data


def _respelled(data: object, other: str, name: str) -> object:
    """The fields ``data`` with the value of ``other``, another spelling of ``name``, under ``name``.

    Raises:
        ValueError: Both are given.
    """
    if other == name or not isinstance(data, dict) or data.get(other) is None:
        return data
    fields: dict[str, Any] = dict(data)
    if fields.get(name) is not None:
        raise ValueError(f"given as either {name} or {other}, which mean the same")
    fields[name] = fields.pop(other)
    return fields


FILTER_PRESETS: Final[Mapping[str, FilterSettings]] = MappingProxyType(
    {
        "none": FilterSettings(),
        "cinematic": FilterSettings(
            brightness=-5,
            contrast=1.3,
            saturation=0.9,
            temperature=20,
            sharpen=1.2,
            vignette=10,
            s_curve_contrast=15,
            film_grain_strength=5,
        ),
        "vintage": FilterSettings(
            brightness=5,
            contrast=1.1,
            saturation=0.7,
            temperature=15,
            blur=0.5,
            vignette=30,
            s_curve_contrast=10,
            film_grain_strength=10,
        ),
        "cool": FilterSettings(contrast=1.2, saturation=1.1, temperature=-15, sharpen=1.0, s_curve_contrast=5),
        "warm": FilterSettings(brightness=5, contrast=1.1, saturation=1.2, temperature=20, s_curve_contrast=5),
        "dramatic": FilterSettings(
            brightness=-5,
            contrast=1.2,
            saturation=0.9,
            temperature=-10,
            sharpen=1.2,
            vignette=20,
            s_curve_contrast=20,
            film_grain_strength=8,
        ),
    }
)
"""The presets that every deployment has, by lower-case name."""


def built_in_preset(name: str) -> FilterSettings | None:
    """The built-in preset called ``name``, in any case of its letters."""
    return FILTER_PRESETS.get(name.casefold())


def find_preset(name: str, look_up: Callable[[str], FilterSettings | None] = built_in_preset) -> FilterSettings:
    """The preset called ``name``.

    Args:
        name: As the client wrote it.
        look_up: Knows the presets there are, and gives None for any other.

    Raises:
        NotFound: There is none of that name.
    """
    found = look_up(name)
    if found is None:
        raise NotFound(f"Filter preset '{shortened(name)}' not found")
    return found
