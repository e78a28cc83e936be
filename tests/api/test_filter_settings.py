"""The built-in filter presets and the settings they are made of."""

from __future__ import annotations

import pytest

from framepack.api.filter_settings import FILTER_PRESETS, FilterSettings, find_preset
from framepack.errors import InvalidField, NotFound

CONTROLS = (
    "brightness",
    "contrast",
    "saturation",
    "temperature",
    "sharpen",
    "blur",
    "denoise",
    "vignette",
    "s_curve_contrast",
    "film_grain_strength",
)
PRINTED = {
    "none": (0, 1, 1, 0, 0, 0, 0, 0, 0, 0),
    "cinematic": (-5, 1.3, 0.9, 20, 1.2, 0, 0, 10, 15, 5),
    "vintage": (5, 1.1, 0.7, 15, 0, 0.5, 0, 30, 10, 10),
    "cool": (0, 1.2, 1.1, -15, 1.0, 0, 0, 0, 5, 0),
    "warm": (5, 1.1, 1.2, 20, 0, 0, 0, 0, 5, 0),
    "dramatic": (-5, 1.2, 0.9, -10, 1.2, 0, 0, 20, 20, 8),
}


@pytest.mark.parametrize("name", PRINTED)
def test_presets_have_their_documented_values(name: str) -> None:
    """Controls that are not documented for a preset are neutral."""
    numbers = FILTER_PRESETS[name].model_dump()

    assert [control for control in numbers if control in CONTROLS] == list(CONTROLS)
    assert numbers == {**FilterSettings().model_dump(), **dict(zip(CONTROLS, PRINTED[name], strict=True))}


def test_the_six_built_in_presets_cannot_be_changed() -> None:
    """Presets cannot be added, removed or changed."""
    assert list(FILTER_PRESETS) == list(PRINTED)
    with pytest.raises(TypeError):
        FILTER_PRESETS["mine"] = FilterSettings()  # type: ignore[index]
    with pytest.raises(ValueError, match="frozen"):
        FILTER_PRESETS["warm"].blur = 5  # type: ignore[misc]


@pytest.mark.parametrize("name", ["cinematic", "Cinematic", "CINEMATIC"])
def test_preset_names_are_case_insensitive(name: str) -> None:
    """Case makes no difference."""
    assert find_preset(name) is FILTER_PRESETS["cinematic"]


def test_an_unknown_preset_is_not_found() -> None:
    """The message has its name."""
    with pytest.raises(NotFound) as caught:
        find_preset("noir")

    assert caught.value.message == "Filter preset 'noir' not found"


def test_other_presets_can_be_passed_to_the_lookup() -> None:
    """The lookup gets a function for presets that are not built in."""
    mine = FilterSettings(blur=2)

    assert find_preset("mine", {"mine": mine}.get) is mine


def test_every_control_off_its_default_is_not_neutral() -> None:
    """This is tested for each control alone."""
    assert FilterSettings().is_neutral
    assert FILTER_PRESETS["none"].is_neutral
    assert not any(FilterSettings(**{name: 0.5}).is_neutral for name in FilterSettings.model_fields)


def test_film_grain_is_another_name_of_film_grain_strength() -> None:
    """Giving both is refused."""
    assert FilterSettings.parse({"film_grain": 7}) == FilterSettings.parse({"film_grain_strength": 7})
    assert FilterSettings.parse({"film_grain": 7, "film_grain_strength": None}).film_grain_strength == 7
    with pytest.raises(InvalidField, match="either film_grain_strength or film_grain"):
        FilterSettings.parse({"film_grain": 7, "film_grain_strength": 7})


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("brightness", -100, 100),
        ("contrast", 0, 3),
        ("saturation", 0, 3),
        ("temperature", -100, 100),
        ("sharpen", 0, 5),
        ("blur", 0, 5),
        ("denoise", 0, 10),
        ("vignette", 0, 100),
        ("s_curve_contrast", 0, 100),
        ("film_grain_strength", 0, 50),
    ],
)
def test_values_outside_the_range_are_refused(name: str, low: float, high: float) -> None:
    """Both ends of the range are accepted. The message has both ends."""
    for value in (low, high, (low + high) / 2):
        assert getattr(FilterSettings.parse({name: value}), name) == value
    for value in (low - 0.5, high + 0.5):
        with pytest.raises(InvalidField, match=f"{name} must be between {low} and {high}"):
            FilterSettings.parse({name: value})
