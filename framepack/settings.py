"""All settings: environment variables with types, defaults and descriptions. Only this file reads the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from framepack import setting_checks as checks
from framepack.environment import PREFIX, data_folder, problems, temp_folder, unknown, whole_sentence
from framepack.errors import InvalidSettings

INVALID_SETTINGS_STATUS: Final = 2
"""Exit status of a process whose settings are invalid."""

# Bounds: above them, dates and timers overflow, or a number is a mistake.
_DAY_SECONDS: Final = 86_400
_TEN_YEARS_HOURS: Final = 87_600
_MILLION: Final = 1_000_000

_ENHANCER: Final = "ibm-granite/granite-3.3-2b-instruct"
_CAPTIONER: Final = "florence-community/Florence-2-large"


AbsolutePath = Annotated[Path, AfterValidator(checks.absolute)]
WebAddress = Annotated[str, AfterValidator(checks.web_address)]


def _sendable(key: SecretStr) -> SecretStr:
    checks.header_value(key.get_secret_value())
    return key


def _usable(secret: SecretStr) -> SecretStr:
    checks.signing_key(secret.get_secret_value())
    return secret


class _Group(BaseSettings):
    """Base of all groups."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        populate_by_name=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=True,  # a value may be a secret
    )

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A variable that contains only spaces counts as unset."""
        return {name: value for name, value in values.items() if not isinstance(value, str) or value.strip()}


class StoreSettings(_Group):
    """Store and files."""

    storage: Annotated[str, AfterValidator(checks.store)] = Field(
        default_factory=lambda: f"file:{data_folder('outputs')}",
        description="Where outputs and state are kept: `file:FOLDER` or `s3://BUCKET/PREFIX`.",
        json_schema_extra={"default": "folder `outputs` of the checkout, else of the user's data folder"},
    )
    public_url: WebAddress | None = Field(
        None,
        description="Public address of the REST server; every `output_url` of a `file:` store, or of a bucket "
        "without presigned links, begins with it.",
    )
    bucket_endpoint_url: WebAddress | None = Field(
        None,
        validation_alias="BUCKET_ENDPOINT_URL",
        description="S3 endpoint, for stores other than AWS; may contain the bucket.",
    )
    bucket_access_key_id: SecretStr | None = Field(
        None, validation_alias="BUCKET_ACCESS_KEY_ID", description="S3 access key."
    )
    bucket_secret_access_key: SecretStr | None = Field(
        None, validation_alias="BUCKET_SECRET_ACCESS_KEY", description="S3 secret key."
    )
    s3_region: str | None = Field(None, description="S3 region; derived from the endpoint if unset.")
    s3_presign: Literal["auto", "true", "false"] = Field(
        "auto",
        description="Whether an `output_url` is a presigned link to the bucket (`true`), or a link to the REST "
        "server, which passes the file on (`false`); `auto`: presigned, except for RunPod's network volumes.",
    )
    url_lifetime_seconds: int = Field(
        86_400, ge=1, le=604_800, description="How long an `output_url` is valid (S3 allows up to 7 days)."
    )
    inline_limit_mb: float = Field(
        5, ge=0, le=10_000, description="Outputs up to this size are also returned as base64; 0 disables this."
    )
    store_patience_seconds: float = Field(
        600,
        ge=0,
        le=_DAY_SECONDS,
        description="How long a job keeps its finished output and tries to store it while the store does not answer.",
    )
    temp_dir: AbsolutePath = Field(
        default_factory=temp_folder,
        description="Folder for the temporary files of running jobs.",
        json_schema_extra={"default": "`framepack-UID` in the system's temporary folder"},
    )
    temp_grace_seconds: float = Field(
        300, ge=0, le=_TEN_YEARS_HOURS * 3600, description="Minimum age before `clear-temp` may delete a result."
    )
    claim_lifetime_seconds: float = Field(
        3600,
        ge=120,
        le=_TEN_YEARS_HOURS * 3600,
        description="How long results of an unresponsive job are protected from clean-up.",
    )

    @field_validator("bucket_secret_access_key")
    @classmethod
    def _both_keys(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (secret is None) != (info.data.get("bucket_access_key_id") is None):
            raise whole_sentence("BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY must be set together.")
        return secret


class ModelSettings(_Group):
    """Models and devices."""

    weights_dir: AbsolutePath = Field(
        default_factory=lambda: data_folder("weights"),
        description="Folder of model weights.",
        json_schema_extra={"default": "folder `weights` of the checkout, else of the user's data folder"},
    )
    weights_download: bool = Field(
        default=True, description="Whether missing weights may be downloaded from their official addresses."
    )
    hub_cache_dir: AbsolutePath = Field(
        Path("/runpod-volume/huggingface-cache/hub"),
        description="A Hugging Face cache to read before the usual one; by default RunPod's cached models.",
    )
    enhancer_model: Annotated[str, AfterValidator(checks.language_model(_ENHANCER))] = Field(
        _ENHANCER,
        description="Model that enhances prompts: this one, another chat model as `organization/name@COMMIT`, "
        "or a folder.",
    )
    captioner_model: Annotated[str, AfterValidator(checks.language_model(_CAPTIONER))] = Field(
        _CAPTIONER,
        description="Model that captions images: this one, another Florence-2 as `organization/name@COMMIT`, "
        "or a folder.",
    )
    device: Annotated[str, AfterValidator(checks.device)] = Field(
        "auto", description="Device for inference: `auto`, `cpu`, `cuda` or `cuda:N`."
    )
    gpu_kernels: Literal["auto", "off"] = Field(
        "auto",
        description="Whether a GPU uses the worker's own kernels and CUDA graphs where they prove equal to PyTorch's "
        "way and faster: `auto` or `off`.",
    )
    memory_limit_mb: int | None = Field(
        None, ge=64, le=_MILLION, description="Memory that models and inference may use; if unset, all free memory."
    )
    generator: Annotated[str, AfterValidator(checks.factory)] | None = Field(
        None,
        description="The main video model: `package.module:factory`, a function that is called with the torch device "
        "and returns the model; none if unset.",
    )


class NetworkSettings(_Group):
    """Sources and callbacks."""

    allowed_hosts: Annotated[tuple[Annotated[str, AfterValidator(checks.host_or_network)], ...], NoDecode] = Field(
        (),
        description="Private hosts or CIDR blocks that sources and callbacks may use, separated by commas.",
    )
    allowed_ports: Annotated[tuple[Annotated[str, AfterValidator(checks.ports)], ...], NoDecode] = Field(
        checks.WEB_PORTS,
        description="Ports of public hosts that sources, callbacks and stores of jobs may use: numbers or ranges, "
        "separated by commas.",
        json_schema_extra={"default": "`80,443`"},
    )
    https_only: bool = Field(default=False, description="Whether sources and callbacks must use https.")
    download_timeout_seconds: float = Field(
        300, gt=0, le=_DAY_SECONDS, description="Maximum time for one source, or one JSON body, to arrive."
    )
    webhook_secret: Annotated[SecretStr, AfterValidator(_usable)] | None = Field(
        None, description="Signs callbacks (Standard Webhooks): `whsec_` followed by base64, or any text."
    )


class LimitSettings(_Group):
    """Limits."""

    max_source_mb: float = Field(1024, gt=0, le=_MILLION, description="Maximum size of a source file.")
    max_seconds: float = Field(600, gt=0, le=_MILLION, description="Maximum duration of a source video.")
    max_frames: int = Field(36_000, gt=0, le=1000 * _MILLION, description="Maximum frames per source video.")
    max_pixels: int = Field(4096 * 2304, gt=0, le=1000 * _MILLION, description="Maximum pixels per source frame.")
    max_output_pixels: int = Field(
        7680 * 4320, gt=0, le=1000 * _MILLION, description="Maximum pixels per output frame."
    )
    max_output_frames: int = Field(144_000, gt=0, le=1000 * _MILLION, description="Maximum frames per output video.")
    max_source_gigapixels: float = Field(
        100,
        gt=0,
        le=_MILLION,
        description="Maximum frames x pixels of all source videos of a job, in 10^9; 10 minutes of 1080p at 60 "
        "frames per second are 75.",
    )
    max_preview_gigapixels: float = Field(
        8,
        gt=0,
        le=_MILLION,
        description="Maximum frames x pixels that a preview decodes, from the key frame before its part to its end, "
        "in 10^9; also of what it computes and encodes without a network, and of animated WebP and PNG files that "
        "are previewed, analyzed or saved. 600 frames of 4096 x 2304 are 5.7.",
    )
    max_work_gigapixels: float = Field(
        1000,
        gt=0,
        le=_MILLION,
        description="Maximum frames x pixels that all steps of a job compute, in 10^9. Interpolated frames count 2 "
        "times; those that an upscaling network makes 4 times, with faces 8 times. A minute of 1080p at 60 "
        "frames per second, enlarged 4x, is 478.",
    )
    max_output_gigapixels: float = Field(
        250,
        gt=0,
        le=_MILLION,
        description="Maximum frames x pixels that a job encodes, in 10^9, into videos and images.",
    )
    max_extracted_frames: int = Field(10_000, gt=0, le=_MILLION, description="Maximum frames per extraction.")
    max_image_mb: float = Field(25, gt=0, le=_MILLION, description="Maximum size of an image in a request.")
    max_image_pixels: int = Field(
        50_000_000, gt=0, le=1000 * _MILLION, description="Maximum pixels of an image to caption."
    )
    max_prompt_sections: int = Field(60, ge=1, le=_MILLION, description="Maximum timed sections per prompt.")
    max_operations: int = Field(10, ge=1, le=_MILLION, description="Maximum operations per pipeline.")
    max_batch_videos: int = Field(50, ge=1, le=_MILLION, description="Maximum videos per batch.")
    max_join_videos: int = Field(20, ge=2, le=_MILLION, description="Maximum videos per join.")
    max_presets: int = Field(
        500, ge=1, le=_MILLION, description="Maximum presets of each kind that clients may save."
    )


class EncodingSettings(_Group):
    """Encoding."""

    encoder: Literal["auto", "x264", "nvenc"] = Field(
        "x264",
        description="Encoder of H.264: `x264`; `nvenc`, NVIDIA's encoder in hardware, without which no worker "
        "starts; or `auto`, which is NVENC where a trial at start shows that it works and is not slower than x264.",
    )
    video_crf: int = Field(
        16,
        ge=0,
        le=40,
        description="H.264 quality (CRF) of outputs: lower is better and larger; 16 is visually lossless.",
    )
    video_preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = Field(
        "medium", description="H.264 preset: slower ones make smaller files."
    )


class RestSettings(_Group):
    """REST server."""

    api_keys: Annotated[tuple[Annotated[SecretStr, AfterValidator(_sendable)], ...], NoDecode] = Field(
        (),
        description="Accepted `X-API-Key` values, separated by commas; "
        "if unset, a temporary key is generated at start-up.",
    )
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(checks.web_origin)], ...], NoDecode] = Field(
        (),
        description="Origins of web pages whose scripts may call the server, such as `https://app.example.com`, "
        "separated by commas; `*` means all.",
    )
    backend: Literal["local", "runpod"] = Field(
        "local", description="Where jobs run: in a process of this machine, or on a RunPod endpoint."
    )
    runpod_endpoint_id: str | None = Field(None, description="The endpoint that the `runpod` backend sends jobs to.")
    runpod_api_key: SecretStr | None = Field(
        None, validation_alias="RUNPOD_API_KEY", description="API key of the RunPod account that owns the endpoint."
    )
    max_queued_jobs: int = Field(
        100, ge=1, le=_MILLION, description="Maximum queued jobs of each lane; further ones are answered with 429."
    )
    max_body_mb: float = Field(
        64,
        gt=0,
        le=10_000,
        description="Maximum size of a JSON body; send larger videos by address or through `/uploads`.",
    )
    max_uploads: int = Field(
        1000, ge=1, le=_MILLION, description="Maximum uploads that are kept at a time, per API key."
    )
    max_uploads_mb: float = Field(
        20_000,
        gt=0,
        le=1000 * _MILLION,
        description="Maximum size in sum of the uploads that are kept at a time, per API key.",
    )
    job_retention_hours: float = Field(
        24, gt=0, le=_TEN_YEARS_HOURS, description="How long finished jobs and uploads are kept."
    )
    shutdown_grace_seconds: float = Field(
        25,
        ge=0,
        le=_DAY_SECONDS,
        description="Time for running jobs at shutdown; the next server, or another worker, runs unfinished ones.",
    )
    link_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs each `output_url` of a `file:` store; if unset, a secret is kept in the store.",
    )


class LogSettings(_Group):
    """Logs and metrics."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Minimum log level.")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="Log lines for people or for machines; `auto` writes text on a terminal, JSON elsewhere."
    )
    metrics: bool = Field(
        default=False,
        description="Whether answers of jobs that make videos or extract frames have `metrics` (seconds by stage, "
        "frames per second, device), and the log a line with them.",
    )


class Settings(
    LogSettings, RestSettings, EncodingSettings, LimitSettings, NetworkSettings, ModelSettings, StoreSettings
):
    """The settings of a process, read once at start. A variable is named ``FRAMEPACK_`` and the field's name."""

    @field_validator("allowed_hosts", "allowed_ports", "api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = tuple(part.strip() for part in value.split(",") if part.strip())
        if not parts:
            raise ValueError("one or more values separated by commas")
        return parts


GROUPS: Final[tuple[type[BaseSettings], ...]] = tuple(
    base for base in reversed(Settings.__bases__) if issubclass(base, BaseSettings)
)
"""The settings by topic, in the order of the documentation; the docstring of a class is its title."""


def load_settings(**overrides: Any) -> Settings:
    """Read the settings of this process from its environment.

    Args:
        **overrides: Settings that replace those of the environment.

    Raises:
        InvalidSettings: Variables are invalid; the message has one line for each.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise InvalidSettings(problems(Settings, error)) from None  # the cause would show what was set


def settings_or_exit(**overrides: Any) -> Settings:
    """`load_settings` for the start of a program: invalid settings are printed to stderr and end it with status 2."""
    try:
        return load_settings(**overrides)
    except InvalidSettings as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(INVALID_SETTINGS_STATUS)


def unknown_variables() -> list[str]:
    """One sentence per environment variable that has the prefix of settings but is not one."""
    return list(unknown(os.environ, Settings))
