"""The fields of each operation.

Generated from the code by `python -m tools.docs`; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NotRequired, Required, TypeAlias, TypedDict

from framepack.client.sources import Source


class FilterSettings(TypedDict, total=False):
    """A value for each filter control. Every control at its default leaves the frame as it is."""

    brightness: float
    """Brightness adjustment; -100 to 100, by default 0."""
    contrast: float
    """Contrast multiplier; 0 is flat gray; 0 to 3, by default 1."""
    saturation: float
    """Saturation multiplier; 0 is black and white; 0 to 3, by default 1."""
    temperature: float
    """Color temperature; above 0 is warmer; -100 to 100, by default 0."""
    sharpen: float
    """Sharpening amount; 0 to 5, by default 0."""
    blur: float
    """Blur amount; 0 to 5, by default 0."""
    denoise: float
    """Denoise strength; 0 to 10, by default 0."""
    vignette: float
    """Vignette intensity; 0 to 100, by default 0."""
    s_curve_contrast: float
    """S-curve contrast; 0 to 100, by default 0."""
    film_grain_strength: float
    """Film grain strength; 0 to 50, by default 0."""


class WorkflowParams(TypedDict, total=False):
    """All parameters of a workflow preset, each with its default."""

    upscale_model: str
    """Upscale model to use; by default 'RealESRGAN_x2plus'."""
    upscale_factor: float
    """Target scale factor; 1 to 4, by default 2.0."""
    tile_size: int
    """Tile size for processing (0=auto, 256, 512). Smaller uses less VRAM; by default 0."""
    enhance_face: bool
    """Enable GFPGAN face enhancement; by default False."""
    denoise_strength: float
    """Denoise strength (only for RealESR-general-x4v3): 0 keeps noise, 1 removes most; 0 to 1, by default 0.5."""
    upscale_use_streaming: bool
    """Accepted for compatibility; every video is streamed; by default False."""
    fps_mode: str
    """Factor of the frame rate; with No Interpolation, a changed speed repeats or drops frames; by default 'No
    Interpolation'."""
    speed_factor: float
    """Speed: 0.5 is slow motion at half the speed; 0.25 to 4, by default 1.0."""
    frames_use_streaming: bool
    """Accepted for compatibility; every video is streamed; by default False."""
    loop_type: str
    """Type of loop: simple repeat, or forward then reverse (seamless); by default 'loop'."""
    num_loops: int
    """`loop`: additional plays, 1 = plays twice in all; `ping-pong`: round trips; 1 to 10, by default 1."""
    brightness: float
    """Brightness adjustment; -100 to 100, by default 0."""
    contrast: float
    """Contrast multiplier; 0 is flat gray; 0 to 3, by default 1."""
    saturation: float
    """Saturation multiplier; 0 is black and white; 0 to 3, by default 1."""
    temperature: float
    """Color temperature; above 0 is warmer; -100 to 100, by default 0."""
    sharpen: float
    """Sharpening amount; 0 to 5, by default 0."""
    blur: float
    """Blur amount; 0 to 5, by default 0."""
    denoise: float
    """Denoise strength; 0 to 10, by default 0."""
    vignette: float
    """Vignette intensity; 0 to 100, by default 0."""
    s_curve_contrast: float
    """S-curve contrast; 0 to 100, by default 0."""
    film_grain_strength: float
    """Film grain strength; 0 to 50, by default 0."""
    export_format: str
    """Output format; by default 'MP4'."""
    export_quality: int
    """Quality (higher = better quality, larger file); 0 to 100, by default 85."""
    export_max_width: int
    """Maximum width in pixels (maintains aspect ratio, never enlarges); 256 to 4096, by default 1024."""


class WorkflowPreset(TypedDict, total=False):
    """A stored workflow: which steps, in which order, and the parameters of all of them."""

    active_steps: Sequence[str]
    """Steps in the order they are run."""
    params: WorkflowParams
    """Parameters of every step."""


class UpscaleParams(TypedDict, total=False):
    """Model and size."""

    model: str
    """Upscale model to use; by default 'RealESRGAN_x4plus'."""
    scale_factor: float
    """Target scale factor; 1 to 4, by default 2.0."""
    tile_size: Literal[0, 256, 512]
    """Tile size for processing (0=auto, 256, 512). Smaller uses less VRAM; by default 0."""
    enhance_face: bool
    """Enable GFPGAN face enhancement; by default False."""
    denoise_strength: float
    """Denoise strength (only for RealESR-general-x4v3): 0 keeps noise, 1 removes most; 0 to 1, by default 0.5."""
    use_streaming: bool
    """Accepted for compatibility; every video is streamed; by default False."""


class UpscaleStep(TypedDict):
    """A step of a pipeline: upscale."""

    type: Literal["upscale"]
    params: NotRequired[UpscaleParams]


class InterpolateParams(TypedDict, total=False):
    """Frame rate and speed."""

    fps_mode: Literal["No Interpolation", "2x", "4x"]
    """Factor of the frame rate; with No Interpolation, a changed speed repeats or drops frames; by default '2x'."""
    speed_factor: float
    """Speed: 0.5 is slow motion at half the speed; 0.25 to 4, by default 1.0."""
    use_streaming: bool
    """Accepted for compatibility; every video is streamed; by default False."""


class InterpolateStep(TypedDict):
    """A step of a pipeline: interpolate."""

    type: Literal["interpolate"]
    params: NotRequired[InterpolateParams]


class FiltersParams(TypedDict, total=False):
    """A preset, and controls that are set differently. ``film_grain_strength`` means ``film_grain``."""

    brightness: float
    """Brightness adjustment; -100 to 100, by default 0."""
    contrast: float
    """Contrast multiplier; 0 is flat gray; 0 to 3, by default 1.0."""
    saturation: float
    """Saturation multiplier; 0 is black and white; 0 to 3, by default 1.0."""
    temperature: float
    """Color temperature; above 0 is warmer; -100 to 100, by default 0."""
    sharpen: float
    """Sharpening amount; 0 to 5, by default 0.0."""
    blur: float
    """Blur amount; 0 to 5, by default 0.0."""
    denoise: float
    """Denoise strength; 0 to 10, by default 0.0."""
    vignette: float
    """Vignette intensity; 0 to 100, by default 0."""
    s_curve_contrast: float
    """S-curve contrast; 0 to 100, by default 0."""
    film_grain: float
    """Film grain strength; 0 to 50, by default 0."""
    preset: str | None
    """Filter preset name (none, cinematic, vintage, cool, warm, dramatic, or a saved one); sent fields win over
    it."""


class FiltersStep(TypedDict):
    """A step of a pipeline: filters."""

    type: Literal["filters"]
    params: NotRequired[FiltersParams]


class LoopParams(TypedDict, total=False):
    """How to loop."""

    loop_type: Literal["loop", "ping-pong"]
    """Type of loop: simple repeat, or forward then reverse (seamless); by default 'loop'."""
    num_loops: int
    """`loop`: additional plays, 1 = plays twice in all; `ping-pong`: round trips; 1 to 10, by default 1."""


class LoopStep(TypedDict):
    """A step of a pipeline: loop."""

    type: Literal["loop"]
    params: NotRequired[LoopParams]


class ExportParams(TypedDict, total=False):
    """Format, quality and size."""

    format: Literal["MP4", "WebM", "GIF"]
    """Output format; by default 'MP4'."""
    quality: int
    """Quality (higher = better quality, larger file); 0 to 100, by default 85."""
    max_width: int
    """Maximum width in pixels (maintains aspect ratio, never enlarges); 256 to 4096, by default 1024."""
    output_name: str | None
    """Custom output filename."""


class ExportStep(TypedDict):
    """A step of a pipeline: export."""

    type: Literal["export"]
    params: NotRequired[ExportParams]


Step: TypeAlias = UpscaleStep | InterpolateStep | FiltersStep | LoopStep | ExportStep


class UnloadAiModelsFields(TypedDict, total=False):
    """Which models to unload."""

    model: Required[Literal["enhancer", "captioner", "all"]]
    """Model to unload: "enhancer", "captioner", or "all"."""


class CaptionImageFields(TypedDict, total=False):
    """An image to describe."""

    image: Required[Source]
    """Path, open file, address, upload or earlier result."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class EnhancePromptFields(TypedDict, total=False):
    """A prompt to enhance."""

    prompt: Required[str]
    """The simple prompt to enhance; sections such as `[1s: text]` are enhanced one by one."""
    seed: int | None
    """The same seed gives the same text."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class SaveFilterPresetFields(TypedDict, total=False):
    """A filter preset and its name."""

    name: Required[str]
    """Preset name (cannot be "none"); case-sensitive, spaces around it are ignored. Built-in presets may be
    replaced."""
    settings: Required[FilterSettings]
    """Filter settings; omitted ones are as in `none`."""


class DeleteFilterPresetFields(TypedDict, total=False):
    """The name of a filter preset."""

    name: Required[str]
    """Preset name to delete."""


class ExtractFramesFields(TypedDict, total=False):
    """A video, and which of its frames to extract."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    extraction_rate: int
    """Extract every Nth frame (1 = all frames); 1 to 100, by default 1."""
    keep_alpha: bool
    """Whether frames keep transparency (RGBA, straight), instead of being put on black; by default False."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class ReassembleFramesFields(TypedDict, total=False):
    """A folder of frames, and how to play them."""

    folder_name: Required[str]
    """Folder containing frames."""
    output_fps: int
    """Output video FPS; 1 to 120, by default 30."""
    output_name: str | None
    """Custom output name."""
    with_audio: bool
    """Whether to add the audio of the video that the frames were extracted from; by default False."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class DeleteFrameFolderFields(TypedDict, total=False):
    """A folder."""

    folder: Required[str]
    """Folder name from `/frames/folders`."""


class ListFramesFields(TypedDict, total=False):
    """A folder, and what to say of its frames."""

    folder: Required[str]
    """Folder name from `/frames/folders`."""
    with_urls: bool
    """Whether each frame has a `url`, for the images of a page; by default False."""


class SaveFrameFields(TypedDict, total=False):
    """A frame."""

    folder: Required[str]
    """Folder name."""
    frame: Required[str]
    """Frame filename (e.g., `frame_000042.png`)."""


class DeleteFrameFields(TypedDict, total=False):
    """A frame."""

    folder: Required[str]
    """Folder name."""
    frame: Required[str]
    """Frame filename (e.g., `frame_000042.png`)."""


class GetFrameFields(TypedDict, total=False):
    """A frame."""

    folder: Required[str]
    """Folder name."""
    frame: Required[str]
    """Frame filename (e.g., `frame_000042.png`)."""


class PutFrameFields(TypedDict, total=False):
    """A frame, and the image that it becomes."""

    image: Required[Source]
    """Path, open file, address, upload or earlier result."""
    folder: Required[str]
    """Folder name."""
    frame: Required[str]
    """Frame filename (e.g., `frame_000042.png`)."""


class AnalyzeFields(TypedDict, total=False):
    """A video to analyze."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""


class SetAutosaveFields(TypedDict, total=False):
    """On or off."""

    enabled: Required[bool]
    """Enable or disable autosave."""


class BatchFields(TypedDict, total=False):
    """Videos, and the operations to run on each of them."""

    videos: Required[Sequence[Source]]
    """Path, open file, address, upload or earlier result."""
    operations: Required[Sequence[Step]]
    """Array of operation objects."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class ExportFields(TypedDict, total=False):
    """A video and how to export it."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    format: Literal["MP4", "WebM", "GIF"]
    """Output format; by default 'MP4'."""
    quality: int
    """Quality (higher = better quality, larger file); 0 to 100, by default 85."""
    max_width: int
    """Maximum width in pixels (maintains aspect ratio, never enlarges); 256 to 4096, by default 1024."""
    output_name: str | None
    """Custom output filename."""
    keep_alpha: bool
    """Whether to keep transparency (WebM only), instead of putting it on black; by default False."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class FiltersFields(TypedDict, total=False):
    """A video and the filters for it; some controls are whole numbers here, though not in presets and steps."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    brightness: int
    """Brightness adjustment; -100 to 100, by default 0."""
    contrast: float
    """Contrast multiplier; 0 is flat gray; 0 to 3, by default 1.0."""
    saturation: float
    """Saturation multiplier; 0 is black and white; 0 to 3, by default 1.0."""
    temperature: int
    """Color temperature; above 0 is warmer; -100 to 100, by default 0."""
    sharpen: float
    """Sharpening amount; 0 to 5, by default 0.0."""
    blur: float
    """Blur amount; 0 to 5, by default 0.0."""
    denoise: float
    """Denoise strength; 0 to 10, by default 0.0."""
    vignette: int
    """Vignette intensity; 0 to 100, by default 0."""
    s_curve_contrast: int
    """S-curve contrast; 0 to 100, by default 0."""
    film_grain: int
    """Film grain strength; 0 to 50, by default 0."""
    preset: str | None
    """Filter preset name (none, cinematic, vintage, cool, warm, dramatic, or a saved one); sent fields win over
    it."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class InterpolateFields(TypedDict, total=False):
    """A video, and its new frame rate and speed."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    fps_mode: Literal["No Interpolation", "2x", "4x"]
    """Factor of the frame rate; with No Interpolation, a changed speed repeats or drops frames; by default '2x'."""
    speed_factor: float
    """Speed: 0.5 is slow motion at half the speed; 0.25 to 4, by default 1.0."""
    use_streaming: bool
    """Accepted for compatibility; every video is streamed; by default False."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class JoinFields(TypedDict, total=False):
    """The videos to join, in order."""

    videos: Required[Sequence[Source]]
    """Path, open file, address, upload or earlier result."""
    output_name: str | None
    """Custom output filename."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class LoopFields(TypedDict, total=False):
    """A video and how to loop it."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    loop_type: Literal["loop", "ping-pong"]
    """Type of loop: simple repeat, or forward then reverse (seamless); by default 'loop'."""
    num_loops: int
    """`loop`: additional plays, 1 = plays twice in all; `ping-pong`: round trips; 1 to 10, by default 1."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class PipelineFields(TypedDict, total=False):
    """A video and the operations to run on it, in order."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    operations: Required[Sequence[Step]]
    """Array of operation objects."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class PipelineFromPresetFields(TypedDict, total=False):
    """A video and the workflow preset to run on it."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    preset_name: Required[str]
    """Name of the workflow preset."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class PreviewFields(TypedDict, total=False):
    """A video, the operations to preview, as in a pipeline, and which part of the video to show."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    operations: Required[Sequence[Step]]
    """Array of operation objects."""
    at_seconds: float
    """Time in the video: the frame shown then; after the end, the last one; by default 0.0."""
    seconds: float
    """Duration of the previewed part; 0 shows one frame as an image; 0 to 2, by default 0.0."""


class SaveVideoFields(TypedDict, total=False):
    """A video and its new name."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    custom_name: str | None
    """Custom filename."""


class UpscaleFields(TypedDict, total=False):
    """A video and how to upscale it."""

    video: Required[Source]
    """Path, open file, address, upload or earlier result."""
    model: str
    """Upscale model to use; by default 'RealESRGAN_x4plus'."""
    scale_factor: float
    """Target scale factor; 1 to 4, by default 2.0."""
    tile_size: Literal[0, 256, 512]
    """Tile size for processing (0=auto, 256, 512). Smaller uses less VRAM; by default 0."""
    enhance_face: bool
    """Enable GFPGAN face enhancement; by default False."""
    denoise_strength: float
    """Denoise strength (only for RealESR-general-x4v3): 0 keeps noise, 1 removes most; 0 to 1, by default 0.5."""
    use_streaming: bool
    """Accepted for compatibility; every video is streamed; by default False."""
    callback_url: str | None
    """Webhook URL to receive completion notification."""
    callback_token: str | None
    """Token that the webhook gets as `Authorization: Bearer`."""


class SaveWorkflowPresetFields(TypedDict, total=False):
    """A workflow preset and its name."""

    name: Required[str]
    """Preset name (cannot be "None"); case-sensitive, spaces around it are ignored."""
    preset_data: Required[WorkflowPreset]
    """Preset configuration; omitted parameters have their defaults."""


class DeleteWorkflowPresetFields(TypedDict, total=False):
    """The name of a workflow preset."""

    name: Required[str]
    """Preset name to delete."""
