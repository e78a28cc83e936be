"""Files that try to make FFmpeg open other files. Each names a real video that would be opened if followed."""

from __future__ import annotations

import gc
import os
import resource
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framepack.errors import FramepackError, InvalidMedia
from framepack.media.containers import CONTAINERS
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Spec, damage_randomly, make_clip, numbered

MPD = """<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" minBufferTime="PT1S"
 mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">
 <Period><AdaptationSet mimeType="video/mp4">
 <Representation id="1" bandwidth="1000" codecs="avc1.42c00a" width="64" height="48"><BaseURL>{url}</BaseURL>
 </Representation></AdaptationSet></Period></MPD>"""
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 49170 RTP/AVP 96\r\n"

HOSTILE: dict[str, Callable[[Path], str]] = {
    "hls-file-url": lambda secret: f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    "hls-relative": lambda secret: f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.name}\n#EXT-X-ENDLIST\n",
    "hls-master": lambda secret: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile://{secret}\n",
    "hls-key": lambda secret: (
        f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="file://{secret}"\n#EXTINF:1,\n{secret.name}\n#EXT-X-ENDLIST\n'
    ),
    "hls-concat": lambda secret: f"#EXTM3U\n#EXTINF:1,\nconcat:{secret}|{secret}\n#EXT-X-ENDLIST\n",
    "hls-subfile": lambda secret: f"#EXTM3U\n#EXTINF:1,\nsubfile,,start,0,end,0,,:{secret}\n#EXT-X-ENDLIST\n",
    "dash-file-url": lambda secret: MPD.format(url=f"file://{secret}"),
    "dash-relative": lambda secret: MPD.format(url=secret.name),
    "ffconcat-absolute": lambda secret: f"ffconcat version 1.0\nfile '{secret}'\n",
    "ffconcat-relative": lambda secret: f"ffconcat version 1.0\nfile {secret.name}\n",
    "sdp": lambda _secret: SDP,
    "smil": lambda secret: f'<smil><body><video src="file://{secret}"/></body></smil>',
    "svg": lambda secret: f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{secret}"/></svg>',
    "webvtt": lambda secret: f"WEBVTT\n\n00:00.000 --> 00:01.000\nfile://{secret}\n",
    "tty": lambda secret: f"\x1b[2J\x1b[0m file://{secret}\n" * 40,
    "name-pattern": lambda secret: f"{secret.parent}/%03d.png\n",
    "asx": lambda secret: f'<asx version="3.0"><entry><ref href="file://{secret}"/></entry></asx>',
    "ram": lambda secret: f"rtsp://127.0.0.1:9/{secret.name}\n",
}


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that nobody may read."""
    return make_clip(tmp_path_factory.mktemp("secret") / "secret.mp4", Spec(count=5))


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", "clip.mpd", "clip"])
def test_no_other_file_is_read(secret: Path, kind: str, name: str) -> None:
    """Playlists and scripts are refused by their content, whatever their name; the video they point to is fine."""
    folder = secret.parent
    hostile = folder / name
    hostile.write_text(HOSTILE[kind](secret))
    assert probe(secret).length == 5
    with pytest.raises(
        InvalidMedia,
        match=r"^The file is .*not a video.*: MP4, .* and animated PNG files are accepted\.$",
    ):
        probe(hostile)


def test_a_playlist_is_followed_without_the_container_list(secret: Path) -> None:
    """The playlists are well made: without the list of containers, FFmpeg follows one of them to the secret."""
    import av

    hostile = secret.parent / "list.txt"
    hostile.write_text(HOSTILE["ffconcat-relative"](secret))
    with av.open(str(hostile)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


@pytest.mark.parametrize(
    "word", ["hls", "dash", "concat", "sdp", "image2", "tty", "rtp", "rtsp", "lavfi", "applehttp"]
)
def test_container_list_has_no_demuxer_that_opens_other_files(word: str) -> None:
    """The list names what is allowed, so whatever FFmpeg learns tomorrow is refused."""
    assert word not in CONTAINERS.split(",")


def test_a_file_name_that_looks_like_an_address_is_a_file(tmp_path: Path) -> None:
    """A file whose name looks like an address is just a file."""
    for name in ("concat:a|b", "http:evil", "pipe:0", "-i", "a%03d.mp4", "subfile,,start,0,end,9,,:x"):
        path = make_clip(tmp_path / "clip.mp4", Spec(count=2)).rename(tmp_path / name)
        assert probe(path).length == 2


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A FIFO, a device or a folder does not hang the worker and is not read."""
    os.mkfifo(tmp_path / "fifo.mp4")
    for path in (tmp_path / "fifo.mp4", Path("/dev/zero"), tmp_path, tmp_path / "nothing.mp4"):
        with pytest.raises(InvalidMedia, match="not a video"):
            probe(path)


def test_a_frame_bomb_is_rejected_before_decoding(tmp_path: Path) -> None:
    """A few bytes that would become 16,000 x 16,000 pixels are never decoded, not even by the probe."""
    path = make_clip(tmp_path / "clip.mov", Spec(count=1, codec="png", pix_fmt="rgb24", colors=None))
    data = path.read_bytes().replace(struct.pack(">HH", 64, 48), struct.pack(">HH", 16_000, 16_000))
    path.write_bytes(data.replace(struct.pack(">II", 64, 48), struct.pack(">II", 16_000, 16_000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidMedia, match="cannot be read"):
        probe(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Small files of many kinds."""
    folder = tmp_path_factory.mktemp("originals")
    spec = Spec(count=12, frame=numbered, audio=AudioSpec())
    opus = replace(spec, audio=AudioSpec(codec="libopus", layout="stereo"))
    gif = Spec(count=12, codec="gif", pix_fmt="rgb8", colors=None)
    kinds = {".mp4": spec, ".mkv": spec, ".ts": spec, ".webm": opus, ".gif": gif, ".flv": replace(spec, audio=None)}
    kinds[".mov"] = replace(spec, codec="prores_ks", pix_fmt="yuv422p10le", rotation=90)
    return [make_clip(folder / f"clip{suffix}", kind).read_bytes() for suffix, kind in kinds.items()]


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_files_give_a_clip_or_one_error(tmp_path: Path, originals: list[bytes], count: int) -> None:
    """Damage of any kind anywhere: no crash, no hang, no thread or file remains; a clip as announced or an error."""
    rng = np.random.default_rng(count)
    mutant, output = tmp_path / "mutant", tmp_path / "out.mp4"
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    outcomes: Counter[str] = Counter()
    for number in range(count):
        mutant.write_bytes(damage_randomly(originals[number % len(originals)], rng))
        outcomes[_outcome(mutant, output)] += 1
    gc.collect()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before  # noqa: PTH208
    assert outcomes["written"] > count / 3
    assert outcomes["refused"] > count / 50
    assert set(outcomes) <= {"written", "refused", "too large"}


def _outcome(path: Path, output: Path) -> str:
    try:
        info = probe(path)
        if info.length > 1000 or info.width * info.height > 10**6:
            return "too large"
        frames_written = write(open_clip(path, info, warn=lambda _: None), output, preset="ultrafast")
    except FramepackError as error:
        return "refused" if str(error).endswith(".") and "/" not in str(error) else str(error)
    return "written" if frames_written == info.length else f"{frames_written} of {info.length} frames"
