"""The API document as data: its 35 endpoints, in the order of their files here."""

from __future__ import annotations

from tests.contract.document_ai import AI_ENDPOINTS
from tests.contract.document_frames import FRAMES_ENDPOINTS
from tests.contract.document_pipeline import PIPELINE_ENDPOINTS
from tests.contract.document_postprocess import POSTPROCESS_ENDPOINTS
from tests.contract.document_presets import PRESET_ENDPOINTS
from tests.contract.document_system import SYSTEM_ENDPOINTS

ENDPOINTS = (
    *AI_ENDPOINTS,
    *POSTPROCESS_ENDPOINTS,
    *PIPELINE_ENDPOINTS,
    *FRAMES_ENDPOINTS,
    *PRESET_ENDPOINTS,
    *SYSTEM_ENDPOINTS,
)
