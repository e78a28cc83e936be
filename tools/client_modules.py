"""Makes the generated modules of ``framepack.client``: fields, answers, routes and methods of all operations.

They come from the JSON schemas of the operations' own models, so that a client needs none of what the models import.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from framepack.processing.operation import AnyOperation
    from framepack.registry import Registry

Json = Mapping[str, Any]

_WIDTH: Final = 108
_SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_STORED: Final = ("output_path", "saved_path", "path")
"""Fields that make an answer one with a file; see `framepack.client.answer`."""
_LAST: Final = ("callback_url", "callback_token")
_STEP: Final = "Step"
_HEAD: Final = '"""{about}\n\n{generated}\n"""\n\nfrom __future__ import annotations\n\n{imports}\n'


def client_modules(registry: Registry, generated: str) -> dict[str, str]:
    """The text of each module, by its name.

    Args:
        registry: The operations.
        generated: The sentence that says how the modules were generated.
    """
    modules = {
        "requests": _requests(registry),
        "answers": _answers(registry),
        "routes": _routes(registry),
        "operations": _methods(registry, is_async=False),
        "async_operations": _methods(registry, is_async=True),
    }
    return {
        f"{name}.py": _formatted(_HEAD.format(about=about, generated=generated, imports=_used(imports, body)) + body)
        for name, (about, imports, body) in modules.items()
    }


def _used(imports: str, body: str) -> str:
    """Imports without the names that the body does not use."""
    lines = []
    for line in imports.splitlines():
        start, _, names = line.partition(" import ")
        used = [name for name in names.split(", ") if name in body]
        lines += [f"{start} import {', '.join(used)}" if used else ""] if names else [line]
    return "\n".join(lines) + "\n"


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", "generated.py", "-"]
    root = Path(__file__).parent.parent
    return subprocess.run(command, cwd=root, input=text, capture_output=True, text=True, check=True).stdout


def _requests(registry: Registry) -> tuple[str, str, str]:
    """The fields of every operation and step as typed dictionaries."""
    steps = {name: registry.effects[name].params.model_json_schema() for name in registry.steps.names}
    models: dict[str, Json] = {}
    for operation in registry:
        models |= operation.request.model_json_schema().get("$defs", {})
    text = ""
    for name, model in sorted(models.items()):
        if name != _STEP and not _source(model.get("properties", {})):
            text += _typed_dict(name, model)
    for name, params in steps.items():
        text += _typed_dict(f"{_camel(name)}Params", params)
        text += f'\nclass {_camel(name)}Step(TypedDict):\n    """A step of a pipeline: {name}."""\n\n'
        text += f"    type: Literal[{name!r}]\n    params: NotRequired[{_camel(name)}Params]\n\n"
    text += f"\n{_STEP}: TypeAlias = {' | '.join(f'{_camel(name)}Step' for name in steps)}\n\n"
    text += "".join(_typed_dict(_fields_of(each), each.request.model_json_schema()) for each in registry)
    imports = (
        "from collections.abc import Mapping, Sequence\n"
        "from typing import Any, Literal, NotRequired, Required, TypeAlias, TypedDict\n\n"
        "from framepack.client.sources import Source\n"
    )
    return "The fields of each operation.", imports, text


def _typed_dict(name: str, model: Json) -> str:
    """A typed dictionary; empty if it has no fields. Sources have one field instead of two or more."""
    properties = dict(model.get("properties", {}))
    if not properties:
        return ""
    required = set(model.get("required", ()))
    lines = [f"\nclass {name}(TypedDict, total=False):", f'    """{_sentence(model.get("description", name))}"""', ""]
    for field, wire, shape in _sources(model):
        given = "Source" if shape == "one" else "Sequence[Source]"
        lines += [f"    {field}: Required[{given}]", _doc("Path, open file, address, upload or earlier result")]
        for each in (wire, wire.replace("_url", "_base64")):
            properties.pop(each, None)
    for field in _ordered(properties, required):
        schema = properties[field]
        kind = _type(schema, items="Sequence[{}]", entries="Mapping[str, {}]")
        lines += [f"    {field}: {f'Required[{kind}]' if field in required else kind}", _doc(_described(schema))]
    return "\n".join([*lines, "", ""])


def _sources(model: Json) -> Iterator[tuple[str, str, str]]:
    """Name, name in the API and shape of the fields that hold sources."""
    properties, models = model.get("properties", {}), model.get("$defs", {})
    if single := _source(properties):
        yield single, f"{single}_url", "one"
    for name, schema in properties.items():
        items = schema.get("items", {})
        if name.endswith("_urls") and schema.get("type") == "array":
            yield f"{name.removesuffix('_urls')}s", name, "several"
        elif _source(models.get(str(items.get("$ref", "")).rpartition("/")[2], {}).get("properties", {})):
            yield name, name, "objects"


def _source(properties: Json) -> str:
    """The kind of source, such as ``video``, that is given as an address or as base64; empty if none is."""
    kinds = (name.removesuffix("_base64") for name in properties if name.endswith("_base64"))
    return next((kind for kind in kinds if f"{kind}_url" in properties), "")


def _described(schema: Json) -> str:
    """The description of a field, with its range and default."""
    text = str(schema.get("description", ""))
    low, high, default = schema.get("minimum"), schema.get("maximum"), schema.get("default")
    more = [f"{low:g} to {high:g}"] if low is not None and high is not None else []
    more += [] if default is None else [f"by default {default!r}"]
    return f"{text.rstrip('.')}; {', '.join(more)}" if more else text


def _type(schema: Json, *, items: str, entries: str) -> str:
    """The annotation for a schema.

    Args:
        schema: The schema.
        items: The annotation of an array, with braces for that of its items.
        entries: The annotation of an object, likewise.
    """
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema or "const" in schema:
        return f"Literal[{', '.join(map(repr, schema.get('enum') or [schema['const']]))}]"
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " | ".join(dict.fromkeys(_type(each, items=items, entries=entries) for each in options))
    kind = schema.get("type")
    if kind == "array":
        return items.format(_type(schema.get("items", {}), items=items, entries=entries))
    if kind == "object":
        inner = schema.get("additionalProperties")
        return entries.format(_type(inner, items=items, entries=entries) if isinstance(inner, Mapping) else "Any")
    return _SCALARS.get(str(kind), "Any")


def _answers(registry: Registry) -> tuple[str, str, str]:
    """Every answer as a model, and those with a file once more with their downloads."""
    models: dict[str, Json] = {}
    for operation in registry:
        schema = operation.response.model_json_schema(mode="serialization")
        models |= {**schema.get("$defs", {}), operation.response.__name__: schema}
    text = "".join(_model(name, model) for name, model in models.items())
    for name in dict.fromkeys(each.response.__name__ for each in registry):
        if _is_stored(models[name]):
            about = _sentence(models[name].get("description", name))
            for prefix in ("", "Async"):
                text += f'\nclass {prefix}{_result(name)}({name}, {prefix}Download):\n    """{about}"""\n\n'
    imports = (
        "from typing import Literal\n\n"
        "from framepack.client.answer import Answer, AsyncDownload, Download, StoredFile\n"
    )
    return "The answers of each operation.", imports, text


def _model(name: str, model: Json) -> str:
    base = "StoredFile" if _is_stored(model) else "Answer"
    lines = [f"\nclass {name}({base}):", f'    """{_sentence(model.get("description", name))}"""', ""]
    for field, schema in model.get("properties", {}).items():
        kind = _type(schema, items="list[{}]", entries="dict[str, {}]")
        is_required = field in model.get("required", ())
        default = "" if is_required else f" = {schema.get('default')!r}"
        optional = kind if is_required or "None" in kind or schema.get("default") is not None else f"{kind} | None"
        lines += [f"    {field}: {optional}{default}", _doc(schema.get("description", ""))]
    return "\n".join([*lines, "", ""])


def _is_stored(model: Json) -> bool:
    return any(name in model.get("properties", {}) for name in _STORED)


def _result(response: str) -> str:
    return f"{response.removesuffix('Response')}Result"


def _routes(registry: Registry) -> tuple[str, str, str]:
    """The route of every operation."""
    text = ""
    for each in registry:
        sources = [
            f"SourceField({name!r}, {wire!r}{'' if shape == 'one' else f', {shape!r}'})"
            for name, wire, shape in _sources(each.request.model_json_schema())
        ]
        more = {
            "is_job": "True" if _is_job(each) else "",
            "is_once": "" if each.response.is_kept else "False",
            "path_fields": str(each.path_fields) if each.path_fields else "",
            "sources": f"({', '.join(sources)},)" if sources else "",
        }
        arguments = [
            repr(each.method),
            repr(each.path),
            *(f"{name}={value}" for name, value in more.items() if value),
        ]
        text += f"{each.name.upper()}: Final = Route({', '.join(arguments)})\n"
    imports = (
        "from typing import Final\n\n"
        "from framepack.client.runner import Route\nfrom framepack.client.sources import SourceField\n"
    )
    return "The route of each operation.", imports, text


def _methods(registry: Registry, *, is_async: bool) -> tuple[str, str, str]:
    """One method for every operation, and one that starts a job for those that can run as one."""
    prefix, other = ("Async", "AsyncJob") if is_async else ("Sync", "Job")
    public = "Async" if is_async else ""
    text = (
        f'\nclass {public}Operations({prefix}Runner):\n    """The operations; each waits and returns its result."""\n'
    )
    text += "".join(_method(each, is_async=is_async) for each in registry)
    text += f"\n\nclass {public}Submissions({prefix}Submitter):\n"
    text += '    """The operations as jobs; each returns at once."""\n'
    text += "".join(_method(each, is_async=is_async, job=other) for each in registry if _is_job(each))
    imports = (
        "from typing import Unpack\n\nfrom framepack.client.generated import answers, requests, routes\n"
        f"from framepack.client.jobs import {other}\n"
        f"from framepack.client.runner import {prefix}Runner, {prefix}Submitter\n"
    )
    about = "The methods of the client for asyncio." if is_async else "The methods of the blocking client."
    return about, imports, text


def _method(operation: AnyOperation, *, is_async: bool, job: str = "") -> str:
    """One method.

    Args:
        operation: The operation.
        is_async: Whether it is a coroutine.
        job: The handle that it returns; empty if it waits and returns the result.
    """
    response = operation.response
    answer = f"answers.{response.__name__}"
    if _is_stored(response.model_json_schema(mode="serialization")):
        answer = f"answers.{'Async' if is_async else ''}{_result(response.__name__)}"
    has_fields = bool(operation.request.model_fields)
    has_key = operation.method != "GET" and response.is_kept
    parameters = ["self", "*"] if has_key else ["self"]
    parameters += ["idempotency_key: str | None = None"] * has_key
    parameters += [f"**fields: Unpack[requests.{_fields_of(operation)}]"] * has_fields
    arguments = [f"routes.{operation.name.upper()}", answer, "fields" if has_fields else "{}"]
    arguments += ["idempotency_key"] * has_key
    call = f"self.{'_submit' if job else '_run'}({', '.join(arguments)})"
    result = f"{job}[{answer}]" if job else answer
    return (
        f"\n    {'async ' * is_async}def {operation.name}({', '.join(parameters)}) -> {result}:\n"
        f"{_method_doc(operation)}\n"
        f"        return {'await ' * is_async}{call}\n"
    )


def _method_doc(operation: AnyOperation) -> str:
    """The docstring of a method: what it does, and the names of its fields."""
    model = operation.request.model_json_schema()
    names = [name for name, _, _ in _sources(model)]
    hidden = {each for name, wire, _ in _sources(model) for each in (name, wire, wire.replace("_url", "_base64"))}
    names += [
        name for name in _ordered(model.get("properties", {}), set(model.get("required", ()))) if name not in hidden
    ]
    if not names:
        return f'        """{operation.summary}"""'
    lines = wrap(f"Fields: {', '.join(names)}.", _WIDTH - 4)
    return "\n        ".join([f'        """{operation.summary}', "", *lines, '"""']).replace("\n        \n", "\n\n")


def _ordered(properties: Json, required: set[str]) -> list[str]:
    """The names of fields: required ones first, those of callbacks last."""
    return sorted(properties, key=lambda each: (each in _LAST, each not in required))


def _is_job(operation: AnyOperation) -> bool:
    return operation.needs in {"worker", "light"} and operation.response.is_kept


def _fields_of(operation: AnyOperation) -> str:
    return f"{_camel(operation.name)}Fields"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _sentence(text: str) -> str:
    line = text.splitlines()[0]
    return line if line.endswith(".") else f"{line}."


def _doc(text: str) -> str:
    """The docstring of an attribute."""
    if not text:
        return ""
    lines: Iterable[str] = wrap(_sentence(text), _WIDTH)
    return '    """' + "\n    ".join(lines) + '"""'
