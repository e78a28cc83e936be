"""Where the code knowingly differs from the API document: each entry with its reason, none without need.

The tests refuse entries that no longer hold, so these tables cannot outlive what they excuse.
"""

from __future__ import annotations

# Documented, not there yet. Must shrink to nothing: an operation that exists may not stand here.
NOT_BUILT_YET: frozenset[str] = frozenset()

# Operations the document does not know: name -> reason.
BEYOND_THE_DOCUMENT: dict[str, str] = {
    "preview": "settings are found by looking at one frame, not by waiting for a whole video",
    "get_frame": "the original has it, and without it a frame of a bucket could be listed but not seen",
    "put_frame": "an edited frame could go back only past the API, into the store itself",
}

_ALPHA = {"keep_alpha": "overlays are of no use on black"}
_TOKEN = {"callback_token": "the original takes one since its last version; gateways want the header"}

# Request fields the document does not know: operation -> field -> reason.
EXTENSIONS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("upscale", "interpolate", "filters", "loop", "join", "pipeline", "batch"), _TOKEN),
    "export": _TOKEN | _ALPHA,
    "extract_frames": _TOKEN | _ALPHA,
    "reassemble_frames": {**_TOKEN, "with_audio": "a video is of little use without its audio"},
    "list_frames": {"with_urls": "a page shows the frames, and images of pages cannot send a key"},
    "enhance_prompt": {
        **_TOKEN,
        "seed": "the same seed writes the same text, which users ask for and tests need",
        "callback_url": "the original takes one here, too",
    },
    "caption_image": {**_TOKEN, "callback_url": "the original takes one here, too"},
    "pipeline_from_preset": {**_TOKEN, "callback_url": "it takes as long as any pipeline, which has one"},
}

# Bounds where the document names none: operation -> field -> reason.
UNDOCUMENTED_BOUNDS: dict[str, dict[str, str]] = {
    "extract_frames": {"extraction_rate": "the original's range; 0 and less mean nothing"},
    "reassemble_frames": {"output_fps": "the original's range; 0 and less mean nothing"},
    "pipeline": {"operations": "without an operation there is nothing to do"},
    "batch": {
        "operations": "without an operation there is nothing to do",
        "videos": "without a video there is nothing to do it to",
    },
}
