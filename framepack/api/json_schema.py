"""JSON schemas of requests and answers as clients need them: for generated clients, forms and validators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema

from framepack.api.schemas import Request
from framepack.api.workflow import Step

if TYPE_CHECKING:
    from pydantic_core import core_schema

Json = dict[str, Any]

_NULL: Final = {"type": "null"}


class ClientSchemas(GenerateJsonSchema):
    """Describes models to clients, where pydantic describes its own validation.

    A field of a request that need not be sent may be null as well. Its default stands beside its type: next to the
    description, some generators take it for a value that is always there, and others send it, though filters that
    are sent win over those of a preset. Fields of an answer that have a default other than null are always there.
    """

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        """The schema of a field with a default."""
        shown = super().default_schema(schema)
        default = shown.pop("default", None)
        if self.mode == "serialization":
            return shown
        options = [each for each in shown.get("anyOf", [shown]) if each != _NULL]
        if default is not None:
            options[0] = {**options[0], "default": default}
        return {"anyOf": [*options, _NULL]}

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,  # noqa: FBT001 - the signature is pydantic's
    ) -> bool:
        """Whether a field is always there."""
        inner: Any = field["schema"]
        is_always_sent = inner["type"] == "default" and inner.get("default", ...) is not None
        return (self.mode == "serialization" and is_always_sent) or super().field_is_required(field, total)

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        """The schema of a model; that of a step distinguishes the types of steps, and types their parameters."""
        model = schema["cls"]
        if issubclass(model, Step) and model.types.documented:
            return self._steps_schema(model)
        shown = super().model_schema(schema)
        if issubclass(model, Request) and model.sources:
            shown["oneOf"] = [{"required": [name]} for name in model.sources]
        return shown

    def _steps_schema(self, model: type[Step]) -> Json:
        by_type = {
            name: self.generate_inner(each.__pydantic_core_schema__) for name, each in model.types.documented.items()
        }
        mapping = {name: each["$ref"] for name, each in by_type.items()}
        return {
            "title": model.__name__,
            "description": model.__doc__,
            "oneOf": list(by_type.values()),
            "discriminator": {"propertyName": "type", "mapping": mapping},
        }
