"""A Hugging Face Hub on loopback that serves folders as repositories."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from framepack.models.spec import Group
from framepack.models.weights.language_catalog import Repository, RepositoryFile
from tests.support.http_server import Answer, HttpServer, Received

REVISION = "0123456789abcdef0123456789abcdef01234567"


def fake_hub(
    repositories: Mapping[str, Path], revision: str = REVISION, *, port: int = 0, failures: int = 0
) -> HttpServer:
    """Serve each folder under its repository's id, at one revision.

    Args:
        repositories: The folders, by id.
        revision: The revision.
        port: The port; 0 takes any.
        failures: How many requests for a list of files are answered with 503 at first.
    """
    left = iter(range(failures))

    def answer(received: Received) -> Answer:
        if "/tree/" in received.path and next(left, None) is not None:
            return Answer(503)
        for name, folder in repositories.items():
            if received.path == f"/api/models/{name}/tree/{revision}":
                return Answer(body=json.dumps([_entry(path) for path in sorted(folder.iterdir())]).encode())
            file = folder / received.path.removeprefix(f"/{name}/resolve/{revision}/")
            if received.path == f"/{name}/resolve/{revision}/{file.name}" and file.is_file():
                headers = {"X-Repo-Commit": revision, "ETag": f'"{_sha256(file)}"'}
                return Answer(body=file.read_bytes(), headers=headers)
        return Answer(404)

    return HttpServer(answer, port=port)


def _entry(path: Path) -> dict[str, object]:
    return {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _sha256(path)[:40]}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def repository(folder: Path, name: str = "tiny/model", group: Group = "enhancer") -> Repository:
    """The row of a published repository with a folder's files."""
    files = tuple(
        RepositoryFile(path.name, path.stat().st_size, _sha256(path))
        for path in sorted(folder.iterdir())
        if path.suffix in {".safetensors", ".json"}
    )
    return Repository(name, REVISION, group, files, "MIT", 1)
