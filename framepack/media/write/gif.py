"""Write a clip as an animated GIF with one palette that is computed from all frames, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.closing import closing
from framepack.errors import InvalidMedia
from framepack.media.clip import HostFrame
from framepack.media.containers import open_output
from framepack.media.frames.yuv420 import pad_to_even
from framepack.media.images.convert import rgb_image
from framepack.media.timeline.frame_cache import FrameCache, cache_frames, open_frame_cache
from framepack.media.write.encoders import DEFAULT_QUALITY

if TYPE_CHECKING:
    import av
    from av.container import OutputContainer
    from av.filter import Graph
    from av.filter.context import FilterContext
    from av.video.stream import VideoStream

    from framepack.media.clip import Clip, Frame

_TICK: Final = Fraction(1, 100)  # the time unit of GIF is a hundredth of a second
_MAX_DELAY: Final = 65_535
_FORMAT: Final = "bgra"  # the input of palettegen and paletteuse
_COLORS: Final = (32, 256)
_FPS: Final = (10, 30)
_LITTLE_MORE: Final = Fraction(1, 8)  # a rate is not halved because it is this much above the limit
_SEVEN_BITS: Final = "round(val*127/255)*255/127"  # palettegen then counts at most 2 million colors, not 16 million
_TO_SEVEN_BITS: Final = f"lutrgb=r={_SEVEN_BITS}:g={_SEVEN_BITS}:b={_SEVEN_BITS}"
# Bayer dithering takes a fourth of the time of error diffusion; files are 0.4 to 1.04 times as large at equal PSNR.
_DITHER: Final = "bayer:bayer_scale=5"
_FRAMES_OF_A_GRAPH: Final = 64  # paletteuse caches every color it has seen


@dataclass(frozen=True, slots=True)
class GifQuality:
    """The settings of a GIF for a quality of 0 to 100.

    Attributes:
        colors: Size of the palette: 32 to 256, linear in the quality.
        step: Every ``step``-th frame is kept, so that about 10 (quality 0) to 30 (quality 100) at most remain per
            second: 30 at the default quality.
    """

    colors: int
    step: int

    @classmethod
    def of(cls, quality: int, fps: Fraction) -> GifQuality:
        """The settings for a quality and a clip's frame rate."""
        colors = _COLORS[0] + round(Fraction(quality, 100) * (_COLORS[1] - _COLORS[0]))
        most = _FPS[0] + Fraction(quality, 100) * (_FPS[1] - _FPS[0])
        return cls(colors, max(1, ceil(fps / most - _LITTLE_MORE)))

    @classmethod
    def of_clip(cls, clip: Clip) -> GifQuality:
        """The settings for a clip."""
        return cls.of(DEFAULT_QUALITY if clip.encoding.quality is None else clip.encoding.quality, clip.fps)


def write_gif(clip: Clip, path: Path, warn: Callable[[str], None]) -> int:
    """Write ``clip``, including repeats, as a GIF that plays forever, without audio.

    The frames are computed once and cached on disk, losslessly, until the palette is known.

    Args:
        clip: The clip.
        path: The file, replaced if it exists.
        warn: Called with a sentence for the client if frames are left out.

    Returns:
        The number of frames of the clip, including those that were dropped to reduce the frame rate.

    Raises:
        InvalidMedia: The clip has no frames.
        DiskFull: The disk is full.
    """
    settings = GifQuality.of_clip(clip)
    counter = _Counter(clip, settings.step)
    thinned = replace(clip, frames=counter.kept)
    with open_frame_cache(thinned, path.parent) as cache:
        palette = _palette(cache_frames(thinned, cache), settings)
        if palette is None:
            raise InvalidMedia("The video has no frames.")
        # Times on the grid of GIF, each rounded by itself, so that delays add up to the length of the clip.
        times = [
            round((repetition * counter.count + number * settings.step) / clip.fps / _TICK)
            for repetition in range(clip.repeats)
            for number in range(len(cache))
        ]
        end = round(counter.count * clip.repeats / clip.fps / _TICK)
        last_delay = min(max(1, end - times[-1]), _MAX_DELAY)
        with open_output(path, "gif", final_delay=str(last_delay)) as output:
            stream = _stream(output, clip)
            for time, frame in zip(times, _apply_palette(cache, palette, clip.repeats), strict=True):
                frame.pts, frame.time_base = time, _TICK
                frame.pict_type = 0
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    if counter.left_out:
        warn(
            f"{_at_most(clip, settings)}: {counter.left_out * clip.repeats} of "
            f"{counter.source_frames * clip.repeats} frames were left out."
        )
    return counter.count * clip.repeats


def foresee_gif(clip: Clip) -> tuple[Fraction, int | None, str | None]:
    """The frame rate and the number of frames of the GIF of a clip, and the sentence about what it may leave out."""
    settings = GifQuality.of_clip(clip)
    frames = None if clip.length is None else ceil(clip.length / settings.step) * clip.repeats
    sentence = f"{_at_most(clip, settings)}; others are left out." if settings.step > 1 else None
    return clip.fps / settings.step, frames, sentence


def _at_most(clip: Clip, settings: GifQuality) -> str:
    return f"The GIF shows at most {float(clip.fps / settings.step):.4g} frames per second"


@dataclass(slots=True)
class _Counter:
    """Keeps every ``step``-th frame, and counts all frames.

    Attributes:
        clip: The clip.
        step: Distance of the frames that are kept.
        count: Number of frames.
        source_frames: Number of frames of which each is counted once, however long it stays.
        left_out: Number of those that are not shown at all.
    """

    clip: Clip
    step: int
    count: int = 0
    source_frames: int = 0
    left_out: int = 0

    def kept(self) -> Iterator[Frame]:
        latest, is_shown = None, True
        with closing(self.clip.frames()) as frames:
            for index, frame in enumerate(frames):
                self.count = index + 1
                if frame is not latest:
                    self.source_frames += 1
                    self.left_out += not is_shown
                    latest, is_shown = frame, False
                if index % self.step == 0:
                    is_shown = True
                    yield frame
        self.left_out += not is_shown


def _stream(output: OutputContainer, clip: Clip) -> VideoStream:
    stream: VideoStream = output.add_stream("gif", rate=clip.fps)
    codec = stream.codec_context
    codec.width, codec.height = clip.width + clip.width % 2, clip.height + clip.height % 2
    codec.pix_fmt, codec.time_base = "pal8", _TICK
    return stream


def _frames(frames: Iterator[Frame]) -> Iterator[av.VideoFrame]:
    """Convert frames to RGB of even size, with their numbers as timestamps."""
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    for index, frame in enumerate(frames):
        is_odd = frame.width % 2 or frame.height % 2
        even = HostFrame(pad_to_even(frame.on_host())) if is_odd else frame
        image = rgb_image(even, _FORMAT, reformatter)
        image.pts, image.time_base = index, _TICK
        yield image


def _palette(frames: Iterator[Frame], settings: GifQuality) -> av.VideoFrame | None:
    """Compute the palette of all frames, as a frame of 16 x 16 pixels; None if there are no frames."""
    import av

    graph = None
    for frame in _frames(frames):
        if graph is None:
            graph = _graph([frame], [_TO_SEVEN_BITS, f"palettegen=max_colors={settings.colors}"])
        graph.vpush(frame)
        with suppress(av.BlockingIOError):  # no palette yet, but filters only run when a result is requested
            graph.vpull()
    if graph is None:
        return None
    graph.vpush(None)
    return graph.vpull()


def _apply_palette(cache: FrameCache, palette: av.VideoFrame, repeats: int) -> Iterator[av.VideoFrame]:
    """Convert the cached frames, ``repeats`` times in a row, to the palette's colors."""
    graph = None
    frames = (cache[index] for _ in range(repeats) for index in range(len(cache)))
    for index, frame in enumerate(_frames(frames)):
        if graph is None or index % _FRAMES_OF_A_GRAPH == 0:
            graph = _graph([frame, palette], [f"paletteuse=dither={_DITHER}:diff_mode=rectangle"])
            palette.pts, palette.time_base = 0, _TICK
            graph.vpush(palette, at=1)
            graph.vpush(None, at=1)
        graph.vpush(frame, at=0)
        yield graph.vpull()


def _graph(examples: list[av.VideoFrame], chain: list[str]) -> Graph:
    """Build a graph with one source for each example frame, all connected to the first filter of the chain."""
    from av.filter import Graph

    graph = Graph()
    latest = [_source(graph, example) for example in examples]
    for step in [*chain, "buffersink"]:
        name, _, arguments = step.partition("=")
        following = graph.add(name, arguments or None)
        for index, context in enumerate(latest):
            context.link_to(following, input_idx=index)
        latest = [following]
    graph.configure()
    return graph


def _source(graph: Graph, example: av.VideoFrame) -> FilterContext:
    size = f"{example.width}x{example.height}"
    shape = f"video_size={size}:pix_fmt={example.format.name}:time_base={_TICK}:pixel_aspect=1/1"
    return graph.add("buffer", f"{shape}:colorspace=gbr:range=pc")
