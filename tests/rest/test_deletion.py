"""``DELETE /outputs``: one result or upload, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from framepack.storage.claims import Claim
from framepack.storage.keys import Key
from framepack.storage.outputs import ResultFolder
from framepack.storage.uploads import UPLOADS
from tests.support.rest_server import HeldBackend, LocalServer, server_in_thread, upload


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server with an empty store."""
    with server_in_thread(tmp_path_factory.mktemp("deletion"), HeldBackend()) as client:
        yield client


def put(client: LocalServer, key: str) -> Key:
    """Store a file."""
    client.server.runtime.storage.put_bytes(Key(key), b"abc")
    return Key(key)


def exists(client: LocalServer, key: Key) -> bool:
    """Whether a file is in the store."""
    return client.server.runtime.storage.stat(key) is not None


@pytest.mark.parametrize("folder", [*(each.value for each in ResultFolder), UPLOADS.text])
@pytest.mark.parametrize("by_name", [False, True], ids=["path", "name"])
def test_delete_removes_a_file_by_path_or_name(client: LocalServer, folder: str, *, by_name: bool) -> None:
    """The answer names it; a second time it is not found, and its neighbor stays."""
    key, neighbor = put(client, f"{folder}/a b_é.mp4"), put(client, f"{folder}/other.mp4")
    path = f"/outputs/{key.name if by_name else key}"

    answer = client.delete(path)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"success": True, "message": "Deleted 'a b_é.mp4'", "output_path": f"/outputs/{key}"}
    assert not exists(client, key)
    assert exists(client, neighbor)
    again = client.delete(path)
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "key",
    [
        "state/filter_presets/look.json",
        "state/uploads/owner/a.mp4",
        "postprocessed_output/frames/extracted_frames/folder/frame_000001.png",
        "postprocessed_output/loose.mp4",
        "uploads/deeper/a.mp4",
        "elsewhere/a.mp4",
        "loose.mp4",
    ],
)
def test_delete_of_other_files_is_404(client: LocalServer, key: str) -> None:
    """State, frames, and files that are neither results nor uploads are not found."""
    kept = put(client, key)
    assert client.delete(f"/outputs/{key}").status_code == 404
    assert exists(client, kept)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "..%2f..%2fetc%2fpasswd",
        "uploads/..%2f..%2fstate%2fx.json",
        "uploads/%2e%2e/state",
        "uploads//a.mp4",
        "uploads/a%00.mp4",
        "uploads/%ff",
        "uploads",
        "uploads/",
        "postprocessed_output",
    ],
)
def test_delete_of_invalid_paths_is_404(client: LocalServer, path: str) -> None:
    """They are not found."""
    assert client.delete(f"/outputs/{path}").status_code == 404


def test_delete_of_a_running_jobs_result_is_409(client: LocalServer) -> None:
    """Until the job has ended."""
    key = put(client, f"{ResultFolder.TEMP_PROCESSING}/batch_1.mp4")
    with Claim(client.server.runtime.storage) as claim:
        claim.add(key.name)
        refused = client.delete(f"/outputs/{key}")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert refused.json()["detail"] == "'batch_1.mp4' belongs to a running job; delete it when the job has ended."
    assert client.delete(f"/outputs/{key}").status_code == 200


def test_delete_removes_an_upload_by_its_video_url(client: LocalServer) -> None:
    """Which is what its client has."""
    video_url = upload(client, b"abc").json()["video_url"]
    assert client.delete(video_url).status_code == 200
    assert client.get(video_url).status_code == 404


def test_delete_with_a_signed_link_is_401(client: LocalServer) -> None:
    """A signed link is for reading."""
    key = put(client, f"{ResultFolder.TEMP_PROCESSING}/linked.mp4")
    url = str(client.server.runtime.storage.url(key))
    assert client.ask("GET", url, headers={"X-API-Key": None}).status_code == 200
    assert client.ask("DELETE", url, headers={"X-API-Key": None}).status_code == 401
    assert exists(client, key)
