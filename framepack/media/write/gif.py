"""Write a clip as an animated GIF: one palette for all frames, chosen from all frames, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import InvalidMedia
from framepack.media.clip import HostFrame
from framepack.media.containers import open_output
from framepack.media.frames.encoder_frames import evened
from framepack.media.images.convert import rgb_image
from framepack.media.timeline.spool import Spool, open_spool, recorded
from framepack.media.write.encoders import DEFAULT_QUALITY

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.filter import Graph
    from av.filter.context import FilterContext
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip, Frame

_TICK: Final = Fraction(1, 100)  # GIF counts hundredths of seconds
_FORMAT: Final = "bgra"  # as palettegen and paletteuse take it
_COLORS: Final = (32, 256)
_FPS: Final = (10, 30)
_SEVEN_BITS: Final = "round(val*127/255)*255/127"  # 2 million colors at most are counted, not 16 million
_TO_SEVEN_BITS: Final = f"lutrgb=r={_SEVEN_BITS}:g={_SEVEN_BITS}:b={_SEVEN_BITS}"
# A fixed pattern takes a fourth of the time of error diffusion; files are 0.4 to 1.04 times as large, PSNR not less.
_DITHER: Final = "bayer:bayer_scale=5"
_FRAMES_OF_A_GRAPH: Final = 64  # paletteuse remembers every color it has met


@dataclass(frozen=True, slots=True)
class Look:
    """What a quality of 0 to 100 means for a GIF.

    Attributes:
        colors: Size of the palette: 32 to 256, growing evenly.
        step: Of how many frames one is kept, so that at most 10 (quality 0) to 30 (quality 100) are left a second.
    """

    colors: int
    step: int

    @classmethod
    def of(cls, quality: int, fps: Fraction) -> Look:
        """The look of a quality, for a clip of ``fps`` frames a second."""
        colors = _COLORS[0] + round(Fraction(quality, 100) * (_COLORS[1] - _COLORS[0]))
        most = _FPS[0] + Fraction(quality, 100) * (_FPS[1] - _FPS[0])
        return cls(colors, max(1, ceil(fps / most)))


def write_gif(clip: Clip, path: Path) -> int:
    """Write ``clip``, with all its repeats, as a GIF that plays forever; there is no audio in it.

    The frames are computed once: they wait on disk, without loss, until the palette is known.

    Returns:
        The number of frames of the clip that the file shows, those counted that were left out for the rate.

    Raises:
        InvalidMedia: The clip has no frames.
        DiskFull: There is no room for the file.
    """
    quality = DEFAULT_QUALITY if clip.encoding.quality is None else clip.encoding.quality
    look = Look.of(quality, clip.fps)
    counter = _Counter(clip, look.step)
    thinned = replace(clip, frames=counter.kept)
    with open_spool(thinned, path.parent) as spool:
        palette = _palette(recorded(thinned, spool), look)
        if palette is None:
            raise InvalidMedia("The video has no frames.")
        with open_output(path, "gif") as output:
            stream = _stream(output, clip)
            painted = _painted(spool, palette, clip.repeats)
            for index, frame in enumerate(painted):
                play, number = divmod(index, len(spool))
                begin = play * counter.count + number * look.step
                frame.pts, frame.time_base = round(begin / clip.fps / _TICK), _TICK
                frame.pict_type = 0
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return counter.count * clip.repeats


@dataclass(slots=True)
class _Counter:
    """Keeps one frame of ``step``, made even, and counts them all."""

    clip: Clip
    step: int
    count: int = 0

    def kept(self) -> Iterator[Frame]:
        with self.clip.playing() as frames:
            for index, frame in enumerate(frames):
                self.count = index + 1
                if index % self.step == 0:
                    yield frame


def _stream(output: OutputContainer, clip: Clip) -> VideoStream:
    stream: VideoStream = output.add_stream("gif", rate=clip.fps)
    codec = stream.codec_context
    codec.width, codec.height = clip.width + clip.width % 2, clip.height + clip.height % 2
    codec.pix_fmt, codec.time_base = "pal8", _TICK
    return stream


def _frames(frames: Iterator[Frame]) -> Iterator[av.VideoFrame]:
    """Frames in RGB, of even size, numbered."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    for index, frame in enumerate(frames):
        is_odd = frame.width % 2 or frame.height % 2
        even = HostFrame(evened(frame.on_host())) if is_odd else frame
        image = rgb_image(even, _FORMAT, reformatter)
        image.pts, image.time_base = index, _TICK
        yield image


def _palette(frames: Iterator[Frame], look: Look) -> av.VideoFrame | None:
    """The colors that fit all frames best, as a frame of 16 x 16 pixels; None if there are no frames."""
    import av

    graph = None
    for frame in _frames(frames):
        if graph is None:
            graph = _graph([frame], [_TO_SEVEN_BITS, f"palettegen=max_colors={look.colors}"])
        graph.vpush(frame)
        with suppress(av.BlockingIOError):  # there is no palette yet, but without being asked filters do not work
            graph.vpull()
    if graph is None:
        return None
    graph.vpush(None)
    return graph.vpull()


def _painted(spool: Spool, palette: av.VideoFrame, plays: int) -> Iterator[av.VideoFrame]:
    """The spooled frames, ``plays`` times in a row, in the palette's colors."""
    graph = None
    frames = (spool[index] for _ in range(plays) for index in range(len(spool)))
    for index, frame in enumerate(_frames(frames)):
        if graph is None or index % _FRAMES_OF_A_GRAPH == 0:
            graph = _graph([frame, palette], [f"paletteuse=dither={_DITHER}:diff_mode=rectangle"])
            palette.pts, palette.time_base = 0, _TICK
            graph.vpush(palette, at=1)
            graph.vpush(None, at=1)
        graph.vpush(frame, at=0)
        yield graph.vpull()


def _graph(likes: list[av.VideoFrame], chain: list[str]) -> Graph:
    """Filters in a row behind sources for frames like those given; the first filter takes them all."""
    from av.filter import Graph

    graph = Graph()
    latest = [_source(graph, like) for like in likes]
    for step in [*chain, "buffersink"]:
        name, _, arguments = step.partition("=")
        following = graph.add(name, arguments or None)
        for place, context in enumerate(latest):
            context.link_to(following, input_idx=place)
        latest = [following]
    graph.configure()
    return graph


def _source(graph: Graph, like: av.VideoFrame) -> FilterContext:
    shape = f"video_size={like.width}x{like.height}:pix_fmt={like.format.name}:time_base={_TICK}:pixel_aspect=1/1"
    return graph.add("buffer", f"{shape}:colorspace=gbr:range=pc")
