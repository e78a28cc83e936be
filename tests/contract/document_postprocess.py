"""Phase 2 of the API document: one operation on one video, and joining."""

from __future__ import annotations

from tests.contract.contract_types import CALLBACK, ONE_VIDEO, VIDEO, Answer, Endpoint, Param, Values

UPSCALE_MODELS = (
    "RealESRGAN_x2plus",
    "RealESRGAN_x4plus",
    "RealESRNet_x4plus",
    "RealESR-general-x4v3",
    "RealESRGAN_x4plus_anime_6B",
    "RealESR_AnimeVideo_v3",
)

UPSCALE = Endpoint(
    phase=2,
    method="POST",
    path="/postprocess/upscale",
    name="upscale",
    params=(
        *VIDEO,
        # open: users' own models in the weights folder can be named too
        Param("model", "string", default="RealESRGAN_x4plus", values=Values(listed=UPSCALE_MODELS, closed=False)),
        Param("scale_factor", "number", default=2.0, minimum=1.0, maximum=4.0),
        Param("tile_size", "integer", default=0, values=Values(listed=(0, 256, 512))),
        Param("enhance_face", "boolean", default=False),
        Param("denoise_strength", "number", default=0.5, minimum=0.0, maximum=1.0),
        Param("use_streaming", "boolean", default=False),
        CALLBACK,
    ),
    one_of=ONE_VIDEO,
    examples=(
        {
            "video_url": "https://example.com/video.mp4",
            "model": "RealESRGAN_x4plus",
            "scale_factor": 2.0,
            "enhance_face": True,
        },
        {
            "video_url": "https://example.com/video.mp4",
            "model": "RealESRGAN_x4plus",
            "callback_url": "https://myapp.com/webhooks/video-processed",
        },
        {
            "video_url": "https://example.com/video.mp4",
            "model": "RealESRGAN_x4plus",
            "scale_factor": 2.0,
            "callback_url": "https://myapp.com/webhooks/video-processed",
        },
    ),
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("output_video_base64", "string"),
        Answer("output_path", "string"),
    ),
    response={
        "success": True,
        "message": "Video upscaled successfully",
        "output_video_base64": "AAAAIGZ0eXBpc29t...",
        "output_path": "/outputs/postprocessed_output/temp_processing/video_upscaled_x2_241204_143022.mp4",
    },
    callback="upscale",
    replies_at_once=True,
)

INTERPOLATE = Endpoint(
    phase=2,
    method="POST",
    path="/postprocess/interpolate",
    name="interpolate",
    params=(
        *VIDEO,
        Param("fps_mode", "string", default="2x", values=Values(listed=("No Interpolation", "2x", "4x"))),
        Param("speed_factor", "number", default=1.0, minimum=0.25, maximum=4.0),
        Param("use_streaming", "boolean", default=False),
        CALLBACK,
    ),
    one_of=ONE_VIDEO,
    examples=({"video_url": "https://example.com/video.mp4", "fps_mode": "2x", "speed_factor": 0.5},),
    answers_like="upscale",
    callback="interpolate",
    replies_at_once=True,
)

FILTERS = Endpoint(
    phase=2,
    method="POST",
    path="/postprocess/filters",
    name="filters",
    params=(
        *VIDEO,
        Param("brightness", "integer", default=0, minimum=-100, maximum=100),
        Param("contrast", "number", default=1.0, minimum=0.0, maximum=3.0),
        Param("saturation", "number", default=1.0, minimum=0.0, maximum=3.0),
        Param("temperature", "integer", default=0, minimum=-100, maximum=100),
        Param("sharpen", "number", default=0.0, minimum=0.0, maximum=5.0),
        Param("blur", "number", default=0.0, minimum=0.0, maximum=5.0),
        Param("denoise", "number", default=0.0, minimum=0.0, maximum=10.0),
        Param("vignette", "integer", default=0, minimum=0, maximum=100),
        Param("s_curve_contrast", "integer", default=0, minimum=0, maximum=100),
        Param("film_grain", "integer", default=0, minimum=0, maximum=50),
        # open: presets saved by users can be named too
        Param(
            "preset",
            "string",
            default=None,
            values=Values(listed=("cinematic", "vintage", "cool", "warm", "dramatic"), closed=False),
        ),
        CALLBACK,
    ),
    one_of=ONE_VIDEO,
    examples=(
        {
            "video_url": "https://example.com/video.mp4",
            "brightness": 10,
            "contrast": 1.3,
            "saturation": 0.9,
            "vignette": 15,
        },
    ),
    answers_like="upscale",
    callback="filters",
    replies_at_once=True,
)

LOOP = Endpoint(
    phase=2,
    method="POST",
    path="/postprocess/loop",
    name="loop",
    params=(
        *VIDEO,
        Param("loop_type", "string", default="loop", values=Values(listed=("loop", "ping-pong"))),
        Param("num_loops", "integer", default=1, minimum=1, maximum=10),
        CALLBACK,
    ),
    one_of=ONE_VIDEO,
    examples=({"video_url": "https://example.com/video.mp4", "loop_type": "ping-pong", "num_loops": 3},),
    answers_like="upscale",
    callback="loop",
    replies_at_once=True,
)

JOIN = Endpoint(
    phase=2,
    method="POST",
    path="/postprocess/join",
    name="join",
    params=(
        Param("video_urls", "array", required=True, min_items=2),
        Param("video_urls[]", "string", required=None),
        Param("output_name", "string", default=None),
        CALLBACK,
    ),
    examples=(
        {
            "video_urls": [
                "https://example.com/video1.mp4",
                "https://example.com/video2.mp4",
                "https://example.com/video3.mp4",
            ],
            "output_name": "combined_video",
        },
    ),
    answers_like="upscale",
    callback="join",
    replies_at_once=True,
)

EXPORT = Endpoint(
    phase=2,
    method="POST",
    path="/postprocess/export",
    name="export",
    params=(
        *VIDEO,
        Param("format", "string", default="MP4", values=Values(listed=("MP4", "WebM", "GIF"))),
        Param("quality", "integer", default=85, minimum=0, maximum=100),
        Param("max_width", "integer", default=1024, minimum=256, maximum=4096),
        Param("output_name", "string", default=None),
        CALLBACK,
    ),
    one_of=ONE_VIDEO,
    examples=({"video_url": "https://example.com/video.mp4", "format": "GIF", "quality": 80, "max_width": 480},),
    answers_like="upscale",
    callback="export",
    replies_at_once=True,
)

POSTPROCESS_ENDPOINTS = (UPSCALE, INTERPOLATE, FILTERS, LOOP, JOIN, EXPORT)
