"""Writes what is generated: documentation, charts, tables of README and notices, weights.json, parts of the client.

Run ``python -m tools.docs`` after changing an operation, a setting, a model or the results of benchmarks. A test
fails if it was forgotten.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from framepack.api.filter_settings import CONTROLS
from framepack.environment import variable
from framepack.errors import published
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.language_catalog import REPOSITORIES
from framepack.registry import Registry, discover
from framepack.rest.metrics import METRICS
from framepack.settings import GROUPS
from tools.client_modules import client_modules
from tools.code_map import contracts, layers, map_of_modules, map_of_packages
from tools.endpoints_page import endpoints_page
from tools.formats_page import formats_page
from tools.job_schema import job_schema
from tools.ratio_chart import ratio_chart

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

_ROOT = Path(__file__).parent.parent
_GENERATED = "Generated from the code by `python -m tools.docs`; do not edit."


def pages(root: Path = _ROOT) -> dict[Path, str]:
    """The content of every generated file, by its path."""
    registry = discover()
    client = client_modules(registry, _GENERATED)
    results = (root / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    architecture = {"packages": map_of_packages, "modules": map_of_modules, "layers": layers, "contracts": contracts}
    return {
        root / "README.md": _filled(root / "README.md", endpoints=family_table(registry)),
        root / "docs" / "architecture.md": _filled(
            root / "docs" / "architecture.md", **{name: write(root) for name, write in architecture.items()}
        ),
        root / "docs" / "endpoints.md": endpoints_page(registry, _GENERATED),
        root / "docs" / "job.schema.json": job_schema(registry, _GENERATED),
        root / "docs" / "formats.md": formats_page(_GENERATED),
        root / "docs" / "settings.md": settings_page(),
        root / "docs" / "errors.md": errors_page(),
        root / "docs" / "metrics.md": metrics_page(),
        root / "docs" / "filters.md": _filled(root / "docs" / "filters.md", controls=controls_table()),
        root / "THIRD_PARTY_NOTICES.md": _filled(root / "THIRD_PARTY_NOTICES.md", weights=weights_table()),
        root / "builder" / "weights.json": weights_for_image(),
        root / "docs" / "speed.svg": ratio_chart(results),
        **{root / "framepack" / "client" / "generated" / name: text for name, text in client.items()},
    }


def family_table(registry: Registry) -> str:
    """One row per family of operations."""
    families: dict[str, list[str]] = {}
    for each in registry:
        families.setdefault(each.family, []).append(f"`{each.name}`")
    rows = [f"| {family} | {', '.join(names)} |" for family, names in sorted(families.items())]
    return "\n".join(["| family | endpoints |", "|---|---|", *rows])


def weights_for_image() -> str:
    """The files of weights for the image build, which fetches them before any package is installed."""
    rows = [
        {
            "filename": weights.filename,
            "model": row.name,
            "group": row.group,
            "urls": weights.urls,
            "size_bytes": weights.size_bytes,
            "sha256": weights.sha256,
        }
        for row in CATALOG.rows
        for weights in row.weights
    ]
    return json.dumps(rows, indent=2) + "\n"


def settings_page() -> str:
    """The reference of all environment variables, by topic."""
    head = (
        f"# Settings\n\n{_GENERATED}\n\n"
        "All settings are environment variables, read once at start. A blank variable counts as unset. A wrong\n"
        "value ends the process with exit status 2 and one line per wrong variable. Unknown `FRAMEPACK_` variables\n"
        "cause a warning. Relative paths are resolved against the current folder at start.\n"
    )
    return head + "".join(_settings_section(group) for group in GROUPS)


def errors_page() -> str:
    """The reference of all errors."""
    rows = [(each.status, each.code, (each.__doc__ or "").strip().splitlines()[0]) for each in published()]
    table = [f"| {status} | `{code}` | {meaning} |" for status, code, meaning in sorted(rows)]
    head = (
        f"# Errors\n\n{_GENERATED}\n\n"
        'Every error is one sentence with a stable code. A job\'s answer is `{"error": sentence, "code": ...,\n'
        '"status": ...}`; the REST server answers with the status and `{"detail": sentence, "code": ...}`.\n'
    )
    return "\n".join([head, "| status | code | meaning |", "|---|---|---|", *table, ""])


def metrics_page() -> str:
    """The reference of all metrics of the REST server."""
    rows = [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.description} |"
        for each in METRICS
    ]
    head = (
        f"# Metrics\n\n{_GENERATED}\n\n"
        "`GET /metrics` of the REST server, for Prometheus; see [rest.md](rest.md#operate-it). Values come from the\n"
        "server's memory, so that a request for them is quick while the store or the worker is away. `process_*`\n"
        "describe the server process. Lanes are `worker`, and `light` for operations without models.\n"
    )
    return "\n".join([head, "| metric | type | labels | meaning |", "|---|---|---|---|", *rows, ""])


def controls_table() -> str:
    """One row per control, in the order in which they are applied, and a sentence about whole numbers."""
    rows = []
    for each in sorted(CONTROLS, key=lambda control: control.traits.stage):
        bounds = f"{each.low:g}..{each.high:g}"
        rows.append(f"| `{each.request_name}` | {bounds} | {each.default:g} | {each.traits.does} |")
    *most, last = (f"`{control.request_name}`" for control in CONTROLS if control.traits.is_whole)
    whole = (
        "Presets, and steps in pipelines, may have fractions of every control; `POST /postprocess/filters` itself\n"
        f"takes {', '.join(most)} and {last} as whole numbers."
    )
    return "\n".join(["| control | range | default | does |", "|---|---|---|---|", *rows, "", whole])


def weights_table() -> str:
    """One row per file of weights and per language model, with its license and where it is fetched from."""
    rows = [
        f"| {row.name} | `{file.filename}` | {file.license} | {_project(file.url)} |"
        for row in CATALOG.rows
        for file in row.weights
        if file.url
    ]
    rows += [
        f"| {each.name.partition('/')[2]} | `{each.name}` | {each.license} | https://huggingface.co/{each.name} |"
        for each in REPOSITORIES
    ]
    return "\n".join(["| model | file or repository | license | from |", "|---|---|---|---|", *rows])


def _project(url: str) -> str:
    """The part of a file's URL that names its repository: host, owner and name."""
    return "/".join(url.split("/")[:5])


def _settings_section(group: type[BaseSettings]) -> str:
    rows = [
        f"| `{variable(name, field)}` | {_setting_default(field)} | {field.description} |"
        for name, field in group.model_fields.items()
    ]
    title = (group.__doc__ or "").strip().removesuffix(".")
    return "\n".join([f"\n## {title}\n", "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _setting_default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default" in extra:  # it depends on the machine, so it is described in words
        return str(extra["default"])
    value = field.get_default()
    if value is None or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _filled(page: Path, **parts: str) -> str:
    """The text of a page with new content between the markers of each part."""
    text = page.read_text(encoding="utf-8")
    for name, content in parts.items():
        begin, end = f"<!-- {name}: generated -->", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{page.name} lacks the markers of {name}")
        text = f"{before}{begin}\n{content}\n{end}{after}"
    return text


def main() -> None:
    """Write every generated file."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
