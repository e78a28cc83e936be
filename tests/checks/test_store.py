"""The check of the store: real folders that cannot be written, and a real bucket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framepack.checks.finding import Finding
from framepack.checks.store import check_links, check_store
from tests.support.control_plane import ROOT
from tests.support.locked_out import as_ordinary_user, mounted
from tests.support.runs import bench
from tests.support.s3_server import S3Server, s3_server

USER = f"uid {os.geteuid()}"

_CHECK = """
import dataclasses, json, sys
from pathlib import Path
from framepack.checks.store import check_store
from tests.support.runs import bench
print(json.dumps(dataclasses.asdict(check_store(bench(Path(sys.argv[1]), storage=sys.argv[2]).runtime))))
"""


def checked(folder: Path, store: Path) -> Finding:
    """What an ordinary user is told of a store."""
    command = [*as_ordinary_user(), sys.executable, "-c", _CHECK, str(folder), f"file:{store}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return Finding(**json.loads(result.stdout))


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder that nobody may write to."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    folder.chmod(0o555)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


def test_a_working_store_is_unchanged_by_the_check(tmp_path: Path) -> None:
    """The check deletes the object that it writes."""
    finding = check_store(bench(tmp_path).runtime)

    assert finding == Finding(
        "store", "ok", f"The store file:{tmp_path}/outputs can be written, read and deleted from."
    )
    assert [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()] == []


def test_a_folder_without_write_permission_is_reported_with_user_and_remedy(tmp_path: Path, locked: Path) -> None:
    """The sentence has folder, user, owner and mode. The remedy has the setting and a command."""
    finding = checked(tmp_path, locked)

    assert finding.state == "error"
    assert finding.sentence == (
        f"The store file:{locked} (FRAMEPACK_STORAGE) cannot be written: "
        f"{USER} may not write there, which belongs to uid {locked.stat().st_uid} (mode 555)."
    )
    assert finding.remedy == (
        f"Set FRAMEPACK_STORAGE to a folder that {USER} may write, or to s3://BUCKET/PREFIX; "
        f"or run, as root: mkdir -p {locked} && chown -R {os.geteuid()} {locked}"
    )


def test_a_folder_that_cannot_be_created_names_the_parent_that_forbids_it(tmp_path: Path, locked: Path) -> None:
    """The permissions of the nearest existing folder must be changed."""
    finding = checked(tmp_path, locked / "a" / "b")

    assert f"{USER} may not write to {locked}, which belongs to" in finding.sentence
    assert f"mkdir -p {locked}/a/b" in str(finding.remedy)


def test_an_inner_folder_of_another_user_suggests_changing_the_owner(tmp_path: Path) -> None:
    """The store is writable, but a folder inside it is not."""
    store = tmp_path / "store"
    (store / ".incoming").mkdir(parents=True)
    (store / ".incoming").chmod(0o555)

    finding = checked(tmp_path, store)

    assert f"{USER} may not write to something inside it" in finding.sentence
    assert f"chown -R {os.geteuid()} {store}" in str(finding.remedy)


@pytest.mark.parametrize("inner", ["", "outputs"])
def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path, inner: str) -> None:
    """The path or one of its parents is a file. No command is suggested."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    finding = check_store(bench(tmp_path, storage=f"file:{blocked / inner}").runtime)

    assert f"{blocked if inner else 'it'} is a file, not a folder." in finding.sentence
    assert "s3://BUCKET/PREFIX." in str(finding.remedy)


def test_a_read_only_disk_is_reported_as_such(tmp_path: Path) -> None:
    """The message names the nearest existing folder."""
    with mounted(tmp_path / "disk", "ro") as disk:
        finding = check_store(bench(tmp_path, storage=f"file:{disk}/outputs").runtime)

    assert finding.sentence.endswith(f"cannot be written: {disk} is on a read-only file system.")
    assert "chown" not in str(finding.remedy)


def test_a_full_disk_is_reported_as_such(tmp_path: Path) -> None:
    """The message does not mention permissions."""
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "outputs" / ".incoming").mkdir(parents=True)
        with pytest.raises(OSError, match="space"):
            (disk / "filler").write_bytes(bytes(100_000))
        finding = check_store(bench(tmp_path, storage=f"file:{disk}/outputs").runtime)

    assert finding.sentence.endswith("cannot be written: its disk is full.")
    assert str(finding.remedy).startswith("Free some space, or set FRAMEPACK_STORAGE to ")


def test_a_bucket_is_checked_with_a_presigned_link(tmp_path: Path, server: S3Server) -> None:
    """Both are ok, and no object remains."""
    bucket = server.make_bucket()
    runtime = bench(tmp_path, storage=f"s3://{bucket}/deep", **credentials(server)).runtime

    assert (check_store(runtime).state, check_links(runtime).state) == ("ok", "ok")
    assert "Contents" not in server.client.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("wrong", "code", "remedy"),
    [
        ({"bucket_secret_access_key": "x" * 20}, "SignatureDoesNotMatch", "FRAMEPACK_S3_REGION"),
        ({"storage": "s3://no-such-bucket/x"}, "NoSuchBucket", "Create the bucket"),
        ({"bucket_endpoint_url": "http://127.0.0.1:9"}, "EndpointConnectionError", "BUCKET_ENDPOINT_URL"),
    ],
)
def test_a_failing_bucket_is_reported_with_the_setting_to_change(
    tmp_path: Path, server: S3Server, wrong: dict[str, str], code: str, remedy: str
) -> None:
    """The error code of S3 decides which setting is suggested. Keys are not shown."""
    settings = {"storage": f"s3://{server.make_bucket()}/deep", **credentials(server), **wrong}

    finding = check_store(bench(tmp_path, **settings).runtime)

    assert finding.sentence.startswith(f"The store {settings['storage']} (FRAMEPACK_STORAGE) cannot be used: ")
    assert f"({code})" in finding.sentence
    assert remedy in str(finding.remedy)
    assert server.secret_key not in str(finding)


def test_links_of_a_folder_begin_with_the_public_address(tmp_path: Path) -> None:
    """Without a public URL, the finding explains how each entry point returns files."""
    found = [check_links(bench(tmp_path, public_url=url).runtime) for url in ("https://a.example", None)]

    assert [each.state for each in found] == ["ok", "ok"]
    assert found[0].sentence == "Links start with https://a.example."
    assert "inline only, up to FRAMEPACK_INLINE_LIMIT_MB=5." in found[1].sentence


def credentials(server: S3Server) -> dict[str, str]:
    """The settings for a server."""
    return {
        "bucket_endpoint_url": server.endpoint_url,
        "bucket_access_key_id": server.access_key,
        "bucket_secret_access_key": server.secret_key,
    }
