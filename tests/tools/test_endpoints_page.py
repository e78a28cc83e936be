"""The generated page of endpoints leaves nothing blank and leads to every operation."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest

from framepack.models.weights.catalog import CATALOG
from framepack.processing.operation import AnyOperation
from framepack.registry import discover
from tools.endpoints_page import endpoints_page

REGISTRY = discover()
PAGE = endpoints_page(REGISTRY, "Generated.")
SECTIONS = {
    section.partition("`")[2].partition("`")[0]: section
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}
EVERY_OPERATION = pytest.mark.parametrize("operation", list(REGISTRY), ids=lambda operation: operation.name)


@EVERY_OPERATION
def test_every_field_of_an_operation_is_described(operation: AnyOperation) -> None:
    """This includes fields of answers and of nested objects."""
    rows = re.findall(r"^\| `.*\|$", SECTIONS[operation.name], re.MULTILINE)

    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


@EVERY_OPERATION
def test_every_declared_example_is_shown_as_a_job(operation: AnyOperation) -> None:
    """Each is valid JSON with valid fields."""
    shown = [json.loads(each) for each in re.findall(r"```json\n(.*?)```", SECTIONS[operation.name], re.DOTALL)]

    assert shown == [{"input": {"endpoint": operation.name, **each}} for each in operation.examples.values()]
    for each in operation.examples.values():
        assert operation.request.parse(dict(each))


def test_the_overview_links_to_every_section() -> None:
    """The anchors are those that GitHub and GitLab generate."""
    links = re.findall(r"^\| \[`(\w+)`\]\(#([\w-]+)\)", PAGE, re.MULTILINE)
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    fragments = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]

    assert [fragment for _, fragment in links] == fragments
    assert [name for name, _ in links] == list(SECTIONS)


def test_operations_are_grouped_by_family() -> None:
    """Sections are sorted by family, then by route."""
    order = [
        (operation.family, operation.path) for name in SECTIONS for operation in REGISTRY if operation.name == name
    ]

    assert len(order) == len(list(REGISTRY))
    assert all(before <= after for before, after in pairwise(order))


def test_upscale_models_are_listed_at_each_model_field() -> None:
    """All models of the catalog are listed with their scale."""
    for row in CATALOG.group("upscaler"):
        assert f"| `{row.name}` | {row.scale} | {row.description} |" in SECTIONS["upscale"]
