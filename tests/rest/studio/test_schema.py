"""The studio's forms come from the server's OpenAPI document, whatever of OpenAPI it uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from framepack.registry import discover
from tests.support.control_plane import ROOT
from tests.support.node import needs_node, node
from tests.support.rest_server import LocalServer

pytestmark = needs_node

SCRIPT: Final = """
import { readFileSync } from "node:fs";
import { operationsOf, stepTypesOf } from "./schema.js";
const document = JSON.parse(readFileSync(process.argv[2], "utf8"));
const operations = operationsOf(document);
console.log(JSON.stringify({ operations, steps: stepTypesOf(document, operations) }));
"""
COLOR: Final = {"type": "string", "enum": ["red", "blue"]}
FIELDS: Final[dict[str, Any]] = {
    "video_url": {"type": "string"},
    "callback_url": {"type": "string"},
    "old": {"type": "boolean", "deprecated": True},
    "nothing": {"type": "object"},
    "whole": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "How many"},
    "maybe": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}], "title": "Maybe"},
    "color": {"allOf": [{"$ref": "#/components/schemas/Color"}], "default": "red"},
    "either": {"oneOf": [{"const": "a"}, {"const": "b"}]},
    "listed": {"type": "string", "x-choices": {"path": "/list", "member": "all"}},
}


def read(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the page makes of a document."""
    studio = ROOT / "framepack" / "rest" / "studio"
    (folder / "schema.js").write_text((studio / "schema.js").read_text())
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "read.js").write_text(SCRIPT)
    (folder / "document.json").write_text(json.dumps(document))
    done = node("read.js", "document.json", folder=folder)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def route(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A route whose body has this schema, and which makes a video."""
    video = {"type": "object", "properties": {"output_url": {"type": "string"}}}
    return {
        "post": {
            "operationId": name,
            "summary": f"Do {name}.",
            "requestBody": {"content": {"application/json": {"schema": schema}}},
            "responses": {"200": {"content": {"application/json": {"schema": video}}}},
        }
    }


def document(items: dict[str, Any]) -> dict[str, Any]:
    """A document with one operation and pipelines of such steps."""
    return {
        "paths": {
            "/pipe": route(
                "pipe", {"properties": {"video_url": {}, "operations": {"type": "array", "items": items}}}
            ),
            "/draw": route("draw", {"$ref": "#/components/schemas/Draw"}),
        },
        "components": {
            "schemas": {
                "Draw": {"properties": FIELDS, "required": ["video_url", "listed"]},
                "Color": COLOR,
                "DrawStep": {
                    "properties": {
                        "type": {"const": "draw"},
                        "params": {"$ref": "#/components/schemas/DrawParams"},
                    }
                },
                "DrawParams": {"properties": {"whole": FIELDS["whole"]}},
                "WaitStep": {"properties": {"type": {"enum": ["wait", "Wait"]}, "params": {"type": "object"}}},
            }
        },
    }


def test_fields_have_the_kind_range_and_default_of_their_schemas(tmp_path: Path) -> None:
    """References, merged parts, `null` among alternatives; sources, callbacks and deprecated fields are not shown."""
    found = read(document({"type": "object"}), tmp_path)["operations"][0]
    fields = {each["name"]: each for each in found["fields"]}

    assert (found["name"], found["title"], found["takes"], found["givesVideo"]) == ("pipe", "Pipe", "video", True)
    found = read(document({"type": "object"}), tmp_path)["operations"][1]
    fields = {each["name"]: each for each in found["fields"]}
    assert list(fields) == ["whole", "maybe", "color", "either", "listed"]
    assert {name: each["kind"] for name, each in fields.items()} == {
        "whole": "number",
        "maybe": "number",
        "color": "choice",
        "either": "choice",
        "listed": "text",
    }
    assert (fields["whole"]["min"], fields["whole"]["max"], fields["whole"]["initial"]) == (1, 9, 3)
    assert (fields["whole"]["help"], fields["whole"]["isWhole"], fields["maybe"]["isWhole"]) == (
        "How many",
        True,
        False,
    )
    assert (fields["color"]["choices"], fields["color"]["initial"]) == (["red", "blue"], "red")
    assert fields["either"]["choices"] == ["a", "b"]
    assert fields["listed"]["listing"] == {"path": "/list", "member": "all"}
    assert [name for name, each in fields.items() if each["isRequired"]] == ["listed"]


def test_steps_that_are_told_apart_by_their_type_have_the_fields_of_their_parameters(tmp_path: Path) -> None:
    """A name with other spellings is the first one."""
    items = {
        "oneOf": [{"$ref": "#/components/schemas/DrawStep"}, {"$ref": "#/components/schemas/WaitStep"}],
        "discriminator": {"propertyName": "type"},
    }

    steps = read(document(items), tmp_path)["steps"]

    assert [(each["name"], [field["name"] for field in each["fields"]]) for each in steps] == [
        ("draw", ["whole"]),
        ("wait", []),
    ]


def test_the_servers_own_document_gives_every_operation_on_a_clip_with_all_its_fields(
    server: LocalServer, tmp_path: Path
) -> None:
    """A new operation or field appears by itself."""
    registry = discover()
    found = read(server.get("/openapi.json").json(), tmp_path)
    hidden = {"video_url", "video_urls", "video_base64", "image_url", "image_base64", "operations", "use_streaming"}
    hidden |= {"callback_url", "callback_token"}

    names = [each["name"] for each in found["operations"]]
    assert names[:6] == ["upscale", "interpolate", "filters", "loop", "export", "pipeline"]
    assert set(names[6:]) == {"join", "extract_frames", "caption_image", "enhance_prompt", "pipeline_from_preset"}
    for each in found["operations"]:
        fields = {field["name"] for field in each["fields"]}
        assert fields == set(registry.find(each["name"]).request.model_fields) - hidden, each["name"]
    assert {each["name"] for each in found["steps"]} == set(registry.effects)
    for each in found["steps"]:
        own = {field["name"] for field in each["fields"]}
        assert own == set(registry.effects[each["name"]].params.model_fields) - hidden, each["name"]


@pytest.mark.parametrize(
    ("operation", "field", "listing"),
    [
        ("upscale", "model", {"path": "/postprocess/models", "member": "models"}),
        ("filters", "preset", {"path": "/filters/presets", "member": "presets"}),
        ("pipeline_from_preset", "preset_name", {"path": "/workflow/presets", "member": "presets"}),
    ],
)
def test_fields_say_where_the_server_lists_their_values(
    server: LocalServer, tmp_path: Path, operation: str, field: str, listing: dict[str, str]
) -> None:
    """There the values are, by name."""
    found = read(server.get("/openapi.json").json(), tmp_path)["operations"]
    fields = next(each["fields"] for each in found if each["name"] == operation)

    assert next(each["listing"] for each in fields if each["name"] == field) == listing
    if operation != "upscale":  # which asks the worker
        assert isinstance(server.get(listing["path"]).json()[listing["member"]], dict)
