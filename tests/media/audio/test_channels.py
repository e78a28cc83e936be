"""Every channel stays in its place, or goes to the nearest one, whatever the layout of the source."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.filter import Graph

from framepack.media.audio.channels import LAYOUTS, mix_of
from tests.support.clips import with_samples
from tests.support.odd_files import with_speakers
from tests.support.runs import Bench, bench

RATE = 48_000
TONE_HZ = 100  # low, for the channel of low frequencies


@pytest.fixture
def worker(tmp_path: Path) -> Bench:
    """A worker."""
    return bench(tmp_path / "worker", video_preset="ultrafast")


def heard_in(samples: np.ndarray[Any, Any], count: int, layout: str) -> list[set[str]]:
    """For each of ``count`` tones one after the other, the channels that have it."""
    names = LAYOUTS[layout]
    found = []
    for number in range(count):
        begin, end = (round((number + share) * RATE / count) for share in (0.3, 0.6))
        power = np.sqrt((samples[begin:end] ** 2).mean(axis=0))
        found.append({name for name, loud in zip(names, power, strict=True) if loud > 0.02})
    return found


def tones(count: int) -> np.ndarray[Any, Any]:
    """A second of tones, one after the other, each in one channel: packed samples of shape (1, n)."""
    samples = np.zeros((RATE, count), np.float32)
    tone = 0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(RATE) / RATE)
    for number in range(count):
        begin, end = (round((number + share) * RATE / count) for share in (0.15, 0.75))
        samples[begin:end, number] = tone[begin:end]
    return samples.reshape(1, -1)


def clip(path: Path, codec: str, layout: str) -> Path:
    """A second of video with a tone in each channel, one after the other."""
    samples = av.AudioFrame.from_ndarray(tones(av.AudioLayout(layout).nb_channels), "flt", layout)
    return with_samples(path, codec, samples, RATE)


def samples_of(path: Path) -> tuple[str, np.ndarray[Any, Any]]:
    """The layout of a file's audio and its samples, of shape (n, channels). PyAV cannot read eight planes."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("flt")
        pieces = [piece.to_ndarray() for frame in container.decode(stream) for piece in resampler.resample(frame)]
        return stream.layout.name, np.concatenate(pieces, axis=1).reshape(-1, stream.channels)


@pytest.mark.parametrize(
    ("source", "format_", "layout", "places"),
    [
        ("7.1 flac", "MP4", "7.1", "FL FR FC LFE BL BR SL SR"),
        ("7.1 pcm_s16le", "WebM", "7.1", "FL FR FC LFE BL BR SL SR"),
        ("6.1 flac", "MP4", "7.1", "FL FR FC LFE BL+BR SL SR"),
        ("6.1 flac", "WebM", "7.1", "FL FR FC LFE BL+BR SL SR"),
        ("5.0 flac", "WebM", "5.1", "FL FR FC BL BR"),
        ("2.1 flac", "MP4", "5.1", "FL FR LFE"),
        ("3.0 pcm_s16le", "MP4", "3.0", "FL FR FC"),
        ("4.0 flac", "WebM", "5.1", "FL FR FC BL+BR"),
        ("22.2 pcm_s16le", "MP4", "stereo", " ".join(["FL+FR"] * 24)),
    ],
)
def test_each_channel_stays_in_its_place(
    worker: Bench, tmp_path: Path, source: str, format_: str, layout: str, places: str
) -> None:
    """In Matroska, PCM has no layout: its number of channels tells it, and 24 have none."""
    name, codec = source.split()
    answer = worker.run("export", clip(tmp_path / "clip.mkv", codec, name), format=format_)
    made, samples = samples_of(worker.output(answer))
    wanted = [set(place.split("+")) for place in places.split()]
    assert (made, heard_in(samples, len(wanted), layout)) == (layout, wanted)
    mixed = ["The audio's 24 channels were mixed to stereo."] if name == "22.2" else []
    assert answer.get("warnings", []) == mixed


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("export", {"format": "MP4"}),
        ("export", {"format": "WebM"}),
        ("interpolate", {"fps_mode": "No Interpolation", "speed_factor": 0.5}),
        ("loop", {"loop_type": "ping-pong"}),
        ("extract_frames", {}),
    ],
)
def test_channels_in_an_order_of_their_own(
    worker: Bench, tmp_path: Path, operation: str, params: dict[str, Any]
) -> None:
    """The order of film in MOV: left, center, right, left and right side, low frequencies, left and right back."""
    order = ["FL", "FC", "FR", "SL", "SR", "LFE", "BL", "BR"]
    path = with_speakers(clip(tmp_path / "clip.mov", "pcm_s16le", "7.1"), (0, 2, 1, 4, 5, 3, 8, 9))
    answer = worker.run(operation, path, **params)
    slower = 2 if operation == "interpolate" else 1
    if operation == "extract_frames":
        fields = {"folder_name": answer["folder_name"], "output_fps": 25, "with_audio": True}
        answer = worker.run("reassemble_frames", **fields)
    made, samples = samples_of(worker.output(answer))
    assert made == "7.1"
    assert heard_in(samples[::slower], 8, "7.1") == [{name} for name in order]


def test_more_channels_than_ffmpeg_can_mix_are_left_out(worker: Bench, tmp_path: Path) -> None:
    """The video is made, without the track."""
    channels = 70
    path = tmp_path / "clip.mkv"
    with av.open(str(clip(tmp_path / "plain.mkv", "flac", "mono"))) as plain, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(plain.streams.video[0])
        audio: Any = output.add_stream("pcm_s16le", rate=RATE, layout=f"{channels} channels")
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
        silence: av.Packet[Any] = av.Packet(bytes(2 * channels * 4800))
        silence.stream, silence.time_base, silence.pts, silence.dts = audio, Fraction(1, RATE), 0, 0
        output.mux(silence)
    answer = worker.run("export", path, format="MP4")
    assert answer["warnings"] == ["Not carried over to outputs: 1 other audio track."]


_LAYOUTS = [
    "mono",
    "stereo",
    "2.1",
    "3.0",
    "3.0(back)",
    "4.0",
    "quad",
    "quad(side)",
    "3.1",
    "5.0",
    "5.0(side)",
    "4.1",
    "5.1",
    "5.1(side)",
    "6.0",
    "6.0(front)",
    "3.1.2",
    "hexagonal",
    "6.1",
    "6.1(back)",
    "6.1(front)",
    "7.0",
    "7.0(front)",
    "7.1",
    "7.1(wide)",
    "7.1(wide-side)",
    "5.1.2",
    "5.1.2(back)",
    "octagonal",
    "cube",
    "5.1.4",
    "7.1.2",
    "7.1.4",
    "7.2.3",
    "9.1.4",
    "9.1.6",
    "hexadecagonal",
    "downmix",
    "22.2",
]


@pytest.mark.parametrize("name", _LAYOUTS)
def test_no_channel_of_any_layout_is_lost(name: str) -> None:
    """Each is heard; left ones not on the right side, and right ones not on the left side."""
    names = tuple(channel.name for channel in av.AudioLayout(name).channels)
    mix = mix_of(names)
    frame = av.AudioFrame.from_ndarray(tones(len(names)), "flt", name)
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    graph = Graph()
    nodes = [graph.add_abuffer(sample_rate=RATE, format="flt", layout=name, time_base=frame.time_base)]
    nodes += [graph.add("pan", mix.pan)] if mix.pan else []
    graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
    graph.push(frame)
    result = cast("av.AudioFrame", graph.pull())
    heard = heard_in(result.to_ndarray().reshape(-1, mix.channels), len(names), mix.layout)
    for place, channels in zip(names, heard, strict=True):
        assert channels, place
        if mix.layout != "mono":
            assert not (place.endswith("L") and any(other.endswith("R") for other in channels)), place
            assert not (place.endswith("R") and any(other.endswith("L") for other in channels)), place
    is_shared = any(one & other for index, one in enumerate(heard) for other in heard[:index])
    assert mix.is_lossy == is_shared
