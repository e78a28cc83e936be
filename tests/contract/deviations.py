"""Where the code knowingly differs from the API document: each entry with its reason, none without need.

The tests refuse entries that no longer hold, so these tables cannot outlive what they excuse.
"""

from __future__ import annotations

# Documented, not there yet. Must shrink to nothing: an operation that exists may not stand here.
NOT_BUILT_YET = frozenset(
    {
        "enhance_prompt",
        "caption_image",
        "unload_ai_models",
        "ai_status",
        "extract_frames",
        "list_frame_folders",
        "list_frames",
        "delete_frame_folder",
        "delete_frame",
        "save_frame",
        "reassemble_frames",
        "list_workflow_presets",
        "save_workflow_preset",
        "delete_workflow_preset",
        "clear_temp",
        "system_status",
        "list_filter_presets",
        "save_filter_preset",
        "delete_filter_preset",
        "unload_model",
        "model_status",
    }
)

# Operations the document does not know: name -> reason.
BEYOND_THE_DOCUMENT: dict[str, str] = {}

# Request fields the document does not know: operation -> field -> reason.
EXTENSIONS: dict[str, dict[str, str]] = {
    "pipeline_from_preset": {"callback_url": "it takes as long as any pipeline, which has one"},
}

# Bounds where the document names none: operation -> field -> reason.
UNDOCUMENTED_BOUNDS: dict[str, dict[str, str]] = {
    "pipeline": {"operations": "without an operation there is nothing to do"},
    "batch": {
        "operations": "without an operation there is nothing to do",
        "videos": "without a video there is nothing to do it to",
    },
}
