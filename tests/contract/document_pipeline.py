"""Phases 2 to 4 of the API document: several steps in one job, and the rest of ``/postprocess``."""

from __future__ import annotations

from tests.contract.contract_types import CALLBACK, ONE_VIDEO, VIDEO, Answer, Endpoint, Param, Values

STEP_TYPES = ("upscale", "interpolate", "filters", "loop", "export")

STEPS = (
    Param("operations", "array", required=True),
    Param("operations[]", "object", required=None),
    Param("operations[].type", "string", required=True, values=Values(listed=STEP_TYPES)),
    Param("operations[].params", "object"),
)

PIPELINE = Endpoint(
    phase=2,
    method="POST",
    path="/postprocess/pipeline",
    name="pipeline",
    params=(*VIDEO, *STEPS, CALLBACK),
    one_of=ONE_VIDEO,
    examples=(
        {
            "video_url": "https://example.com/video.mp4",
            "operations": [
                {"type": "upscale", "params": {"model": "RealESRGAN_x2plus", "scale_factor": 2.0}},
                {"type": "filters", "params": {"brightness": 5, "contrast": 1.2}},
                {"type": "export", "params": {"format": "MP4", "quality": 90}},
            ],
        },
    ),
    answers_like="upscale",
    callback="pipeline",
    replies_at_once=True,
)

ANALYZE = Endpoint(
    phase=2,
    method="POST",
    path="/postprocess/analyze",
    name="analyze",
    params=VIDEO,
    one_of=ONE_VIDEO,
    sample={"video_url": "https://example.com/video.mp4"},
    answers=(
        Answer("success", "boolean"),
        Answer("analysis", "object"),
        Answer("analysis.filename", "string"),
        Answer("analysis.file_size", "string"),
        Answer("analysis.duration", "string"),
        Answer("analysis.resolution", "string"),
        Answer("analysis.fps", "number"),
        Answer("analysis.codec", "string"),
        Answer("analysis.bitrate", "string"),
        Answer("analysis.has_audio", "boolean"),
        Answer("analysis.audio_codec", "string"),
        Answer("analysis.total_frames", "integer"),
    ),
    response={
        "success": True,
        "analysis": {
            "filename": "video.mp4",
            "file_size": "15.2 MB",
            "duration": "4.5 seconds",
            "resolution": "1280x720",
            "fps": 30.0,
            "codec": "h264",
            "bitrate": "28.1 Mbps",
            "has_audio": True,
            "audio_codec": "aac",
            "total_frames": 135,
        },
    },
)

LIST_MODELS = Endpoint(
    phase=2,
    method="GET",
    path="/postprocess/models",
    name="list_models",
    answers=(
        Answer("success", "boolean"),
        Answer("models", "object"),
        Answer("models.*", "object"),
        Answer("models.*.scale", "integer"),
        Answer("models.*.description", "string"),
    ),
    response={
        "success": True,
        "models": {
            "RealESRGAN_x2plus": {"scale": 2, "description": "General purpose 2x upscaler, balanced quality"},
            "RealESRGAN_x4plus": {"scale": 4, "description": "General purpose 4x upscaler, sharp results"},
            "RealESRGAN_x4plus_anime_6B": {"scale": 4, "description": "Optimized for anime content"},
        },
    },
)

PIPELINE_FROM_PRESET = Endpoint(
    phase=3,
    method="POST",
    path="/postprocess/pipeline/from-preset",
    name="pipeline_from_preset",
    params=(
        Param("preset_name", "string", required=True, location="query"),
        Param("video_url", "string", location="query"),
        Param("video_base64", "string", location="query"),
    ),
    one_of=("video_url", "video_base64"),
    # the query of the documented curl command, decoded
    examples=({"preset_name": "4K Upscale + Cinematic", "video_url": "https://example.com/video.mp4"},),
    answers_like="upscale",
)

BATCH = Endpoint(
    phase=4,
    method="POST",
    path="/postprocess/batch",
    name="batch",
    params=(
        Param("videos", "array", required=True),
        Param("videos[]", "object", required=None),
        # named by the example only
        Param("videos[].video_url", "string", required=None),
        Param("videos[].video_base64", "string", required=None),
        *STEPS,
        CALLBACK,
    ),
    examples=(
        {
            "videos": [
                {"video_url": "https://example.com/video1.mp4"},
                {"video_url": "https://example.com/video2.mp4"},
                {"video_base64": "AAAAIGZ0eXBpc29t..."},
            ],
            "operations": [
                {"type": "upscale", "params": {"model": "RealESRGAN_x2plus", "scale_factor": 2.0}},
                {"type": "filters", "params": {"brightness": 5, "contrast": 1.2}},
            ],
        },
    ),
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("total_videos", "integer"),
        Answer("successful", "integer"),
        Answer("failed", "integer"),
        Answer("results", "array"),
        Answer("results[]", "object"),
        Answer("results[].index", "integer"),
        Answer("results[].success", "boolean"),
        Answer("results[].input_source", "string"),
        Answer("results[].output_video_base64", "string"),
        Answer("results[].output_path", "string"),
    ),
    response={
        "success": True,
        "message": "Batch processing complete: 3 successful, 0 failed",
        "total_videos": 3,
        "successful": 3,
        "failed": 0,
        "results": [
            {
                "index": 0,
                "success": True,
                "input_source": "https://example.com/video1.mp4",
                "output_video_base64": "AAAAIGZ0eXBpc29t...",
                "output_path": "/outputs/video1_processed.mp4",
            },
            {
                "index": 1,
                "success": True,
                "input_source": "https://example.com/video2.mp4",
                "output_video_base64": "AAAAIGZ0eXBpc29t...",
                "output_path": "/outputs/video2_processed.mp4",
            },
            {
                "index": 2,
                "success": True,
                "input_source": "base64",
                "output_video_base64": "AAAAIGZ0eXBpc29t...",
                "output_path": "/outputs/video3_processed.mp4",
            },
        ],
    },
    callback="batch",
)

SAVE_VIDEO = Endpoint(
    phase=4,
    method="POST",
    path="/postprocess/save",
    name="save_video",
    params=(*VIDEO, Param("custom_name", "string")),
    one_of=ONE_VIDEO,
    sample={"video_url": "https://example.com/video.mp4", "custom_name": "my_video"},
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("saved_path", "string"),
        Answer("filename", "string"),
    ),
    response={
        "success": True,
        "message": "Video saved to permanent storage successfully",
        "saved_path": "/outputs/postprocessed_output/saved_videos/my_video.mp4",
        "filename": "my_video.mp4",
    },
)

AUTOSAVE_ANSWERS = (
    Answer("success", "boolean"),
    Answer("message", "string"),
    Answer("autosave_enabled", "boolean"),
)

GET_AUTOSAVE = Endpoint(
    phase=4,
    method="GET",
    path="/postprocess/autosave",
    name="get_autosave",
    answers=AUTOSAVE_ANSWERS,
    response={"success": True, "message": "Autosave is enabled", "autosave_enabled": True},
)

SET_AUTOSAVE = Endpoint(
    phase=4,
    method="POST",
    path="/postprocess/autosave",
    name="set_autosave",
    params=(Param("enabled", "boolean", required=True),),
    examples=({"enabled": True},),
    answers=AUTOSAVE_ANSWERS,
    response={"success": True, "message": "Autosave enabled successfully", "autosave_enabled": True},
)

PIPELINE_ENDPOINTS = (
    PIPELINE,
    ANALYZE,
    LIST_MODELS,
    PIPELINE_FROM_PRESET,
    BATCH,
    SAVE_VIDEO,
    GET_AUTOSAVE,
    SET_AUTOSAVE,
)
