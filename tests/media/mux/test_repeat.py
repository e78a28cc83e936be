"""Repeating encoded video: the source's own packets at exact times, or no stream copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from av.container import InputContainer

from framepack.errors import Cancelled
from framepack.job import Job
from framepack.media.containers import open_input
from framepack.media.mux.repeat import EncodedVideo, copyable_video, read_encoded_video, write_repeated
from framepack.media.read.probe import probe
from framepack.media.timeline.loops import repeated
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Spec, flat, make_clip, real_clip
from tests.support.looping import NTSC, CountingFrames, numbered_still, open_file, shown
from tests.support.odd_files import with_own_parameters, with_two_descriptions
from tests.support.readback import audio_of, beep_times

B_FRAMES = {"preset": "medium", "crf": "20", "x264-params": "b-adapt=0:bframes=3:scenecut=0"}


def found(path: Path) -> EncodedVideo | None:
    """What of a file can be copied."""
    return copyable_video(path, probe(path))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are opened."""
    paths: list[Path] = []

    def noted(path: Path, **options: Any) -> InputContainer:
        paths.append(path)
        return open_input(path, **options)

    monkeypatch.setattr("framepack.media.mux.repeat.open_input", noted)
    return paths


def source_of(folder: Path, fps: Fraction = Fraction(25), audio: AudioSpec | None = None, **more: Any) -> Path:
    """An H.264 file with B-frames."""
    spec = Spec(count=14, fps=fps, frame=numbered_still, options=B_FRAMES, audio=audio, **more)
    return make_clip(folder / "clip.mp4", spec)


@pytest.mark.parametrize("fps", [Fraction(25), NTSC, Fraction(24000, 1001), Fraction(60)])
@pytest.mark.parametrize(
    "audio", [None, AudioSpec(seconds=0.83, beeps=(0.1, 0.4)), AudioSpec(seconds=0.3, rate=44100)]
)
def test_packets_are_copied_unchanged_with_exact_times(
    tmp_path: Path, fps: Fraction, audio: AudioSpec | None
) -> None:
    """Every packet of every repeat is unchanged and at n / fps; the audio may be longer or shorter than the video."""
    source = source_of(tmp_path, fps, audio)
    video = found(source)
    assert video is not None
    assert video.delay > 0
    assert write_repeated(video, tmp_path / "out.mp4", repeated(open_file(source), 4), pytest.fail) == 56
    back, own = shown(tmp_path / "out.mp4"), shown(source)
    assert back.packets == own.packets * 4
    assert back.numbers == [index % 14 for _ in range(4) for index in range(14)]
    assert back.times == [index / fps for index in range(56)]
    assert back.rate == fps
    assert all(after > before for before, after in pairwise(back.dts))
    if audio is not None:
        samples, rate = audio_of(tmp_path / "out.mp4")
        assert len(samples) / rate == pytest.approx(float(56 / fps), abs=0.022)
        expected = [float(play * 14 / fps) + beep for play in range(4) for beep in audio.beeps if beep < 14 / fps]
        assert beep_times(tmp_path / "out.mp4") == pytest.approx(expected, abs=0.003)


def test_own_output_can_be_copied_again(tmp_path: Path) -> None:
    """A loop of a loop of a written file, with the default preset."""
    write(CountingFrames(14).clip(), tmp_path / "first.mp4")
    video = found(tmp_path / "first.mp4")
    assert video is not None
    write_repeated(video, tmp_path / "second.mp4", repeated(open_file(tmp_path / "first.mp4"), 2), pytest.fail)
    again = found(tmp_path / "second.mp4")
    assert again is not None
    write_repeated(again, tmp_path / "third.mp4", repeated(open_file(tmp_path / "second.mp4"), 2), pytest.fail)
    assert shown(tmp_path / "third.mp4").times == [Fraction(index, 25) for index in range(56)]


def test_pixel_aspect_and_colors_are_kept(tmp_path: Path) -> None:
    """Pixel aspect and color tags are those of the source."""
    source = source_of(tmp_path, aspect=Fraction(4, 3))
    video = found(source)
    assert video is not None
    write_repeated(video, tmp_path / "out.mp4", repeated(open_file(source), 2), pytest.fail)
    before, after = probe(source), probe(tmp_path / "out.mp4")
    assert (after.pixel_aspect, after.colors, after.width) == (before.pixel_aspect, before.colors, before.width)
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_real_clip_with_audio_is_copied(tmp_path: Path) -> None:
    """All 132 frames are in every repeat."""
    source = real_clip("bigbuckbunny")
    video = found(source)
    assert video is not None
    length = len(video.frame_numbers)
    assert write_repeated(video, tmp_path / "out.mp4", repeated(open_file(source), 3), pytest.fail) == 3 * length
    info = probe(tmp_path / "out.mp4")
    assert (info.length, info.frame_count, info.fps) == (3 * length, 3 * length, probe(source).fps)
    assert info.warnings == ()
    with av.open(str(source)) as first, av.open(str(tmp_path / "out.mp4")) as second:
        own = [bytes(packet) for packet in first.demux(video=0) if packet.size]
        assert [bytes(packet) for packet in second.demux(video=0) if packet.size] == own * 3


@pytest.mark.parametrize(
    "options", [B_FRAMES, {"preset": "ultrafast", "g": "1"}], ids=["B-frames", "only key frames"]
)
def test_a_file_is_opened_once_for_all_repeats(tmp_path: Path, opened: list[Path], options: dict[str, str]) -> None:
    """It is rewound to its first packet, also where all packets are alike."""
    source = make_clip(tmp_path / "clip.mp4", Spec(count=14, frame=flat((9, 9, 9)), options=options))
    video = found(source)
    assert video is not None
    opened.clear()
    packets = [(bytes(packet), packet.pts, packet.dts) for packet in video.packets(5)]
    assert opened == [source]
    assert [data for data, _, _ in packets] == shown(source).packets * 5
    assert sorted(pts for _, pts, _ in packets if pts is not None) == list(range(70))


def test_a_file_that_is_not_rewound_to_its_first_packet_is_opened_anew(tmp_path: Path, opened: list[Path]) -> None:
    """A demuxer whose seek leads to another packet, as in damaged files, does not change what is repeated."""
    source = make_clip(tmp_path / "clip.mkv", Spec(count=14, frame=numbered_still, options={"g": "5", "bf": "0"}))
    data = bytearray(source.read_bytes())
    place = data.index(b"\xf7\x81\x01\xf1")  # the place of the first cluster, in the index that seeking uses
    data[place + 5] += 1
    source.write_bytes(data)
    own = shown(source).packets
    video = read_encoded_video(source, 0, Fraction(25))
    assert video is not None
    opened.clear()
    assert [bytes(packet) for packet in video.packets(3)] == own * 3
    assert len(opened) == 3


UNFIT = {
    "4:4:4": ("clip.mp4", Spec(count=5, pix_fmt="yuv444p")),
    "10 bits": ("clip.mp4", Spec(count=5, pix_fmt="yuv420p10le")),
    "turned": ("clip.mp4", Spec(count=5, rotation=90)),
    "uneven": ("clip.mp4", Spec(times=[Fraction(n, 25) for n in (0, 1, 5, 6, 20)])),
    "not MP4": ("clip.mkv", Spec(count=5)),
    "VP9": ("clip.webm", Spec(count=5)),
    "MPEG-4": ("clip.mp4", Spec(count=5, codec="mpeg4")),
    "GIF": ("clip.gif", Spec(count=5, codec="gif", pix_fmt="rgb8", colors=None)),
}


@pytest.mark.parametrize(("name", "spec"), UNFIT.values(), ids=UNFIT.keys())
def test_unsupported_video_is_encoded_instead(tmp_path: Path, name: str, spec: Spec) -> None:
    """Anything that players could fail at is encoded instead, and loops all the same."""
    source = make_clip(tmp_path / name, spec)
    assert found(source) is None
    clip = repeated(open_file(source), 2)
    assert write(clip, tmp_path / "out.mp4", preset="ultrafast") == clip.total_frames


def test_a_file_that_does_not_begin_with_an_idr_frame_is_not_copied(tmp_path: Path) -> None:
    """Its first frames need those before, which differ where repeats meet."""
    options = {**B_FRAMES, "x264-params": "open-gop=1:keyint=7:min-keyint=7:scenecut=0:bframes=3:b-adapt=0"}
    whole = make_clip(tmp_path / "whole.mp4", Spec(count=28, frame=numbered_still, options=options))
    tail = tmp_path / "tail.mp4"
    with av.open(str(whole)) as source, av.open(str(tail), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
        assert len(keys) > 1
        for packet in packets[keys[1] :]:
            packet.stream = stream
            output.mux(packet)
    assert found(whole) is not None
    assert found(tail) is None


@pytest.mark.parametrize("bring", [(0, 1), (1,)])
def test_a_file_whose_packets_bring_other_parameters_is_not_copied(tmp_path: Path, bring: tuple[int, ...]) -> None:
    """The parameters of the last packets would be those of the first ones of the next repeat."""
    first = make_clip(tmp_path / "first.mp4", Spec(count=5, options={"bf": "0", "preset": "ultrafast"}))
    second = make_clip(tmp_path / "second.mp4", Spec(count=5, options={"bf": "0", "preset": "medium"}))
    assert found(first) is not None
    assert found(with_own_parameters(first, second, tmp_path / "both.mp4", bring)) is None


def test_a_file_with_two_headers_is_not_copied(tmp_path: Path) -> None:
    """An index may have a header for each part."""
    first = make_clip(tmp_path / "first.mp4", Spec(count=5, options={"bf": "0", "preset": "ultrafast"}))
    second = make_clip(tmp_path / "second.mp4", Spec(count=5, options={"bf": "0", "preset": "medium"}))
    both = with_two_descriptions(first, second, tmp_path / "both.mp4")
    assert len(shown(both).numbers) == 10
    assert found(both) is None


def test_a_file_whose_packets_repeat_the_parameters_of_the_header_is_copied(tmp_path: Path) -> None:
    """They change nothing."""
    clip = make_clip(tmp_path / "clip.mp4", Spec(count=5, options={"bf": "0"}))
    again = with_own_parameters(clip, clip, tmp_path / "again.mp4")
    with av.open(str(clip)) as one, av.open(str(again)) as two:
        assert next(one.demux(video=0)).size < next(two.demux(video=0)).size
    assert found(again) is not None


def test_cancelling_leaves_no_file(tmp_path: Path) -> None:
    """Copying stops when the job is cancelled."""
    source, job = source_of(tmp_path), Job()
    video = found(source)
    assert video is not None

    def watch(packets: Iterable[Any], total: int | None) -> Iterator[Any]:
        for index, packet in enumerate(job.watch(packets, total)):
            if index == 20:
                job.cancel()
            yield packet

    with pytest.raises(Cancelled):
        write_repeated(video, tmp_path / "out.mp4", repeated(open_file(source), 4), pytest.fail, watch)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
