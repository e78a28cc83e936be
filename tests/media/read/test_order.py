"""The order of frames: every frame once, as it is shown, whatever the file's timestamps say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from PIL import Image

from framepack.media.clip import Clip
from framepack.media.images.convert import to_rgb
from framepack.media.read.frame_order import NO_TIME, FrameOrder, Sequencer, presentation_order
from framepack.media.read.hidden import is_shown
from framepack.media.read.probe import probe
from framepack.media.read.reader import open_clip
from framepack.media.section import Section
from framepack.media.write.writer import write
from tests.support.clips import AudioSpec, Spec, barred, bars_of, make_clip
from tests.support.http_server import Answer, HttpServer
from tests.support.odd_files import backward, doubled, in_decoding_order, rewritten
from tests.support.readback import beep_times, rgb_of
from tests.support.runs import bench

if TYPE_CHECKING:
    Packet = av.Packet[Any]

SLOW = {"preset": "veryfast", "crf": "12"}


def opened(path: Path, section: Section | None = None) -> tuple[Clip, list[str]]:
    """The clip of a file, and the list in which its warnings will be."""
    warnings: list[str] = []
    return open_clip(path, probe(path), warn=warnings.append, section=section), warnings


def numbers(clip: Clip) -> list[int]:
    """The numbers that ``barred`` drew, of every output frame."""
    return [bars_of(to_rgb(frame)) for frame in clip.frames()]


def shown(path: Path) -> list[int]:
    """The numbers in a file that an operation wrote, read by PyAV alone, repeated ones once."""
    with av.open(str(path)) as container:
        found = [bars_of(rgb_of(frame)) for frame in container.decode(video=0)]
    return [number for number, _ in groupby(found)]


@pytest.mark.parametrize("pyramid", ["none", "normal"])
@pytest.mark.parametrize("b_frames", ["0", "2", "8"])
def test_h264_in_avi_shows_every_frame_once(tmp_path: Path, b_frames: str, pyramid: str) -> None:
    """AVI has decoding times only; frames come in the order of presentation."""
    options = {**SLOW, "bf": b_frames, "b-pyramid": pyramid, "b_strategy": "0"}
    clip, warnings = opened(make_clip(tmp_path / "clip.avi", Spec(count=60, frame=barred, options=options)))
    assert numbers(clip) == list(range(60))
    assert (clip.fps, warnings) == (Fraction(25), [])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".flv", ".ts", ".mov"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_decoding_times_as_presentation_times_show_every_frame_once(tmp_path: Path, codec: str, suffix: str) -> None:
    """Some muxers write no composition offsets; the order of decoding is not the order of presentation."""
    options = {**SLOW, "bf": "3"} if codec == "libx264" else {"preset": "veryfast", "x265-params": "log-level=none"}
    path = make_clip(tmp_path / "clip.mp4", Spec(count=40, codec=codec, frame=barred, options=options))
    clip, warnings = opened(rewritten(path, tmp_path / f"copy{suffix}", in_decoding_order))
    assert numbers(clip) == list(range(40))
    assert warnings == []


@pytest.mark.parametrize("b_frames", ["0", "1", "3"])
@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video"])
def test_older_codecs_in_avi_show_every_frame_once(tmp_path: Path, codec: str, b_frames: str) -> None:
    """MPEG-4 and MPEG-2 with and without B-frames."""
    options = {"bf": b_frames, "q:v": "2", "flags": "+qscale", "global_quality": "236"}
    clip, warnings = opened(
        make_clip(tmp_path / "clip.avi", Spec(count=30, codec=codec, frame=barred, options=options))
    )
    assert numbers(clip) == list(range(30))
    assert warnings == []


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video", "mpeg4"])
def test_b_frames_without_references_are_counted(tmp_path: Path, codec: str) -> None:
    """Decoders leave them out without an error where a cut took the frame before the first key frame."""
    spec = Spec(count=20, codec=codec, frame=barred, options={"bf": "2", "g": "6", "sc_threshold": "1000000000"})
    plain = make_clip(tmp_path / "plain.mkv", spec)

    def cut(packets: list[Packet]) -> Iterator[Packet]:
        begin = next(number for number, packet in enumerate(packets) if number and packet.is_keyframe)
        yield from in_decoding_order(packets[begin:])

    clip, warnings = opened(rewritten(plain, tmp_path / "cut.mp4", cut))
    shown = numbers(clip)
    lost = len(shown) - len(set(shown))
    assert (lost, set(shown)) == (2, set(range(shown[0], 20)))
    assert warnings == [f"2 of {len(shown)} frames could not be read; the nearest readable frame was repeated."]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_video_and_audio_of_avi_are_in_step(tmp_path: Path, b_frames: str, codec: str) -> None:
    """The place in the file is the time: a beep at 1.2 s is heard with the frame of that time."""
    options = {"bf": b_frames, **(SLOW if codec == "libx264" else {})}
    spec = Spec(count=50, codec=codec, frame=barred, options=options, audio=AudioSpec("pcm_s16le", 2, beeps=(1.2,)))
    clip, warnings = opened(make_clip(tmp_path / "clip.avi", spec))
    write(clip, tmp_path / "out.mp4", preset="ultrafast", warn=warnings.append)
    assert beep_times(tmp_path / "out.mp4") == pytest.approx([1.2], abs=0.005)
    assert numbers(clip) == list(range(50))
    assert warnings == []


def test_packed_b_frames_show_every_frame_once(tmp_path: Path) -> None:
    """A chunk holds a P- and a B-frame, the next one says that nothing changes: as XviD and DivX pack them."""
    options = {"bf": "1", "b_strategy": "0", "global_quality": "236", "flags": "+qscale"}
    path = make_clip(tmp_path / "clip.avi", Spec(count=31, codec="mpeg4", frame=barred, options=options))

    def packed(packets: list[Packet]) -> Iterator[Packet]:
        empty, held = b"\0\0\1\xb6\x51\x80", None
        marked = b"\0\0\1\xb2DivX503b1393p"
        for number, packet in enumerate(packets):
            data = bytes(packet)
            vop = data.index(b"\0\0\1\xb6")
            if not number:
                data = data[:vop] + marked + data[vop:]
            is_b = data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2
            if held is not None:
                yield made(held + (data if is_b else b""), number - 1)
            held = None
            if is_b:
                yield made(empty, number)
            else:
                held = data
        if held is not None:
            yield made(held, len(packets) - 1)

    def made(data: bytes, number: int) -> Packet:
        packet = av.Packet(data)
        packet.pts = packet.dts = number
        packet.duration, packet.time_base, packet.is_keyframe = 1, Fraction(1, 25), number == 0
        return packet

    clip, warnings = opened(rewritten(path, tmp_path / "packed.avi", packed))
    assert numbers(clip) == list(range(31))
    assert warnings == []


@pytest.mark.parametrize("operation", ["loop", "join"])
def test_decoding_times_are_not_copied(tmp_path: Path, operation: str) -> None:
    """Loops and joins copy packets where they can; here they would copy wrong times."""
    path = make_clip(tmp_path / "clip.mp4", Spec(count=30, frame=barred, options={**SLOW, "bf": "3"}))
    source = rewritten(path, tmp_path / "copy.mp4", in_decoding_order)
    own = bench(tmp_path, allowed_hosts=("127.0.0.1",))
    if operation == "loop":
        answer = own.run("loop", source, num_loops=1)
    else:
        with HttpServer({"/copy.mp4": Answer(body=source.read_bytes())}) as server:
            answer = own.run("join", video_urls=[f"{server.url}/copy.mp4"] * 2)
    with av.open(str(own.output(answer))) as container:
        frames = sorted(container.decode(video=0), key=lambda frame: frame.pts or 0)
        assert [bars_of(rgb_of(frame)) for frame in frames] == list(range(30)) * 2


@pytest.mark.parametrize("change", [doubled, backward])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_faulty_times_show_every_frame_once(
    tmp_path: Path, suffix: str, change: Callable[[list[Packet]], Iterator[Packet]]
) -> None:
    """Doubled and backward timestamps lose no frame and change no order."""
    path = make_clip(tmp_path / "clip.mp4", Spec(count=40, frame=barred, options={**SLOW, "bf": "0"}))
    clip, warnings = opened(rewritten(path, tmp_path / f"copy{suffix}", change))
    found = numbers(clip)
    assert [number for number, _ in groupby(found)] == list(range(40))
    assert abs(len(found) / clip.fps - Fraction(40, 25)) <= Fraction(2, 25)
    assert warnings == []


def test_a_loss_among_decoding_times_moves_no_other_frame(tmp_path: Path) -> None:
    """Frames after damaged ones are at their own times, and the loss is said."""
    spec = Spec(count=120, frame=barred, options={**SLOW, "bf": "3", "g": "12"})
    path = make_clip(tmp_path / "clip.avi", spec)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for number, packet in enumerate(container.demux(video=0)):
            if 60 <= number < 64:
                begin = data.index(bytes(packet), packet.pos)
                data[begin + 4 : begin + packet.size] = b"\xff" * (packet.size - 4)
    path.write_bytes(data)
    clip, warnings = opened(path)
    found = numbers(clip)
    assert len(found) == 120
    assert found[:60] == list(range(60))
    assert found[72:] == list(range(72, 120))
    assert warnings != []


def test_a_section_of_decoding_times_is_exact(tmp_path: Path) -> None:
    """Decoding begins at a key frame before the section; its frames are those of the whole video."""
    spec = Spec(count=100, frame=barred, options={**SLOW, "bf": "3", "g": "10"})
    path = make_clip(tmp_path / "clip.avi", spec)
    for begin in (Fraction(1, 2), Fraction(2), Fraction(3)):
        clip, _ = opened(path, Section(begin, begin + Fraction(2, 5)))
        first = -(-begin * 25 // 1)
        assert numbers(clip) == [int(first) + index for index in range(clip.length or 0)]


@pytest.mark.parametrize("operation", ["filters", "export", "loop", "extract"])
def test_operations_show_every_frame_once(tmp_path: Path, operation: str) -> None:
    """From an AVI with B-frames, through whole operations; an extraction stores as many different images."""
    source = make_clip(tmp_path / "clip.avi", Spec(count=31, frame=barred, options=SLOW))
    own = bench(tmp_path)
    if operation == "extract":
        answer = own.run("extract_frames", source)
        folder = own.folder / "outputs" / answer["frames_path"].removeprefix("/outputs/")
        images = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]
        assert [bars_of(image) for image in images] == list(range(31))
    else:
        fields: dict[str, Any] = {"filters": {"brightness": 1}, "loop": {"num_loops": 1}}.get(operation, {})
        answer = own.run(operation, source, **fields)
        assert shown(own.output(answer)) == list(range(31)) * (2 if operation == "loop" else 1)
    assert "warnings" not in answer


@pytest.mark.parametrize(("codec", "show_bit"), [("libvpx", 0x10), ("libvpx-vp9", 0x02)])
def test_hidden_frames_are_not_counted(tmp_path: Path, codec: str, show_bit: int) -> None:
    """Alternate reference frames of VP8 and VP9: rate, count and analysis are those of what is shown."""
    options = {"g": "0", "deadline": "realtime", "cpu-used": "8", "b": "2000000"}
    path = make_clip(tmp_path / "clip.webm", Spec(count=50, codec=codec, frame=barred, options=options))

    def with_copies(packets: list[Packet]) -> Iterator[Packet]:
        for number, packet in enumerate(packets):
            if number % 7 == 3:
                copy = av.Packet(bytes(packet))
                copy.pts = copy.dts = (packet.pts or 0) - 1
                copy.time_base, copy.is_keyframe = packet.time_base, True
                yield copy
            yield packet

    source = rewritten(path, tmp_path / "hidden.webm", with_copies)
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:  # muxers would hide the copies in superframes: so they are hidden now
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert len(packets) == 57
    for packet, following in pairwise(packets):
        if (following.pts or 0) - (packet.pts or 0) == 1:
            data[data.index(bytes(packet), packet.pos)] &= ~show_bit
    source.write_bytes(data)
    clip, warnings = opened(source)
    assert (clip.fps, clip.length) == (Fraction(25), 50)
    assert numbers(clip) == list(range(50))
    assert warnings == []
    analysis = bench(tmp_path).run("analyze", source)["analysis"]
    assert (analysis["fps"], analysis["total_frames"], analysis["duration"]) == (25.0, 50, "2.0 seconds")


def test_a_vp9_superframe_is_shown_if_one_of_its_frames_is() -> None:
    """A hidden and a shown frame in one packet are one frame; a hidden frame alone is none."""
    hidden, shown_frame = bytes([0x80, 1, 2, 3]), bytes([0x82, 1, 2])
    index = bytes([0xC1, 4, 3, 0xC1])
    assert is_shown("vp9", av.Packet(hidden + shown_frame + index))
    assert not is_shown("vp9", av.Packet(hidden + hidden + bytes([0xC1, 4, 4, 0xC1])))
    assert [is_shown("vp9", av.Packet(data)) for data in (hidden, shown_frame, b"\x88", b"\x82")] == [
        False,
        True,
        True,
        True,
    ]


def frame_of(number: int) -> av.VideoFrame:
    """A frame that knows its number."""
    frame = av.VideoFrame(16, 16, "gray")
    frame.pts = number
    return frame


def sequenced(packets: list[int], order: FrameOrder, delay: int = 16) -> list[tuple[int, int]]:
    """Frame number and rank of frames that come in this order."""
    sequencer: Sequencer[av.VideoFrame] = Sequencer(order, delay=delay)
    out = [pair for packet in packets for pair in sequencer.add(packet, frame_of(packet))]
    return [(frame.pts or 0, rank) for rank, frame in [*out, *sequencer.flush()]]


def test_a_sequencer_gives_ranks_in_the_order_of_frames() -> None:
    """Whatever the packets' numbers: the k-th frame has rank k."""
    order = FrameOrder(range(9))
    for packets in ([0, 1, 2, 3], [0, 3, 2, 1, 6, 5, 4], [4, 3, 2, 1, 0], [0, 0, 1, 1, 2]):
        assert sequenced(packets, order) == [(packet, rank) for rank, packet in enumerate(packets)]


def test_a_sequencer_knows_which_frames_are_lost() -> None:
    """With right timestamps a lost frame leaves its rank free; none waits longer than the delay."""
    order = FrameOrder(range(12))
    assert sequenced([0, 1, 4, 5, 6], order) == [(packet, packet) for packet in (0, 1, 4, 5, 6)]
    sequencer: Sequencer[av.VideoFrame] = Sequencer(order, delay=2)
    assert [len(list(sequencer.add(packet, frame_of(packet)))) for packet in (0, 5, 6, 7, 8)] == [1, 0, 0, 3, 1]


def test_presentation_order_fills_and_spreads_times() -> None:
    """Missing times lie between their neighbors, equal ones before the next; hidden packets have no rank."""
    ranks, times = presentation_order([0, 40, NO_TIME, 120, 120, 200], [1, 1, 1, 1, 1, 1])
    assert (list(ranks), list(times)) == ([0, 1, 2, 3, 4, 5], [0, 40, 80, 120, 160, 200])
    ranks, times = presentation_order([0, 120, 40, 80], [1, 1, 0, 1])
    assert (list(ranks), list(times)) == ([0, 2, -1, 1], [0, 80, 120])
    assert list(presentation_order([NO_TIME] * 3, [1, 1, 1])[1]) == []
