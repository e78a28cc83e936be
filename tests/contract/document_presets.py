"""Phases 3 and 4 of the API document: workflow presets and filter presets."""

from __future__ import annotations

from tests.contract.contract_types import Answer, Endpoint, Param, Values

WORKFLOW_STEPS = ("Upscale", "Frame Adjust", "Filters", "Loop", "Export")

LIST_WORKFLOW_PRESETS = Endpoint(
    phase=3,
    method="GET",
    path="/workflow/presets",
    name="list_workflow_presets",
    answers=(
        Answer("success", "boolean"),
        Answer("presets", "object"),
        Answer("presets.*", "object"),
        Answer("presets.*.active_steps", "array"),
        Answer("presets.*.active_steps[]", "string"),
        Answer("presets.*.params", "object"),
        Answer("message", "string"),
    ),
    response={
        "success": True,
        "presets": {
            "None": {
                "active_steps": [],
                "params": {
                    "upscale_model": "RealESRGAN_x2plus",
                    "upscale_factor": 2.0,
                    "brightness": 0,
                    "contrast": 1,
                },
            },
            "4K Upscale + Cinematic": {
                "active_steps": ["Upscale", "Filters", "Export"],
                "params": {
                    "upscale_model": "RealESRGAN_x4plus",
                    "upscale_factor": 4.0,
                    "brightness": -5,
                    "contrast": 1.3,
                    "vignette": 10,
                },
            },
        },
        "message": "Found 2 workflow preset(s)",
    },
)

SAVE_WORKFLOW_PRESET = Endpoint(
    phase=3,
    method="POST",
    path="/workflow/presets",
    name="save_workflow_preset",
    params=(
        Param("name", "string", required=True),
        Param("preset_data", "object", required=True),
        Param("preset_data.active_steps", "array", required=None),
        # open: older presets spell the steps in lower case
        Param(
            "preset_data.active_steps[]",
            "string",
            required=None,
            values=Values(listed=WORKFLOW_STEPS, closed=False),
        ),
        Param("preset_data.params", "object", required=None),
    ),
    examples=(
        {
            "name": "My Custom Workflow",
            "preset_data": {
                "active_steps": ["Upscale", "Filters"],
                "params": {
                    "upscale_model": "RealESRGAN_x2plus",
                    "upscale_factor": 2.0,
                    "tile_size": 512,
                    "enhance_face": False,
                    "brightness": 5,
                    "contrast": 1.2,
                    "saturation": 1.0,
                },
            },
        },
    ),
)

DELETE_WORKFLOW_PRESET = Endpoint(
    phase=3,
    method="DELETE",
    path="/workflow/presets/{name}",
    name="delete_workflow_preset",
    params=(Param("name", "string", required=True, location="path"),),
    sample={"name": "My Custom Workflow"},
)

LIST_FILTER_PRESETS = Endpoint(
    phase=4,
    method="GET",
    path="/filters/presets",
    name="list_filter_presets",
    answers=(
        Answer("success", "boolean"),
        Answer("presets", "object"),
        Answer("presets.*", "object"),
        Answer("presets.*.brightness", "number"),
        Answer("presets.*.contrast", "number"),
        Answer("presets.*.saturation", "number"),
        Answer("presets.*.temperature", "number"),
        Answer("presets.*.sharpen", "number"),
        Answer("presets.*.blur", "number"),
        Answer("presets.*.denoise", "number"),
        Answer("presets.*.vignette", "number"),
        Answer("presets.*.s_curve_contrast", "number"),
        Answer("presets.*.film_grain_strength", "number"),
        Answer("message", "string"),
    ),
    # the document shortens the last three presets to dots; they are left out here
    response={
        "success": True,
        "presets": {
            "none": {
                "brightness": 0,
                "contrast": 1,
                "saturation": 1,
                "temperature": 0,
                "sharpen": 0,
                "blur": 0,
                "denoise": 0,
                "vignette": 0,
                "s_curve_contrast": 0,
                "film_grain_strength": 0,
            },
            "cinematic": {
                "brightness": -5,
                "contrast": 1.3,
                "saturation": 0.9,
                "temperature": 20,
                "vignette": 10,
                "sharpen": 1.2,
                "s_curve_contrast": 15,
                "film_grain_strength": 5,
            },
            "vintage": {
                "brightness": 5,
                "contrast": 1.1,
                "saturation": 0.7,
                "temperature": 15,
                "vignette": 30,
                "blur": 0.5,
                "s_curve_contrast": 10,
                "film_grain_strength": 10,
            },
        },
        "message": "Found 6 filter preset(s)",
    },
)

SAVE_FILTER_PRESET = Endpoint(
    phase=4,
    method="POST",
    path="/filters/presets",
    name="save_filter_preset",
    params=(
        Param("name", "string", required=True),
        Param("settings", "object", required=True),
        Param("settings.brightness", "number", default=0, minimum=-100, maximum=100),
        Param("settings.contrast", "number", default=1, minimum=0, maximum=3),
        Param("settings.saturation", "number", default=1, minimum=0, maximum=3),
        Param("settings.temperature", "number", default=0, minimum=-100, maximum=100),
        Param("settings.sharpen", "number", default=0, minimum=0, maximum=5),
        Param("settings.blur", "number", default=0, minimum=0, maximum=5),
        Param("settings.denoise", "number", default=0, minimum=0, maximum=10),
        Param("settings.vignette", "number", default=0, minimum=0, maximum=100),
        Param("settings.s_curve_contrast", "number", default=0, minimum=0, maximum=100),
        Param("settings.film_grain_strength", "number", default=0, minimum=0, maximum=50),
    ),
    examples=(
        {
            "name": "my_custom_look",
            "settings": {
                "brightness": 0,
                "contrast": 1.4,
                "saturation": 0.85,
                "temperature": 10,
                "vignette": 20,
                "s_curve_contrast": 12,
            },
        },
    ),
)

DELETE_FILTER_PRESET = Endpoint(
    phase=4,
    method="DELETE",
    path="/filters/presets/{name}",
    name="delete_filter_preset",
    params=(Param("name", "string", required=True, location="path"),),
    sample={"name": "my_custom_look"},
)

PRESET_ENDPOINTS = (
    LIST_WORKFLOW_PRESETS,
    SAVE_WORKFLOW_PRESET,
    DELETE_WORKFLOW_PRESET,
    LIST_FILTER_PRESETS,
    SAVE_FILTER_PRESET,
    DELETE_FILTER_PRESET,
)
