"""What the API document says about all endpoints: key, callbacks, immediate answers, errors."""

from __future__ import annotations

from tests.contract.contract_types import Answer, CallbackField, ErrorAnswer, JsonObject

API_KEY_HEADER = "X-API-Key"

CALLBACK_FIELDS = (
    CallbackField("type", "string", "always"),
    CallbackField("operation", "string", "always"),
    CallbackField("success", "boolean", "always"),
    CallbackField("timestamp", "string", "always"),
    CallbackField("output_path", "string", "success"),
    CallbackField("output_filename", "string", "success"),
    CallbackField("output_url", "string", "success"),
    CallbackField("output_file_size", "integer", "success"),
    CallbackField("output_base64", "string", "success"),
    CallbackField("error", "string", "failure"),
    CallbackField("metadata", "object", "always"),  # null in the failure example
)

CALLBACK_SUCCESS: JsonObject = {
    "type": "postprocess",
    "operation": "upscale",
    "success": True,
    "timestamp": "2024-12-04T14:30:22.123456",
    "output_path": "/outputs/postprocessed_output/video_upscaled_241204.mp4",
    "output_filename": "video_upscaled_241204.mp4",
    "output_url": "http://localhost:8000/outputs/video_upscaled_241204.mp4",
    "output_file_size": 15234567,
    "output_base64": "AAAAIGZ0eXBpc29t...",
    "metadata": {"model": "RealESRGAN_x4plus", "scale_factor": 2.0, "enhance_face": True},
}

CALLBACK_FAILURE: JsonObject = {
    "type": "postprocess",
    "operation": "upscale",
    "success": False,
    "timestamp": "2024-12-04T14:30:22.123456",
    "error": "Model failed to load: insufficient VRAM",
    "metadata": None,
}

CALLBACK_OPERATIONS = {
    "POST /postprocess/upscale": "upscale",
    "POST /postprocess/interpolate": "interpolate",
    "POST /postprocess/filters": "filters",
    "POST /postprocess/loop": "loop",
    "POST /postprocess/join": "join",
    "POST /postprocess/export": "export",
    "POST /postprocess/pipeline": "pipeline",
    "POST /postprocess/batch": "batch",
    "POST /frames/extract": "extract_frames",
    "POST /frames/reassemble": "reassemble_frames",
}

IMMEDIATE_REPLY_ROUTES = (
    "/postprocess/upscale",
    "/postprocess/interpolate",
    "/postprocess/pipeline",
    "/postprocess/filters",
    "/postprocess/loop",
    "/postprocess/export",
    "/postprocess/join",
)

IMMEDIATE_REPLY_FIELDS = (
    Answer("success", "boolean"),
    Answer("message", "string"),
    Answer("processing", "boolean"),
    Answer("callback_url", "string"),
    Answer("note", "string"),
)

IMMEDIATE_REPLY: JsonObject = {
    "success": True,
    "message": "Upscale processing started in background",
    "processing": True,
    "callback_url": "https://myapp.com/webhooks/video-processed",
    "note": (
        "Results will be sent to your callback URL when processing completes. "
        "This may take several minutes for large videos."
    ),
}

ERRORS = (
    ErrorAnswer(status=400, body={"detail": "Either video_base64 or video_url is required"}),
    ErrorAnswer(status=401, body={"detail": "Invalid or missing API key"}),
    ErrorAnswer(status=404, body={"detail": "Preset 'my_preset' not found"}),
    ErrorAnswer(status=409, body={"detail": "Cannot unload model: A video generation job is currently running"}),
    ErrorAnswer(status=500, body={"detail": "Post-processing module not available"}),
)

ENDPOINTS_PER_PHASE = {1: 4, 2: 9, 3: 13, 4: 9}
