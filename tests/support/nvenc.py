"""A stand-in for NVENC on machines without it: x264 under its name, which may fail like a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import pytest

from framepack.media.write import encoders
from framepack.media.write.nvenc import NVENC

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SESSIONS_USED = "OpenEncodeSessionEx failed: out of memory (10): (no details)"


@dataclass
class StandIn:
    """Encodes with x264 in place of NVENC.

    Attributes:
        fails_at: Number of the frame at which a session fails, from 0; -1: when it is opened; None: never.
        fails_once: Whether only the first session fails.
        logged: What FFmpeg logs if it cannot be opened.
        change: Applied to the arrays of luma before they are encoded.
        options: Options of x264.
        sessions: The options that were given to NVENC, for each session.
    """

    fails_at: int | None = None
    fails_once: bool = False
    logged: Sequence[str] = (SESSIONS_USED,)
    change: Callable[[Any], Any] | None = None
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "16"})
    sessions: list[dict[str, str]] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> StandIn:
        """Take NVENC's place until the test ends."""
        make = encoders.new_stream

        def new_stream(output: OutputContainer, name: str, fps: Fraction, options: dict[str, str]) -> VideoStream:
            if name != NVENC:
                return make(output, name, fps, options)
            self.sessions.append(options)
            fails = self.fails_at if len(self.sessions) == 1 or not self.fails_once else None
            real = make(output, "libx264", fps, self.options)
            logged = self.logged if fails == -1 else ()
            stream: Any = _Session(real, fails, _Codec(real.codec_context, logged), self.change)
            return stream  # type: ignore[no-any-return]

        monkeypatch.setattr(encoders, "new_stream", new_stream)
        return self


class _Codec:
    """The codec context of a session, whose opening fails if there is something to log."""

    def __init__(self, codec: Any, logged: Sequence[str]) -> None:
        object.__setattr__(self, "_codec", codec)
        object.__setattr__(self, "_logged", logged)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._codec, name, value)

    def open(self) -> None:
        """Open it, or fail as with a consumer's card whose sessions are all used."""
        for message in self._logged:
            av.logging.log(av.logging.ERROR, NVENC, message + "\n")
        if self._logged:
            raise av.error.MemoryError(12, "Cannot allocate memory")
        self._codec.open()


class _Session:
    """The stream of a session."""

    def __init__(
        self, stream: VideoStream, fails_at: int | None, codec: _Codec, change: Callable[[Any], Any] | None
    ) -> None:
        self._stream, self._fails_at, self._change = stream, fails_at, change
        self._frames = 0
        self.codec_context = codec

    def encode(self, frame: av.VideoFrame | None) -> list[Packet[VideoStream]]:
        """Encode a frame, or fail as after a reset of the driver."""
        if self._frames == self._fails_at:
            raise av.error.ExternalError(-542398533, "Generic error in an external library")
        self._frames += 1
        if self._change is not None and frame is not None:
            array = frame.to_ndarray()
            changed = av.VideoFrame.from_ndarray(self._change(array), "yuv420p")
            changed.pts, changed.time_base = frame.pts, frame.time_base
            frame = changed
        return self._stream.encode(frame)
