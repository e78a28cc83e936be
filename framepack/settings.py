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
        env_prefix="FRAMEPACK_",
        env_ignore_empty=True,
        frozen=True,
        populate_by_name=True,
        extra="forbid",
        hide_input_in_errors=True,  # a value may be a secret
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

    temp_grace_seconds: float = Field(
        300, ge=0, description="Age from which a finished result may be cleared away as temporary."
    )
    claim_lifetime_seconds: float = Field(
        3600,
        ge=120,
        description="How long results of a job that gives no sign of life are kept from being cleared away.",
    )

    # Models
    weights_dir: Path = Field(
        Path("weights"), description="Folder of model weights (baked into the image or a network volume)."
    )
    weights_download: bool = Field(
        default=True, description="Whether missing weights may be fetched from their official addresses."
    )
    hub_cache_dir: Path = Field(
        Path("/runpod-volume/huggingface-cache/hub"),
        description="A Hugging Face cache that is read before the usual one: RunPod's cached models, by default.",
    )
    enhancer_model: str = Field(
        "ibm-granite/granite-3.3-2b-instruct",
        description="What enhances prompts: this one, another chat model as `organisation/name@COMMIT`, or a folder.",
    )
    captioner_model: str = Field(
        "florence-community/Florence-2-large",
        description="What captions images: this one, another Florence-2 as `organisation/name@COMMIT`, or a folder.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where networks run: `auto`, `cpu`, `cuda` or `cuda:N`.",
    )
    memory_limit_mb: int | None = Field(
        None, ge=64, description="Memory that models and their work may use; unset means what is free."
    )
    generator: str | None = Field(
        None,
        description="The main video model: `package.module:factory`, which is called with the torch device and "
        "returns the model; unset means none.",
    )

    # What may be fetched and called
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Private hosts or CIDRs that may be fetched or called back, separated by commas."
    )
    https_only: bool = Field(default=False, description="Whether sources and callbacks must use https.")
    download_timeout_seconds: float = Field(
        300, gt=0, description="Longest time one source, or a JSON body, may take to arrive."
    )
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

    max_extracted_frames: int = Field(10_000, gt=0, description="Most frames of one extraction.")
    max_image_mb: float = Field(25, gt=0, description="Largest image to caption.")
    max_image_pixels: int = Field(50_000_000, gt=0, description="Most pixels of an image to caption.")
    max_prompt_sections: int = Field(60, ge=1, description="Most timed sections of a prompt.")

    max_operations: int = Field(10, ge=1, description="Most operations of a pipeline.")
    max_batch_videos: int = Field(50, ge=1, description="Most videos of a batch.")
    max_join_videos: int = Field(20, ge=2, description="Most videos that are joined.")

    max_presets: int = Field(500, ge=1, description="Most presets of a kind that clients may save.")

    # Encoding
    video_crf: int = Field(
        16, ge=0, le=40, description="H.264 quality of outputs: lower is better and larger; 16 looks lossless."
    )
    video_preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = Field(
        "medium", description="H.264 effort: slower presets make smaller files."
    )

    # The REST side
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Keys that `X-API-Key` may carry, separated by commas; unset makes one for this run."
    )
    backend: Literal["local", "runpod"] = Field(
        "local", description="Who carries out jobs: a process of this machine, or a RunPod endpoint."
    )
    runpod_endpoint_id: str | None = Field(None, description="The endpoint that the backend `runpod` sends jobs to.")
    runpod_api_key: SecretStr | None = Field(
        None, validation_alias="RUNPOD_API_KEY", description="Key of the RunPod account that owns the endpoint."
    )
    max_queued_jobs: int = Field(100, ge=1, description="Most jobs that wait at a time; more are answered 429.")
    max_body_mb: float = Field(
        64, gt=0, description="Largest JSON body; larger videos come by address or through `/uploads`."
    )
    job_retention_hours: float = Field(24, gt=0, description="How long ended jobs and uploads are kept.")
    shutdown_grace_seconds: float = Field(
        25,
        ge=0,
        description="Time that running jobs get when the server is told to stop; the next one redoes the rest.",
    )
    link_secret: SecretStr | None = Field(
        None, min_length=16, description="Signs `output_url` of a `file:` store; unset keeps one in the store."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")

    @field_validator("allowed_hosts", "api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
