"""Phase 1 of the API document: AI features."""

from __future__ import annotations

from tests.contract.contract_types import Answer, Endpoint, Param, Values

ENHANCE_PROMPT = Endpoint(
    phase=1,
    method="POST",
    path="/enhance-prompt",
    name="enhance_prompt",
    params=(Param("prompt", "string", required=True),),
    examples=({"prompt": "a cat playing with yarn"},),
    answers=(
        Answer("success", "boolean"),
        Answer("original_prompt", "string"),
        Answer("enhanced_prompt", "string"),
        Answer("message", "string"),
    ),
    response={
        "success": True,
        "original_prompt": "a cat playing with yarn",
        "enhanced_prompt": (
            "A fluffy orange tabby cat playfully batting at a ball of bright red yarn on a sunlit hardwood floor. "
            "The cat's movements are graceful and curious, with soft natural lighting streaming through a nearby "
            "window creating warm highlights on its fur. The yarn unravels in gentle loops as the cat pounces and "
            "tumbles, capturing a moment of pure feline joy and mischief."
        ),
        "message": "Prompt enhanced successfully",
    },
)

CAPTION_IMAGE = Endpoint(
    phase=1,
    method="POST",
    path="/caption-image",
    name="caption_image",
    params=(Param("image_base64", "string"), Param("image_url", "string")),
    one_of=("image_base64", "image_url"),
    examples=({"image_url": "https://example.com/cat.jpg"},),
    answers=(Answer("success", "boolean"), Answer("caption", "string"), Answer("message", "string")),
    response={
        "success": True,
        "caption": "A fluffy orange cat sitting on a windowsill looking outside at birds",
        "message": "Image captioned successfully",
    },
)

UNLOAD_AI_MODELS = Endpoint(
    phase=1,
    method="POST",
    path="/ai/unload",
    name="unload_ai_models",
    params=(Param("model", "string", required=True, values=Values(listed=("enhancer", "captioner", "all"))),),
    examples=({"model": "all"},),
    answers=(
        Answer("success", "boolean"),
        Answer("message", "string"),
        Answer("models_unloaded", "array"),
        Answer("models_unloaded[]", "string"),
    ),
    response={
        "success": True,
        "message": "Successfully unloaded 2 model(s)",
        "models_unloaded": ["enhancer", "captioner"],
    },
)

AI_STATUS = Endpoint(
    phase=1,
    method="GET",
    path="/ai/status",
    name="ai_status",
    answers=(
        Answer("enhancer", "object"),
        Answer("enhancer.loaded", "boolean"),
        Answer("enhancer.model_name", "string"),
        Answer("captioner", "object"),
        Answer("captioner.loaded", "boolean"),
        Answer("captioner.model_name", "string", nullable=True),
    ),
    response={
        "enhancer": {"loaded": True, "model_name": "ibm-granite/granite-3.3-2b-instruct"},
        "captioner": {"loaded": False, "model_name": None},
    },
)

AI_ENDPOINTS = (ENHANCE_PROMPT, CAPTION_IMAGE, UNLOAD_AI_MODELS, AI_STATUS)
