"""Sources: strict decoding of base64, downloads into the workspace."""

from __future__ import annotations

import base64
import tracemalloc
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framepack.errors import DiskFull, InvalidSource, SourceFailed, TooLarge
from framepack.filenames import clean_filename
from framepack.files.source import Source
from framepack.files.workspace import Workspace

PLENTY = 10**9


@pytest.fixture
def workspace(tmp_path: Path) -> Generator[Workspace]:
    """A job's folder."""
    with Workspace(tmp_path) as space:
        yield space


def unpacked(text: str, workspace: Workspace, max_bytes: int = PLENTY) -> bytes:
    """What ends up in the file."""
    return Source.from_base64(text, workspace, max_bytes).path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200), st.sampled_from(["", "data:video/mp4;base64,", "data:;base64,"]))
def test_base64_is_decoded_unchanged(workspace: Workspace, data: bytes, prefix: str) -> None:
    """It may have a prefix, padding and line breaks."""
    text = base64.b64encode(data).decode()
    broken = "\r\n".join(text[start : start + 7] for start in range(0, len(text), 7))
    for form in (text, text.rstrip("="), broken, f"  {broken}\n"):
        assert unpacked(prefix + form, workspace) == data


@pytest.mark.parametrize("size", [2**20 - 1, 2**20, 3 * 2**18, 3 * 2**18 + 1, 2**21 + 5])
def test_large_base64_is_decoded_unchanged(workspace: Workspace, size: int) -> None:
    """It is decoded in chunks, with line breaks at any position."""
    data = bytes(range(251)) * (size // 251 + 1)
    for form in (base64.b64encode(data).decode(), base64.encodebytes(data).decode()):
        assert unpacked(form, workspace) == data


@pytest.mark.parametrize(
    "text",
    [
        "!!!!",
        "AA!!AA==",
        "A",
        "AAAAA",
        "AA=",
        "AA==AA==",
        "AAA=AAAA",
        "====",
        "AA===",
        "AA-_",
        "AAAÄ",
        "data:video/mp4;base64,!!!!",
        "data:video/mp4,AAAA",
        "https://example.com/a.mp4",
        "A" * 2**20 + "AA==" + "A" * 2**20,
        "A" * (2**20 - 4) + "AA==" + "AAAA",
    ],
    ids=lambda text: text[:24],
)
def test_invalid_base64_is_rejected(workspace: Workspace, text: str) -> None:
    """Invalid characters are not skipped."""
    if text == "AA=":
        assert unpacked(text, workspace) == b"\0"
        return
    with pytest.raises(InvalidSource, match=r"^video_base64 is not valid base64\.$"):
        Source.from_base64(text, workspace, PLENTY)


@pytest.mark.parametrize("text", ["", "  \n", "data:video/mp4;base64,"])
def test_empty_base64_is_rejected(workspace: Workspace, text: str) -> None:
    """An empty text is not a video."""
    with pytest.raises(InvalidSource, match=r"^video_base64 is empty\.$"):
        Source.from_base64(text, workspace, PLENTY)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_size_is_checked_before_anything_is_written(workspace: Workspace, size: int) -> None:
    """The size is exact, with any white space and padding."""
    text = base64.encodebytes(b"x" * size).decode()
    assert len(unpacked(text, workspace, size)) == size
    written = sorted(workspace.folder.iterdir())
    with pytest.raises(TooLarge, match=r"at most [\d.e-]+ MB are allowed"):
        Source.from_base64(text, workspace, size - 1)
    assert sorted(workspace.folder.iterdir()) == written


def test_decoding_base64_needs_little_memory(workspace: Workspace) -> None:
    """The decoded video is never in memory as a whole."""
    text = "A" * (40 * 2**20)
    tracemalloc.start()
    try:
        Source.from_base64(text, workspace, PLENTY)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_a_full_disk_raises_disk_full(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a separate error."""
    target = workspace.folder / "full"
    target.symlink_to("/dev/full")
    monkeypatch.setattr(workspace, "path", lambda _name: _Opened(target))
    with pytest.raises(DiskFull):
        Source.from_base64("A" * 2**21, workspace, PLENTY)


class _Opened:
    """A path that opens an existing device."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, _mode: str) -> object:
        """Open for writing, although it exists."""
        return self.path.open("wb")


def test_a_base64_source_has_a_default_name(workspace: Workspace) -> None:
    """Outputs are named after it."""
    source = Source.from_base64("AAAA", workspace, PLENTY)
    assert (source.filename, source.name) == ("video", "video")


def test_downloads_are_stored_in_the_workspace(workspace: Workspace) -> None:
    """The downloader gets the URL and a new path. The file name that it returns is sanitized."""
    calls = []

    def download(url: str, target: Path) -> str:
        calls.append((url, target))
        target.write_bytes(b"video")
        return "my clip.final.mp4"

    source = Source.from_url("https://example.com/x", workspace, download)
    assert calls == [("https://example.com/x", source.path)]
    assert source.path.parent == workspace.folder
    assert source.path.read_bytes() == b"video"
    assert (source.filename, source.name) == ("my clip.final.mp4", "my clip.final")


def test_errors_of_downloads_pass_through(workspace: Workspace) -> None:
    """Their messages are not changed."""

    def download(_url: str, _target: Path) -> str:
        raise SourceFailed("The server of the video answered 404.")

    with pytest.raises(SourceFailed, match="404"):
        Source.from_url("https://example.com/x", workspace, download)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("video.mp4", "video.mp4"),
        ("a b(1)+2_x-y.MOV", "a b(1)+2_x-y.MOV"),
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\x.mp4", "x.mp4"),
        ("", "video"),
        ("...", "video"),
        (".hidden", "hidden"),
        ("a\0b\r\nc.mp4", "a_b_c.mp4"),
        ("Ünïcödé.mp4", "Unicode.mp4"),
        ("\uff46\uff55\uff4c\uff4c.mp4", "full.mp4"),
        ("x" * 300 + ".mp4", "x" * 96 + ".mp4"),
        ("x" * 300, "x" * 100),
        ("a." + "b" * 300, "a." + "b" * 10),
        ("🎬.mp4", "video.mp4"),
    ],
)
def test_file_names_are_sanitized(name: str, clean: str) -> None:
    """Only letters, digits and a few signs remain."""
    assert clean_filename(name) == clean


@given(st.text(max_size=300))
def test_any_file_name_is_sanitized(name: str) -> None:
    """One to a hundred safe characters, no path, no hidden file; cleaning twice changes nothing."""
    cleaned = clean_filename(name)
    assert 1 <= len(cleaned) <= 100
    assert set(cleaned) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._+()-")
    assert cleaned[0] not in " ."
    assert cleaned[-1] not in " ."
    assert clean_filename(cleaned) == cleaned
