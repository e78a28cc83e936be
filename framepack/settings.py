"""Every environment variable, typed, with its default and its meaning. The only reader of the environment."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """Configuration of one worker, read once at start.

    Names are ``FRAMEPACK_`` plus the field's name in capitals, beside RunPod's usual ``BUCKET_...`` three.
    """

    model_config = SettingsConfigDict(
        env_prefix="FRAMEPACK_", env_ignore_empty=True, frozen=True, populate_by_name=True, extra="forbid"
    )

    # Where outputs and state live
    storage: str = Field(
        "file:outputs",
        pattern=r"^(file:.+|s3://[^/]+.*)$",
        description="The store: `file:FOLDER` or `s3://BUCKET/PREFIX`.",
    )
    public_url: str | None = Field(
        None, description="Public address of the REST side; with a `file:` store it begins every `output_url`."
    )
    bucket_endpoint_url: str | None = Field(
        None,
        validation_alias="BUCKET_ENDPOINT_URL",
        description="S3 endpoint, for stores other than AWS; a bucket in its path is understood.",
    )
    bucket_access_key_id: SecretStr | None = Field(
        None, validation_alias="BUCKET_ACCESS_KEY_ID", description="S3 access key."
    )
    bucket_secret_access_key: SecretStr | None = Field(
        None, validation_alias="BUCKET_SECRET_ACCESS_KEY", description="S3 secret key."
    )
    s3_region: str | None = Field(None, description="S3 region; guessed from the endpoint when unset.")
    url_lifetime_seconds: int = Field(
        86_400, ge=1, le=604_800, description="How long a presigned output URL works (S3 allows 7 days)."
    )
    inline_limit_mb: float = Field(
        5, ge=0, le=14, description="Outputs up to this size are also given inline as base64; 0 never inlines."
    )
    temp_dir: Path = Field(
        Path(tempfile.gettempdir()) / "framepack", description="Folder of the jobs' working files."
    )

    # Models
    weights_dir: Path = Field(
        Path("weights"), description="Folder of model weights (baked into the image or a network volume)."
    )
    weights_download: bool = Field(
        default=True, description="Whether missing weights may be fetched from their official addresses."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where networks run: `auto`, `cpu`, `cuda` or `cuda:N`.",
    )
    memory_limit_mb: int | None = Field(
        None, ge=64, description="Memory that models and their work may use; unset means what is free."
    )

    # What may be fetched and called
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Private hosts or CIDRs that may be fetched or called back, separated by commas."
    )
    https_only: bool = Field(default=False, description="Whether sources and callbacks must use https.")
    download_timeout_seconds: float = Field(300, gt=0, description="Longest time one source may take to arrive.")
    webhook_secret: SecretStr | None = Field(
        None, description="Signs callbacks (Standard Webhooks): `whsec_` and base64, or any text."
    )
    callback_attempts: int = Field(4, ge=1, le=10, description="How often a callback is tried.")

    # Limits, checked before decoding starts
    max_source_mb: float = Field(1024, gt=0, description="Largest source file.")
    max_seconds: float = Field(600, gt=0, description="Longest source.")
    max_frames: int = Field(36_000, gt=0, description="Most frames of a source.")
    max_pixels: int = Field(4096 * 2304, gt=0, description="Most pixels of a source frame.")
    max_output_pixels: int = Field(7680 * 4320, gt=0, description="Most pixels of an output frame.")
    max_output_frames: int = Field(144_000, gt=0, description="Most frames of an output.")

    max_operations: int = Field(10, ge=1, description="Most operations of a pipeline.")
    max_batch_videos: int = Field(50, ge=1, description="Most videos of a batch.")
    max_join_videos: int = Field(20, ge=2, description="Most videos that are joined.")

    # Encoding
    video_crf: int = Field(
        16, ge=0, le=40, description="H.264 quality of outputs: lower is better and larger; 16 looks lossless."
    )
    video_preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = Field(
        "medium", description="H.264 effort: slower presets make smaller files."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
