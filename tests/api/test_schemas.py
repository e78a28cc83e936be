"""What a client reads when its input is wrong."""

from typing import Any

import pytest
from pydantic import Field

from framepack.api.schemas import CallbackRequest, Request, Response, VideoRequest, Whole
from framepack.errors import FramepackError, InvalidField, InvalidSource

ALLOWED = "Allowed fields: enabled, inner, name, num_loops, params, scale_factor, seed."


class Inner(Request):
    """An object inside a request."""


class Sample(Request):
    """A request with a field of each kind."""

    scale_factor: float = Field(2.0, ge=1, le=4)
    num_loops: Whole = Field(1, ge=1, le=10)
    name: str = "plain"
    enabled: bool = False
    seed: Whole | None = Field(None, ge=0, le=2**32 - 1)
    inner: Inner | None = None
    params: dict[str, Any] | None = None


class Named(Request):
    """A request with a required field."""

    name: str


class Video(VideoRequest, CallbackRequest):
    """A request with a source and a callback."""

    strength: float = 0.5


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"scale_factor": 5}, "scale_factor must be between 1 and 4, not 5."),
        ({"scale_factor": 0.99}, "scale_factor must be between 1 and 4, not 0.99."),
        ({"num_loops": 0}, "num_loops must be between 1 and 10, not 0."),
        ({"num_loops": 2.5}, "num_loops must be a valid integer, not 2.5."),
        ({"num_loops": True}, "num_loops must be a valid integer, not True."),
        ({"num_loops": "2"}, "num_loops must be a valid integer, not '2'."),
        ({"scale_factor": "2"}, "scale_factor must be a valid number, not '2'."),
        ({"scale_factor": float("nan")}, "scale_factor must be a finite number, not nan."),
        ({"scale_factor": float("inf")}, "scale_factor must be a finite number, not inf."),
        ({"enabled": 1}, "enabled must be a valid boolean, not 1."),
        ({"seed": -1}, "seed must be between 0 and 4294967295, not -1."),
        ({"inner": "x"}, "inner must be an object."),
        ({"params": []}, "params must be an object."),
        ({"name": ["x"]}, "name must be a valid string."),
        ({"scale_facter": 2}, f"Unknown field 'scale_facter'; did you mean 'scale_factor'? {ALLOWED}"),
        ({"zzz": 2}, f"Unknown field 'zzz'. {ALLOWED}"),
        ({"a" * 10**6: 2}, f"Unknown field '{'a' * 80}...'. {ALLOWED}"),
        ({"num_loops": "x" * 10**6}, f"num_loops must be a valid integer, not '{'x' * 39}."),
    ],
)
def test_wrong_input_gets_one_sentence(fields: dict[str, Any], sentence: str) -> None:
    """The message has the field and what is allowed."""
    with pytest.raises(InvalidField) as caught:
        Sample.parse(fields)

    assert caught.value.message == sentence


def test_a_missing_field_is_named() -> None:
    """The field is absent or null."""
    for fields in ({}, {"name": None}):
        with pytest.raises(InvalidField, match=r"^name is required\.$"):
            Named.parse(fields)


def test_a_float_without_fraction_is_accepted_as_an_integer() -> None:
    """JSON has only one type of numbers."""
    assert Sample.parse({"num_loops": 3.0}).num_loops == 3


def test_null_means_not_given() -> None:
    """The field gets its default and does not count as set."""
    sample = Sample.parse({"scale_factor": None, "name": None})

    assert (sample.scale_factor, sample.name) == (2.0, "plain")
    assert sample.model_fields_set == set()


@pytest.mark.parametrize("fields", [{}, {"video_url": None}, {"video_url": None, "video_base64": None}])
def test_a_video_without_a_source_is_refused(fields: dict[str, Any]) -> None:
    """The message is that of the API document."""
    with pytest.raises(InvalidSource, match=r"^Either video_base64 or video_url is required$"):
        Video.parse(fields)


def test_a_video_with_two_sources_is_refused() -> None:
    """Only one of URL and base64 is allowed."""
    with pytest.raises(InvalidSource, match=r"^Only one of video_base64 and video_url may be given$"):
        Video.parse({"video_url": "https://example.com/a.mp4", "video_base64": "AAAA"})


@pytest.mark.parametrize("fields", [{"video_base64": ""}, {"video_url": " "}])
def test_a_blank_source_is_no_source(fields: dict[str, Any]) -> None:
    """It counts as not given."""
    with pytest.raises(InvalidSource, match=r"^Either"):
        Video.parse(fields)


@pytest.mark.parametrize("text", ["\ud800", "https://example.com/" + "a" * 8192])
def test_invalid_urls_are_refused(text: str) -> None:
    """A lone surrogate or an endless address is refused with a sentence that can be encoded."""
    with pytest.raises(FramepackError) as caught:
        Video.parse({"video_url": text})

    assert len(caught.value.message.encode()) < 300


def test_a_long_address_is_trimmed_and_its_text_is_not_repeated() -> None:
    """Blanks and line ends around an address are dropped; a refusal because of its length does not show it."""
    url = "https://example.com/clip.mp4?token=" + "s" * 8000
    assert Video.parse({"video_url": f" \t{url}\r\n", "callback_url": "https://example.com/ "}).video_url == url
    with pytest.raises(InvalidField, match=r"^video_url must have at most 8192 characters, not 8235\.$"):
        Video.parse({"video_url": url + "s" * 200})


def test_callback_metadata_holds_the_parameters_only() -> None:
    """The source and the callback URL are left out."""
    video = Video.parse({"video_url": "https://example.com/a.mp4", "callback_url": "https://example.com/cb"})

    assert video.callback_metadata() == {"strength": 0.5}


def test_answers_omit_fields_without_a_value() -> None:
    """They are absent at the top level, and null in nested objects."""

    class Inner(Response):
        codec: str | None = None

    class Outer(Response):
        success: bool = True
        url: str | None = None
        inner: Inner = Inner()

    assert Outer().payload() == {"success": True, "inner": {"codec": None}}


class Part(Request):
    """Something inside."""

    size: int = Field(1, ge=1, le=9)


class Parts(Request):
    """Something with parts."""

    parts: list[Part] = Field(min_length=1)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"parts": [{}, {"size": 10}]}, "parts[1].size must be between 1 and 9, not 10."),
        (
            {"parts": [{"siez": 1}]},
            "Unknown field 'parts[0].siez'; did you mean 'parts[0].size'? Allowed fields: size.",
        ),
        ({"parts": [{"size": "1"}]}, "parts[0].size must be a valid integer, not '1'."),
        ({"parts": []}, "parts must have at least 1 item, not 0."),
        ({}, "parts is required."),
    ],
)
def test_an_error_in_a_nested_field_names_its_path(fields: dict[str, Any], sentence: str) -> None:
    """The message has the path of the item and what is allowed there."""
    with pytest.raises(InvalidField) as caught:
        Parts.parse(fields)
    assert caught.value.message == sentence

    with pytest.raises(InvalidField) as placed:
        Parts.parse(fields, "steps[2].params")
    assert "steps[2].params.parts" in placed.value.message


class Optional(Request):
    """A request with fields of several types."""

    name: str
    note: str | None = None
    count: int = 3
    inner: list[VideoRequest] | None = None


def test_empty_text_in_an_optional_field_counts_as_not_given() -> None:
    """Whatever its type, also in inner objects, and if it has only blanks."""
    parsed = Optional.parse(
        {
            "name": "a",
            "note": "",
            "count": "",
            "inner": [{"video_url": "https://example.com/a.mp4", "video_base64": ""}],
        }
    )
    assert (parsed.note, parsed.count) == (None, 3)
    assert parsed.inner is not None
    assert parsed.inner[0].video_base64 is None
    assert Optional.parse({"name": "", "note": " \n"}).note is None


def test_empty_text_in_a_required_field_is_a_value() -> None:
    """Its own rules decide."""
    assert [Optional.parse({"name": name}).name for name in ("", " ")] == ["", " "]
