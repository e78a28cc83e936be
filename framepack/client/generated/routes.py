"""The route of each operation.

Generated from the code by `python -m tools.docs`; do not edit.
"""

from __future__ import annotations

from typing import Final

from framepack.client.runner import Route
from framepack.client.sources import SourceField

AI_STATUS: Final = Route("GET", "/ai/status")
UNLOAD_AI_MODELS: Final = Route("POST", "/ai/unload")
CAPTION_IMAGE: Final = Route("POST", "/caption-image", is_job=True, sources=(SourceField("image", "image_url"),))
ENHANCE_PROMPT: Final = Route("POST", "/enhance-prompt", is_job=True)
LIST_FILTER_PRESETS: Final = Route("GET", "/filters/presets")
SAVE_FILTER_PRESET: Final = Route("POST", "/filters/presets")
DELETE_FILTER_PRESET: Final = Route("DELETE", "/filters/presets/{name}", path_fields=("name",))
EXTRACT_FRAMES: Final = Route("POST", "/frames/extract", is_job=True, sources=(SourceField("video", "video_url"),))
LIST_FRAME_FOLDERS: Final = Route("GET", "/frames/folders")
REASSEMBLE_FRAMES: Final = Route("POST", "/frames/reassemble", is_job=True)
DELETE_FRAME_FOLDER: Final = Route("DELETE", "/frames/{folder}", path_fields=("folder",))
LIST_FRAMES: Final = Route("GET", "/frames/{folder}", path_fields=("folder",))
SAVE_FRAME: Final = Route("POST", "/frames/{folder}/save/{frame}", path_fields=("folder", "frame"))
DELETE_FRAME: Final = Route("DELETE", "/frames/{folder}/{frame}", path_fields=("folder", "frame"))
GET_FRAME: Final = Route("GET", "/frames/{folder}/{frame}", path_fields=("folder", "frame"))
PUT_FRAME: Final = Route(
    "POST",
    "/frames/{folder}/{frame}",
    is_job=True,
    path_fields=("folder", "frame"),
    sources=(SourceField("image", "image_url"),),
)
MODEL_STATUS: Final = Route("GET", "/model/status")
UNLOAD_MODEL: Final = Route("POST", "/model/unload")
ANALYZE: Final = Route("POST", "/postprocess/analyze", is_job=True, sources=(SourceField("video", "video_url"),))
GET_AUTOSAVE: Final = Route("GET", "/postprocess/autosave")
SET_AUTOSAVE: Final = Route("POST", "/postprocess/autosave")
BATCH: Final = Route("POST", "/postprocess/batch", is_job=True, sources=(SourceField("videos", "videos", "objects"),))
EXPORT: Final = Route("POST", "/postprocess/export", is_job=True, sources=(SourceField("video", "video_url"),))
FILTERS: Final = Route("POST", "/postprocess/filters", is_job=True, sources=(SourceField("video", "video_url"),))
INTERPOLATE: Final = Route(
    "POST", "/postprocess/interpolate", is_job=True, sources=(SourceField("video", "video_url"),)
)
JOIN: Final = Route(
    "POST", "/postprocess/join", is_job=True, sources=(SourceField("videos", "video_urls", "several"),)
)
LOOP: Final = Route("POST", "/postprocess/loop", is_job=True, sources=(SourceField("video", "video_url"),))
LIST_MODELS: Final = Route("GET", "/postprocess/models")
PIPELINE: Final = Route("POST", "/postprocess/pipeline", is_job=True, sources=(SourceField("video", "video_url"),))
PIPELINE_FROM_PRESET: Final = Route(
    "POST", "/postprocess/pipeline/from-preset", is_job=True, sources=(SourceField("video", "video_url"),)
)
PREVIEW: Final = Route("POST", "/postprocess/preview", is_once=False, sources=(SourceField("video", "video_url"),))
SAVE_VIDEO: Final = Route("POST", "/postprocess/save", is_job=True, sources=(SourceField("video", "video_url"),))
UPSCALE: Final = Route("POST", "/postprocess/upscale", is_job=True, sources=(SourceField("video", "video_url"),))
CLEAR_TEMP: Final = Route("POST", "/system/clear-temp")
SYSTEM_STATUS: Final = Route("GET", "/system/status")
LIST_WORKFLOW_PRESETS: Final = Route("GET", "/workflow/presets")
SAVE_WORKFLOW_PRESET: Final = Route("POST", "/workflow/presets")
DELETE_WORKFLOW_PRESET: Final = Route("DELETE", "/workflow/presets/{name}", path_fields=("name",))
