"""The answers of each operation.

Generated from the code by `python -m tools.docs`; do not edit.
"""

from __future__ import annotations

from typing import Literal

from framepack.client.answer import Answer, AsyncDownload, Download, StoredFile


class AiModelStatus(Answer):
    """The state of one model."""

    loaded: bool
    """Whether it is loaded."""
    model_name: str | None
    """Hugging Face name of the model, null while it is not loaded."""


class AiStatusResponse(Answer):
    """The state of both models."""

    enhancer: AiModelStatus
    """The model that enhances prompts."""
    captioner: AiModelStatus
    """The model that captions images."""


class UnloadAiModelsResponse(Answer):
    """The models that were unloaded."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    models_unloaded: list[Literal["enhancer", "captioner"]]
    """Those that were loaded before."""


class CaptionImageResponse(Answer):
    """The caption."""

    success: bool = True
    """Always true: a failure has an error instead."""
    caption: str
    """The caption."""
    message: str
    """What was done, for people."""


class EnhancePromptResponse(Answer):
    """The original and the enhanced prompt."""

    success: bool = True
    """Always true: a failure has an error instead."""
    original_prompt: str
    """The prompt as it was sent."""
    enhanced_prompt: str
    """The enhanced prompt."""
    message: str
    """What was done, for people."""


class FilterSettings(Answer):
    """A value for each filter control. Every control at its default leaves the frame as it is."""

    brightness: float = 0
    """Brightness adjustment."""
    contrast: float = 1
    """Contrast multiplier; 0 is flat gray."""
    saturation: float = 1
    """Saturation multiplier; 0 is black and white."""
    temperature: float = 0
    """Color temperature; above 0 is warmer."""
    sharpen: float = 0
    """Sharpening amount."""
    blur: float = 0
    """Blur amount."""
    denoise: float = 0
    """Denoise strength."""
    vignette: float = 0
    """Vignette intensity."""
    s_curve_contrast: float = 0
    """S-curve contrast."""
    film_grain_strength: float = 0
    """Film grain strength."""


class FilterPresetsResponse(Answer):
    """All filter presets."""

    success: bool = True
    """Always true: a failure has an error instead."""
    presets: dict[str, FilterSettings]
    """`none`, then the built-in and the saved ones in alphabetical order, each with all its settings."""
    message: str
    """What was done, for people."""


class FilterPresetAnswer(Answer):
    """The outcome."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    note: str | None = None
    """Set if a built-in preset of that name applies again."""


class Metrics(Answer):
    """How long a job took, and where."""

    seconds: StageSeconds
    """Seconds by stage."""
    frames: int
    """Frames of all results, including repeated and copied ones, and those that a GIF leaves out."""
    frames_per_second: float | None = None
    """`frames` by the seconds of the stage `frames`; missing if there are none."""
    device: str
    """Where its networks ran, such as "cuda:0 NVIDIA H200"; "cpu" if it used none."""
    cold: bool
    """Whether a model was loaded during the job."""


class StageSeconds(Answer):
    """Where the time of a job went. Stages do not overlap."""

    source: float
    """Fetching or decoding the sources, and probing them."""
    model: float
    """Waiting for models, of which the first is loaded beside `source`."""
    frames: float
    """Decoding, processing and encoding frames, which overlap."""
    publish: float
    """Storing the results."""
    total: float
    """From the start of the job to this answer."""


class ExtractResponse(Answer):
    """The new folder."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    folder_name: str
    """Name of the new folder."""
    frame_count: int
    """Number of frames in it."""
    frames_path: str
    """Path of the folder in the store."""
    contact_sheet_path: str | None = None
    """Path of an image that shows up to 48 of the frames."""
    contact_sheet_url: str | None = None
    """URL to download that image."""
    warnings: list[str] | None = None
    """Non-fatal problems, such as unreadable frames."""
    metrics: Metrics | None = None
    """How long the job took, and where; only with `FRAMEPACK_METRICS=true`."""


class FoldersResponse(Answer):
    """All folders of extracted frames."""

    success: bool = True
    """Always true: a failure has an error instead."""
    folders: list[str]
    """Names of the folders, sorted."""
    message: str
    """What was done, for people."""


class VideoResponse(StoredFile):
    """A finished video: its location and, if it is small, the video itself."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    output_video_base64: str | None = None
    """The video, if it is small."""
    output_path: str
    """Path of the output in the store."""
    output_url: str | None = None
    """URL to download the output file."""
    output_filename: str
    """Output filename."""
    output_file_size: int
    """Output file size in bytes."""
    warnings: list[str] | None = None
    """Non-fatal problems, such as unreadable frames."""
    metrics: Metrics | None = None
    """How long the job took, and where; only with `FRAMEPACK_METRICS=true`."""


class DeleteFolderResponse(Answer):
    """What was deleted."""

    success: bool = True
    """Always true: a failure has an error instead."""
    folder: str
    """Name of the folder."""
    message: str = "Successfully deleted folder and all its contents"
    """What was done, for people."""


class FolderSource(Answer):
    """The video that the frames of a folder come from."""

    name: str
    """Name of the video's file."""
    fps: str
    """Frames per second, exactly: "30000/1001"."""
    extraction_rate: int
    """N, if every Nth frame was extracted."""
    width: int
    """Width of a frame in pixels."""
    height: int
    """Height of a frame in pixels."""
    has_audio: bool
    """Whether its audio is available for `/frames/reassemble`."""


class ListedFrame(StoredFile):
    """One frame of a folder."""

    filename: str
    """Name of the file."""
    path: str
    """Path of the frame in the store."""
    url: str | None = None
    """URL to download the frame, which needs no API key; only with `with_urls`."""
    index: int
    """Index in this list, from 0."""
    source_index: int | None = None
    """Index of the frame in the video, if known."""


class FramesResponse(Answer):
    """The frames of a folder."""

    success: bool = True
    """Always true: a failure has an error instead."""
    folder: str
    """Name of the folder."""
    frames: list[ListedFrame]
    """In natural order: frame2 before frame10."""
    total_count: int
    """Number of frames in it."""
    message: str
    """What was done, for people."""
    source: FolderSource | None = None
    """The source of the frames, if they were extracted."""
    contact_sheet_path: str | None = None
    """Path of an image that shows up to 48 of the frames."""
    contact_sheet_url: str | None = None
    """URL to download that image."""


class SaveFrameResponse(StoredFile):
    """The location of the saved frame and, if it is small, the image itself."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    saved_path: str
    """Path of the saved image in the store."""
    frame_base64: str | None = None
    """The image, if it is small."""
    filename: str = ""
    """Name of the saved image."""
    output_url: str | None = None
    """URL to download the saved image."""
    output_file_size: int = 0
    """Size in bytes."""
    warnings: list[str] | None = None
    """Non-fatal problems."""


class DeleteFrameResponse(Answer):
    """What was deleted."""

    success: bool = True
    """Always true: a failure has an error instead."""
    folder: str
    """Name of the folder."""
    frame: str
    """Name of the deleted file."""
    message: str
    """What was done, for people."""


class FrameResponse(StoredFile):
    """The frame and, if it is small, the image itself."""

    success: bool = True
    """Always true: a failure has an error instead."""
    folder: str
    """Name of the folder."""
    filename: str
    """Name of the file."""
    size: int
    """Size in bytes."""
    mime_type: str
    """Media type, such as `image/png`."""
    base64: str | None = None
    """The image, if it is small."""
    path: str
    """Path of the frame in the store."""
    url: str | None = None
    """URL to download the frame."""
    warnings: list[str] | None = None
    """Non-fatal problems."""


class PutFrameResponse(StoredFile):
    """The frame that was replaced or added."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    folder: str
    """Name of the folder."""
    filename: str
    """Name of the file."""
    size: int
    """Size in bytes."""
    path: str
    """Path of the frame in the store."""
    url: str | None = None
    """URL to download the frame."""
    warnings: list[str] | None = None
    """Non-fatal problems, such as another size."""


class ModelStatusResponse(Answer):
    """The state of the main video model."""

    model_loaded: bool
    """Whether it is loaded."""
    model_name: str | None
    """Name of the model's class, null while none is loaded."""
    vram_usage: float
    """Measured device memory of the model in GB; 0 if none is loaded."""


class UnloadModelResponse(Answer):
    """The model that was unloaded."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    model_unloaded: str | None
    """Name of the model's class, null if none was loaded."""
    vram_freed_estimate: str | None
    """Measured memory that was freed, such as "14.5 GB"."""


class Analysis(Answer):
    """The metadata of a video, in the documented format."""

    filename: str
    """Name of the file."""
    file_size: str
    """Such as "15.2 MB"."""
    duration: str
    """Such as "4.5 seconds"."""
    resolution: str
    """Width x height when shown upright."""
    fps: float
    """Frames per second."""
    codec: str
    """FFmpeg's name of the video codec."""
    has_alpha: bool
    """Whether there is an alpha channel, in which nothing needs to be transparent."""
    bitrate: str
    """Such as "28.1 Mbps"."""
    has_audio: bool
    """Whether there is an audio stream."""
    audio_codec: str | None
    """FFmpeg's name of the audio codec, null without audio."""
    total_frames: int
    """Number of frames at this rate, as every operation makes them."""


class AnalyzeResponse(Answer):
    """The analysis."""

    success: bool = True
    """Always true: a failure has an error instead."""
    analysis: Analysis
    """What the video is."""
    warnings: list[str] | None = None
    """Missing or damaged parts of the file, and parts that outputs do not have."""


class AutosaveResponse(Answer):
    """The current setting."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    autosave_enabled: bool
    """Whether finished videos are saved."""


class BatchResult(StoredFile):
    """How one video ended."""

    index: int
    """Place of the video in the request, from 0."""
    success: bool
    """Whether it was processed."""
    input_source: str
    """"base64", or the first 50 characters of the URL, without its query."""
    output_video_base64: str | None = None
    """The video, if it is small."""
    output_path: str | None = None
    """Path of the output in the store."""
    output_url: str | None = None
    """URL to download the output file."""
    output_filename: str | None = None
    """Output filename."""
    output_file_size: int | None = None
    """Output file size in bytes."""
    warnings: list[str] | None = None
    """Non-fatal problems, such as unreadable frames."""
    error: str | None = None
    """Why there is no output."""
    code: ErrorCode | str | None = None
    """Stable code of the error."""


class ErrorCode(Answer):
    """The codes of errors. Versions to come may add others."""


class BatchResponse(Answer):
    """How every video ended."""

    success: bool
    """Whether all videos were processed."""
    message: str
    """What was done, for people."""
    total_videos: int
    """Number of videos in the request."""
    successful: int
    """Number of videos that were processed."""
    failed: int
    """Number of videos that could not be processed."""
    results: list[BatchResult]
    """One result per video, in the order of the request."""
    metrics: Metrics | None = None
    """How long the job took, and where; only with `FRAMEPACK_METRICS=true`."""


class OtherModel(Answer):
    """A model that is not for upscaling."""

    is_usable: bool
    """Whether a job can use it; what is missing is downloaded, if that is possible."""
    notice: str | None = None
    """What is missing on this machine, and how it gets there; null if everything is there."""
    needed_for: str
    """The operation that needs it, or one of its fields, as in `operation.field`."""


class UpscaleModel(Answer):
    """One model."""

    is_usable: bool
    """Whether a job can use it; what is missing is downloaded, if that is possible."""
    notice: str | None = None
    """What is missing on this machine, and how it gets there; null if everything is there."""
    scale: int
    """How many times it enlarges."""
    description: str
    """What it is good at."""


class ListModelsResponse(Answer):
    """All upscale models by name, and the others."""

    success: bool = True
    """Always true: a failure has an error instead."""
    models: dict[str, UpscaleModel]
    """The models by name."""
    others: dict[str, OtherModel] | None = None
    """Models that other operations and fields need, by name."""


class CompletedStep(Answer):
    """One step of a finished pipeline."""

    step: int
    """Its number, from 1."""
    type: str
    """Operation type."""
    success: bool = True
    """Always true: a step that fails ends the job."""
    message: str
    """Properties of the video after the step."""


class PipelineResponse(StoredFile):
    """The finished video and the completed steps."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    output_video_base64: str | None = None
    """The video, if it is small."""
    output_path: str
    """Path of the output in the store."""
    output_url: str | None = None
    """URL to download the output file."""
    output_filename: str
    """Output filename."""
    output_file_size: int
    """Output file size in bytes."""
    warnings: list[str] | None = None
    """Non-fatal problems, such as unreadable frames."""
    metrics: Metrics | None = None
    """How long the job took, and where; only with `FRAMEPACK_METRICS=true`."""
    operations_completed: list[CompletedStep]
    """Every step, in order."""


class PreviewFile(Answer):
    """One side of a preview: an image, or a short video."""

    base64: str | None = None
    """The file; missing where the job is read again later."""
    mime_type: str
    """`image/png`, `image/jpeg`, `image/gif`, `video/mp4` or `video/webm`."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    pixel_aspect: float
    """Width of a pixel divided by its height."""
    size_bytes: int
    """Size of the file."""
    seconds: float
    """Time in the source that the image shows, or at which the video begins; an interpolated frame lies between
    two frames of the source."""
    fps: float
    """Frames per second of the video that it is taken from."""
    frames: int
    """Number of frames: 1 in an image."""


class PreviewedVideo(Answer):
    """What the operations would make of the whole video."""

    format: str
    """`mp4`, `webm` or `gif`."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    fps: float
    """Frames per second."""
    frames: int | None
    """Number of frames."""
    duration_seconds: float | None
    """Duration in seconds."""


class PreviewResponse(Answer):
    """The part before and after the operations."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str = "Preview completed successfully"
    """What was done, for people."""
    frame: int
    """Number of the frame that `before` shows or begins with, from 0."""
    before: PreviewFile
    """The source: PNG, JPEG if that is too large, or MP4."""
    after: PreviewFile
    """The result, encoded as the operations say: an image shows it decoded again."""
    result: PreviewedVideo | None = None
    """What the whole video would become; missing if it would be refused, see `warnings`."""
    warnings: list[str] | None = None
    """Non-fatal problems, also those that the whole video has."""


class SaveResponse(StoredFile):
    """The location of the saved video."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str = "Video saved to permanent storage successfully"
    """What was done, for people."""
    saved_path: str
    """Path of the video in the store."""
    filename: str
    """Name of the saved video; differs from the requested one if that was taken."""
    output_url: str | None = None
    """URL to download the video."""
    output_file_size: int
    """Size in bytes."""
    warnings: list[str] | None = None
    """Non-fatal problems."""


class ClearTempResponse(Answer):
    """What was removed."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""
    files_deleted: int
    """Number of files removed."""
    space_freed_mb: float
    """Their size in megabytes, of a million bytes."""
    files_kept: int
    """Temporary results that were kept: new ones, and results of running jobs."""


class GpuStatus(Answer):
    """The GPU used for inference."""

    name: str
    """Its name, or "No GPU: networks run on the CPU"."""
    utilization: int | None
    """Percent; 0 without a GPU, null if the driver does not say."""
    temperature: int | None
    """Degrees Celsius; 0 without a GPU, null if the driver does not say."""


class Usage(Answer):
    """Use of a resource; 1 GB has 2^30 bytes."""

    used_gb: float
    """In use, in GB."""
    total_gb: float
    """Size, in GB."""
    percent: float
    """Share in use; 0 if the total is 0."""


class StatusResponse(Answer):
    """The worker's resources."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str = "System status retrieved successfully"
    """What was done, for people."""
    ram: Usage
    """Main memory, within the limit of the container."""
    vram: Usage
    """Memory of the GPU, used by all processes; 0 without a GPU."""
    gpu: GpuStatus
    """The GPU that networks run on."""
    disk_free_gb: float
    """Free space on the disk of temporary files."""
    disk_total_gb: float
    """Size of that disk."""
    running_jobs: int
    """Other jobs that are running on this machine."""
    device: str
    """Device for inference, such as `cuda:0` or `cpu`."""
    encoder: str
    """Encoder of H.264: `x264` or `nvenc`."""
    version: str
    """Version of the worker."""


class WorkflowParams(Answer):
    """All parameters of a workflow preset, each with its default."""

    upscale_model: str = "RealESRGAN_x2plus"
    """Upscale model to use."""
    upscale_factor: float = 2.0
    """Target scale factor."""
    tile_size: int = 0
    """Tile size for processing (0=auto, 256, 512). Smaller uses less VRAM."""
    enhance_face: bool = False
    """Enable GFPGAN face enhancement."""
    denoise_strength: float = 0.5
    """Denoise strength (only for RealESR-general-x4v3): 0 keeps noise, 1 removes most."""
    upscale_use_streaming: bool = False
    """Accepted for compatibility; every video is streamed."""
    fps_mode: str = "No Interpolation"
    """Factor of the frame rate; with No Interpolation, a changed speed repeats or drops frames."""
    speed_factor: float = 1.0
    """Speed: 0.5 is slow motion at half the speed."""
    frames_use_streaming: bool = False
    """Accepted for compatibility; every video is streamed."""
    loop_type: str = "loop"
    """Type of loop: simple repeat, or forward then reverse (seamless)."""
    num_loops: int = 1
    """`loop`: additional plays, 1 = plays twice in all; `ping-pong`: round trips."""
    brightness: float = 0
    """Brightness adjustment."""
    contrast: float = 1
    """Contrast multiplier; 0 is flat gray."""
    saturation: float = 1
    """Saturation multiplier; 0 is black and white."""
    temperature: float = 0
    """Color temperature; above 0 is warmer."""
    sharpen: float = 0
    """Sharpening amount."""
    blur: float = 0
    """Blur amount."""
    denoise: float = 0
    """Denoise strength."""
    vignette: float = 0
    """Vignette intensity."""
    s_curve_contrast: float = 0
    """S-curve contrast."""
    film_grain_strength: float = 0
    """Film grain strength."""
    export_format: str = "MP4"
    """Output format."""
    export_quality: int = 85
    """Quality (higher = better quality, larger file)."""
    export_max_width: int = 1024
    """Maximum width in pixels (maintains aspect ratio, never enlarges)."""


class WorkflowPreset(Answer):
    """A stored workflow: which steps, in which order, and the parameters of all of them."""

    active_steps: list[str] | None = None
    """Steps in the order they are run."""
    params: WorkflowParams | None = None
    """Parameters of every step."""


class WorkflowPresetsResponse(Answer):
    """All workflow presets."""

    success: bool = True
    """Always true: a failure has an error instead."""
    presets: dict[str, WorkflowPreset]
    """`None`, then the saved ones in alphabetical order, each with all its parameters."""
    message: str
    """What was done, for people."""


class WorkflowPresetAnswer(Answer):
    """The outcome."""

    success: bool = True
    """Always true: a failure has an error instead."""
    message: str
    """What was done, for people."""


class VideoResult(VideoResponse, Download):
    """A finished video: its location and, if it is small, the video itself."""


class AsyncVideoResult(VideoResponse, AsyncDownload):
    """A finished video: its location and, if it is small, the video itself."""


class SaveFrameResult(SaveFrameResponse, Download):
    """The location of the saved frame and, if it is small, the image itself."""


class AsyncSaveFrameResult(SaveFrameResponse, AsyncDownload):
    """The location of the saved frame and, if it is small, the image itself."""


class FrameResult(FrameResponse, Download):
    """The frame and, if it is small, the image itself."""


class AsyncFrameResult(FrameResponse, AsyncDownload):
    """The frame and, if it is small, the image itself."""


class PutFrameResult(PutFrameResponse, Download):
    """The frame that was replaced or added."""


class AsyncPutFrameResult(PutFrameResponse, AsyncDownload):
    """The frame that was replaced or added."""


class PipelineResult(PipelineResponse, Download):
    """The finished video and the completed steps."""


class AsyncPipelineResult(PipelineResponse, AsyncDownload):
    """The finished video and the completed steps."""


class SaveResult(SaveResponse, Download):
    """The location of the saved video."""


class AsyncSaveResult(SaveResponse, AsyncDownload):
    """The location of the saved video."""
