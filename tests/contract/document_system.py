"""Phases 3 and 4 of the API document: the system and the main video model."""

from __future__ import annotations

from tests.contract.contract_types import Answer, Endpoint, ErrorAnswer

CLEAR_TEMP = Endpoint(
    phase=3,
    method="POST",
    path="/system/clear-temp",
    name="clear_temp",
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("files_deleted", "integer"),
        Answer("space_freed_mb", "number"),
    ),
    response={
        "success": True,
        "message": "Cleared 15 temporary file(s), freed 234.50 MB",
        "files_deleted": 15,
        "space_freed_mb": 234.50,
    },
)

SYSTEM_STATUS = Endpoint(
    phase=3,
    method="GET",
    path="/system/status",
    name="system_status",
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("ram", "object"),
        Answer("ram.used_gb", "number"),
        Answer("ram.total_gb", "number"),
        Answer("ram.percent", "number"),
        Answer("vram", "object"),
        Answer("vram.used_gb", "number"),
        Answer("vram.total_gb", "number"),
        Answer("vram.percent", "number"),
        Answer("gpu", "object"),
        Answer("gpu.name", "string"),
        Answer("gpu.utilization", "integer"),
        Answer("gpu.temperature", "integer"),
    ),
    response={
        "success": True,
        "message": "System status retrieved successfully",
        "ram": {"used_gb": 12.5, "total_gb": 32.0, "percent": 39.1},
        "vram": {"used_gb": 8.2, "total_gb": 24.0, "percent": 34.2},
        "gpu": {"name": "NVIDIA GeForce RTX 4090", "utilization": 15, "temperature": 45},
    },
)

UNLOAD_MODEL = Endpoint(
    phase=4,
    method="POST",
    path="/model/unload",
    name="unload_model",
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("model_unloaded", "string"),
        Answer("vram_freed_estimate", "string"),
    ),
    response={
        "success": True,
        "message": "Model 'HunyuanVideoTransformer3DModel' unloaded successfully. VRAM freed.",
        "model_unloaded": "HunyuanVideoTransformer3DModel",
        "vram_freed_estimate": "~12-24 GB (varies by model)",
    },
    errors=(
        ErrorAnswer(
            status=409,
            body={"detail": "Cannot unload model: A video generation job is currently running"},
        ),
    ),
)

MODEL_STATUS = Endpoint(
    phase=4,
    method="GET",
    path="/model/status",
    name="model_status",
    answers=(
        Answer("model_loaded", "boolean"),
        Answer("model_name", "string"),
        Answer("vram_usage", "number"),
    ),
    response={"model_loaded": True, "model_name": "HunyuanVideoTransformer3DModel", "vram_usage": 14.5},
)

SYSTEM_ENDPOINTS = (CLEAR_TEMP, SYSTEM_STATUS, UNLOAD_MODEL, MODEL_STATUS)
