"""Filter settings: the ten controls of a look, and the built-in presets made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from framepack.api.schemas import Request
from framepack.errors import NotFound

# The controls, each with its range, declared once for looks, steps and workflows. A request that takes one as a whole
# number only takes the same field.
BRIGHTNESS: Final = Field(ge=-100, le=100, description="Brightness adjustment")
Brightness = Annotated[float, BRIGHTNESS]
Contrast = Annotated[float, Field(ge=0, le=3, description="Contrast multiplier; 0 is flat gray")]
Saturation = Annotated[float, Field(ge=0, le=3, description="Saturation multiplier; 0 is black and white")]
TEMPERATURE: Final = Field(ge=-100, le=100, description="Color temperature; above 0 is warmer")
Temperature = Annotated[float, TEMPERATURE]
Sharpen = Annotated[float, Field(ge=0, le=5, description="Sharpening amount")]
Blur = Annotated[float, Field(ge=0, le=5, description="Blur amount")]
Denoise = Annotated[float, Field(ge=0, le=10, description="Denoise strength")]
VIGNETTE: Final = Field(ge=0, le=100, description="Vignette intensity")
Vignette = Annotated[float, VIGNETTE]
S_CURVE_CONTRAST: Final = Field(ge=0, le=100, description="S-curve contrast")
SCurveContrast = Annotated[float, S_CURVE_CONTRAST]
FILM_GRAIN: Final = Field(ge=0, le=50, description="Film grain strength")
FilmGrain = Annotated[float, FILM_GRAIN]


def respelled(data: object, other: str, name: str) -> object:
    """The fields ``data`` with the value of ``other``, another spelling of ``name``, under ``name``.

    Raises:
        ValueError: both are given.
    """
    if not isinstance(data, dict) or data.get(other) is None:
        return data
    fields: dict[str, Any] = dict(data)
    if fields.get(name) is not None:
        raise ValueError(f"given as either {name} or {other}, which mean the same")
    fields[name] = fields.pop(other)
    return fields


class FilterSettings(Request):
    """A look. Every control at its default leaves the frame as it is.

    ``film_grain`` is understood as another name of ``film_grain_strength``.
    """

    brightness: Brightness = 0
    contrast: Contrast = 1
    saturation: Saturation = 1
    temperature: Temperature = 0
    sharpen: Sharpen = 0
    blur: Blur = 0
    denoise: Denoise = 0
    vignette: Vignette = 0
    s_curve_contrast: SCurveContrast = 0
    film_grain_strength: FilmGrain = 0

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: object) -> object:
        return respelled(data, "film_grain", "film_grain_strength")

    @property
    def is_neutral(self) -> bool:
        """Whether nothing is to be done."""
        return self == FilterSettings()


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
        name: as the client wrote it.
        look_up: knows the presets there are, and gives None for any other.

    Raises:
        NotFound: there is none of that name.
    """
    found = look_up(name)
    if found is None:
        raise NotFound(f"Filter preset '{name[:80]}' not found")
    return found
