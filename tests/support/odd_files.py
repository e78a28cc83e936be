"""Files whose timestamps, durations or containers are unlike those of common encoders."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.support.clips import REPRODUCIBLE, AudioSpec, Spec, barred, make_clip

if TYPE_CHECKING:
    Packet = av.Packet[Any]


def rewritten(path: Path, target: Path, change: Callable[[list[Packet]], Iterator[Packet] | list[Packet]]) -> Path:
    """Copy a file's video packets, changed."""
    with av.open(str(path)) as source, av.open(str(target), "w", options=REPRODUCIBLE) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in change(packets):
            packet.stream = stream
            output.mux_one(packet)
    return target


def slides(path: Path, times: Sequence[Fraction], **fields: Any) -> Path:
    """Frames that stay long, in a file whose header says 25 per second, as FFmpeg's ``-vsync vfr`` makes it."""
    spec = Spec(**{"count": len(times), "options": {"bf": "0", "g": "1"}, **fields})

    def later(packets: list[Packet]) -> Iterator[Packet]:
        for packet, time in zip(packets, times, strict=True):
            packet.pts = packet.dts = round(time / packet.time_base)
            packet.duration = round(Fraction(1, 25) / packet.time_base)
            yield packet

    return rewritten(make_clip(path.with_name(f"plain{path.suffix}"), spec), path, later)


def with_own_parameters(first: Path, second: Path, target: Path, bring: Sequence[int] = (0, 1)) -> Path:
    """Two H.264 files in one MP4 file with the header of the first.

    Args:
        first: An MP4 file.
        second: An MP4 file, perhaps of another encoder.
        target: The new file.
        bring: Which of the two files have their parameters in their key frames, too.
    """
    with (
        av.open(str(first)) as one,
        av.open(str(second)) as two,
        av.open(str(target), "w", options=REPRODUCIBLE) as output,
    ):
        stream = output.add_stream_from_template(one.streams.video[0])
        number = 0
        for place, source in enumerate((one, two)):
            head = parameter_sets(source) if place in bring else b""
            for packet in source.demux(video=0):
                if packet.size:
                    copy = av.Packet(head * packet.is_keyframe + bytes(packet))
                    copy.pts = copy.dts = number
                    copy.duration, copy.time_base, copy.is_keyframe = 1, Fraction(1, 25), packet.is_keyframe
                    copy.stream = stream
                    output.mux(copy)
                    number += 1
    return target


_SAMPLE_TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def with_two_descriptions(first: Path, second: Path, target: Path) -> Path:
    """Two H.264 files with equal numbers of frames in one MP4 file, whose index has the headers of both."""
    with_own_parameters(first, second, target, ())
    data, table = target.read_bytes(), dict(_boxes(_at(target.read_bytes(), _SAMPLE_TABLE)))
    (count,) = struct.unpack_from(">I", table[b"stsz"], 8)
    (begin,) = struct.unpack_from(">I", table[b"stco"], 8)
    own_bytes = sum(struct.unpack_from(f">{count // 2}I", table[b"stsz"], 12))
    more = _at(second.read_bytes(), (*_SAMPLE_TABLE, b"stsd"))[8:]
    table[b"stsd"] = struct.pack(">II", 0, 2) + table[b"stsd"][8:] + more
    table[b"stsc"] = struct.pack(">8I", 0, 2, 1, count // 2, 1, 2, count // 2, 2)  # chunk, its samples, their header
    table[b"stco"] = struct.pack(">4I", 0, 2, begin, begin + own_bytes)
    target.write_bytes(_replaced(data, _SAMPLE_TABLE, _join(list(table.items()))))
    return target


def _at(data: bytes, path: Sequence[bytes]) -> bytes:
    """The content of a box in others."""
    return _at(dict(_boxes(data))[path[0]], path[1:]) if path else data


def _replaced(data: bytes, path: Sequence[bytes], content: bytes) -> bytes:
    """Data with another content of a box in others."""
    if not path:
        return content
    return _join(
        [(name, _replaced(box, path[1:], content) if name == path[0] else box) for name, box in _boxes(data)]
    )


def parameter_sets(source: av.container.InputContainer) -> bytes:
    """The parameter sets in the header of an H.264 file with one of each kind, as packets have them."""
    data = source.streams.video[0].codec_context.extradata or b""
    sps, count = data[8 : 8 + int.from_bytes(data[6:8], "big")], data[5] & 31
    pps = data[8 + len(sps) + 3 :][: int.from_bytes(data[8 + len(sps) + 1 :][:2], "big")]
    assert (count, data[8 + len(sps)]) == (1, 1)
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in (sps, pps))


def in_decoding_order(packets: list[Packet]) -> Iterator[Packet]:
    """Packets whose presentation times are the decoding times."""
    for number, packet in enumerate(packets):
        packet.pts = packet.dts = number
        packet.duration, packet.time_base = 1, Fraction(1, 25)
        yield packet


def doubled(packets: list[Packet]) -> Iterator[Packet]:
    """Each presentation time twice, at half the rate."""
    for number, packet in enumerate(packets):
        packet.dts, packet.pts = number, number // 2 * 2 + 2
        packet.duration, packet.time_base = 1, Fraction(1, 25)
        yield packet


def cut_in_open_group(packets: list[Packet]) -> Iterator[Packet]:
    """Packets from the second key frame on, as FFmpeg cuts them: the frames shown before it get its time."""
    begin = next(number for number, packet in enumerate(packets) if number and packet.is_keyframe)
    first, decoded = packets[begin].pts or 0, 0
    for packet in packets[begin:]:
        packet.pts = max(0, (packet.pts or 0) - first)
        packet.dts = decoded = max(decoded, min(packet.pts, (packet.dts or 0) - first))
        yield packet


def backward(packets: list[Packet]) -> Iterator[Packet]:
    """Two frames whose times have been exchanged, and one that is far too early."""
    for number, packet in enumerate(packets):
        packet.dts, packet.pts = number, number + 12
        packet.pts += {10: 1, 11: -1, 20: -8}.get(number, 0)
        packet.duration, packet.time_base = 1, Fraction(1, 25)
        yield packet


def recorded(path: Path, times: Sequence[Fraction]) -> Path:
    """A WebM file as browsers record the screen: frames at these times, no frame duration in the header."""
    make_clip(
        path, Spec(codec="libvpx", frame=barred, times=times, options={"deadline": "realtime", "cpu-used": "-8"})
    )
    data = bytearray(path.read_bytes())
    begin = data.find(b"\x23\xe3\x83")
    if begin >= 0:
        length = 4 + (data[begin + 3] & 127)
        data[begin : begin + length] = bytes([0xEC, 0x80 | length - 2]) + bytes(length - 2)
        path.write_bytes(data)
    return path


def with_duration(path: Path, seconds: float) -> Path:
    """Change the duration in the header of a Matroska file."""
    data = bytearray(path.read_bytes())
    place = data.index(b"\x44\x89\x88") + 3
    data[place : place + 8] = struct.pack(">d", 1000 * seconds)
    path.write_bytes(data)
    return path


def gif(path: Path, delays: list[int]) -> Path:
    """A GIF with frames of these delays in milliseconds."""
    images = [Image.fromarray(barred(index, 64, 48)) for index in range(len(delays))]
    images[0].save(path, save_all=True, append_images=images[1:], duration=delays, loop=0)
    return path


def held(path: Path, count: int, seconds: Fraction, audio: AudioSpec | None = None, **options: str) -> Path:
    """Frames at 25 fps of which the last one stays for ``seconds``."""
    spec = Spec(count=count, frame=barred, options=options, audio=audio)
    return held_last(make_clip(path.with_name("plain.mp4"), spec), seconds, path)


def held_last(plain: Path, seconds: Fraction, path: Path | None = None) -> Path:
    """Copy a file; the last frame stays for ``seconds``."""
    path = path or plain.with_name("a.mp4")
    with av.open(str(plain)) as source, av.open(str(path), "w", options=REPRODUCIBLE) as output:
        streams = {
            stream.index: output.add_stream_from_template(stream)
            for stream in source.streams
            if stream.type in {"video", "audio"}
        }
        packets = [packet for packet in source.demux() if packet.size]
        last = max(number for number, packet in enumerate(packets) if packet.stream.type == "video")
        packets[last].duration = round(seconds / packets[last].time_base)
        for packet in packets:
            packet.stream = streams[packet.stream_index]
            output.mux(packet)
    return path


def animated(path: Path, durations: list[int], mode: str = "RGB", **options: Any) -> Path:
    """An animation with numbered frames."""
    images = [Image.fromarray(barred(index, 64, 48)).convert(mode) for index in range(len(durations))]
    lossless: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, **lossless, **options)
    return path


def comfy_animation(path: Path, count: int, prompt: str, workflow: str, **texts: str) -> Path:
    """An animation as ComfyUI's nodes write it: EXIF fields of WebP, chunks behind the frames of PNG, with texts."""
    if path.suffix == ".webp":
        exif = Image.Exif()
        exif[0x0110], exif[0x010F] = f"prompt:{prompt}", f"workflow:{workflow}"
        return animated(path, [40] * count, exif=exif)
    info = PngInfo()
    for name, text in {"prompt": prompt, "workflow": workflow}.items():
        info.add(b"comf", f"{name}\0{text}".encode(), after_idat=True)
    for name, text in texts.items():
        info.add_itxt(name, text)
    return animated(path, [40] * count, pnginfo=info)


def with_speakers(path: Path, positions: Sequence[int]) -> Path:
    """Change a MOV file of PCM audio, in place, to say where the speaker of each channel is (ISO/IEC 23091-3)."""
    content = path.read_bytes()
    begin = content.index(b"chan") - 4
    size = int.from_bytes(content[begin : begin + 4], "big")
    box = (size.to_bytes(4, "big") + b"chnl" + bytes(4) + b"\1\0" + bytes(positions)).ljust(size, b"\0")
    assert len(box) == size
    path.write_bytes(content[:begin] + box + content[begin + size :])
    return path


def with_sample_box(path: Path, name: bytes, content: bytes) -> Path:
    """Add a box to the description of the samples of the first video in an MP4 file, in place.

    The index comes last, so that no sample moves.
    """
    data = path.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    box = (8 + len(content)).to_bytes(4, "big") + name + content
    entry = data.index(b"stsd", data.index(b"vide")) + 12  # after version, flags and count
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    data = data[:end] + box + data[end:]
    places = [data.rindex(each, 0, entry) - 4 for each in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")]
    for place in (*places, entry):
        length = int.from_bytes(data[place : place + 4], "big") + len(box)
        data = data[:place] + length.to_bytes(4, "big") + data[place + 4 :]
    path.write_bytes(data)
    return path


def without_pes_times(path: Path, keeps: Callable[[int], bool]) -> Path:
    """Remove the timestamps of a TS file's video frames, except of those for whose numbers ``keeps`` is true."""
    data = bytearray(path.read_bytes())
    headers = [found.start() for found in re.finditer(rb"\x00\x00\x01\xe0", bytes(data))]
    timed = [at for at in headers if data[at + 6] >> 6 == 2 and data[at + 7] >> 6]
    for number, at in enumerate(timed):
        if not keeps(number):
            time_bytes = 10 if data[at + 7] >> 6 == 3 else 5
            data[at + 7] &= 0x3F
            data[at + 9 : at + 9 + time_bytes] = b"\xff" * time_bytes
    path.write_bytes(data)
    return path


EditEntries = Sequence[tuple[Fraction, Fraction | None, Fraction]]
"""Seconds, begin in the track (None for nothing) and rate of the parts that are played."""


def with_edit_lists(path: Path, *lists: EditEntries) -> Path:
    """Replace the edit lists of an MP4 file's tracks, whose index is at its end; begins count from the old ones."""
    data = path.read_bytes()
    boxes = _boxes(data)
    movie = _boxes(dict(boxes)[b"moov"])
    (units,) = struct.unpack_from(">I", dict(movie)[b"mvhd"], 12)
    waiting = list(lists)
    changed = [(name, _edited(box, units, waiting.pop(0)) if name == b"trak" else box) for name, box in movie]
    assert boxes[-1][0] == b"moov"
    path.write_bytes(b"".join(_box(name, _join(changed) if name == b"moov" else box) for name, box in boxes))
    return path


def _edited(track: bytes, movie_units: int, entries: EditEntries) -> bytes:
    boxes = _boxes(track)
    (units,) = struct.unpack_from(">I", dict(_boxes(dict(boxes)[b"mdia"]))[b"mdhd"], 12)
    (first,) = struct.unpack_from(">i", dict(boxes)[b"edts"], 8 + 12)
    table = struct.pack(">II", 0, len(entries))
    for seconds, begin, rate in entries:
        place = -1 if begin is None else first + round(begin * units)
        table += struct.pack(">Iii", round(seconds * movie_units), place, round(rate * 2**16))
    return _join([(name, _box(b"elst", table) if name == b"edts" else box) for name, box in boxes])


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    found, begin = [], 0
    while begin < len(data):
        length = int.from_bytes(data[begin : begin + 4], "big")
        found.append((data[begin + 4 : begin + 8], data[begin + 8 : begin + length]))
        begin += length
    return found


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _join(boxes: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join(_box(name, content) for name, content in boxes)
