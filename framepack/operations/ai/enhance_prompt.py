"""``POST /enhance-prompt``: a short prompt expanded into a detailed one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from framepack.api.names import encodable
from framepack.api.schemas import CallbackRequest, Message, SuccessResponse, whole
from framepack.errors import InvalidField
from framepack.models.language.prompts import split_prompt
from framepack.processing.context import Context
from framepack.processing.operation import operation

_MAX_CHARACTERS = 10_000
_MAX_SEED = 2**32 - 1


def _checked(text: str) -> str:
    if not text.strip() or len(text) > _MAX_CHARACTERS:
        raise ValueError(f"text of 1 to {_MAX_CHARACTERS:,} characters")
    return encodable(text)


class EnhancePromptRequest(CallbackRequest):
    """A prompt to enhance."""

    prompt: Annotated[str, AfterValidator(_checked)] = Field(
        description="The simple prompt to enhance; sections such as `[1s: text]` are enhanced one by one"
    )
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED), BeforeValidator(whole)] | None = Field(
        None, description="The same seed gives the same text"
    )

    def callback_results(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The enhanced prompt, because callbacks have no other field for it."""
        return {"enhanced_prompt": answer["enhanced_prompt"]}


class EnhancePromptResponse(SuccessResponse):
    """The original and the enhanced prompt."""

    original_prompt: str = Field(description="The prompt as it was sent")
    enhanced_prompt: str = Field(description="The enhanced prompt")
    message: Message


@operation(
    "POST",
    "/enhance-prompt",
    examples={
        "Short prompt": {"prompt": "a cat playing with yarn"},
    },
)
def enhance_prompt(request: EnhancePromptRequest, ctx: Context) -> EnhancePromptResponse:
    """Enhance a simple prompt into a detailed, cinematic video prompt."""
    sections = sum(bool(part.text) for part in split_prompt(request.prompt))
    if sections > ctx.settings.max_prompt_sections:
        raise InvalidField(
            f"Too many timed sections in prompt: {sections} (maximum {ctx.settings.max_prompt_sections})."
        )
    with ctx.loaded("the language model", ctx.models.enhancer()) as enhancer:
        enhanced = enhancer(request.prompt, ctx.job, seed=request.seed)
    return EnhancePromptResponse(
        original_prompt=request.prompt, enhanced_prompt=enhanced, message="Prompt enhanced successfully"
    )
