"""``upscale`` from request to file: the network's own frames, at the size asked for, and nothing left behind."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from framepack.job import Job, Progress
from framepack.models.frames.device_frame import resize
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.networks import load_upscaler_network
from tests.support.clips import AudioSpec, Spec, make_clip, real_clip
from tests.support.networks import tiny_compact
from tests.support.runs import Bench, bench

ROOT = Path(__file__).parents[2]
_ACCURATE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@pytest.fixture
def own(tmp_path: Path) -> Bench:
    """A bench whose deployment has a small network of its own, "tiny"."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=4), tmp_path / "weights" / "tiny.safetensors")
    return bench(tmp_path)


def crop_of_real_clip(name: str, target: Path, corner: tuple[int, int], size: tuple[int, int], count: int) -> Path:
    """Part of a real clip, nearly lossless."""
    left, top = corner
    width, height = size
    with av.open(str(real_clip(name))) as source, av.open(str(target), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index, frame in enumerate(source.decode(source.streams.video[0])):
            if index == count:
                break
            part = np.ascontiguousarray(frame.to_ndarray(format="rgb24"), np.uint8)[
                top : top + height, left : left + width
            ]
            image = av.VideoFrame.from_ndarray(part.copy(), "rgb24").reformat(format="yuv420p")
            image.pts, image.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(image))
        output.mux(stream.encode(None))
    return target


def decoded(path: Path) -> Tensor:
    """All frames as RGB, shape (N, 3, H, W), 0..1, converted by FFmpeg at its most accurate."""
    with av.open(str(path)) as container:
        frames = [
            frame.reformat(format="rgb24", interpolation=_ACCURATE).to_ndarray()
            for frame in container.decode(video=0)
        ]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def luma_psnr(one: Tensor, other: Tensor) -> float:
    """PSNR of brightness in dB."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    error = ((one - other) * weights).sum(1).square().mean()
    return float(-10 * torch.log10(error))


@pytest.mark.parametrize("model", ["RealESRGAN_x4plus", "RealESRGAN_x4plus_anime_6B", "RealESR_AnimeVideo_v3"])
@pytest.mark.parametrize(
    ("clip", "corner"), [("bikes", (300, 90)), pytest.param("bigbuckbunny", (380, 120), marks=pytest.mark.slow)]
)
def test_frames_are_the_networks_own(model: str, clip: str, corner: tuple[int, int], tmp_path: Path) -> None:
    """Real weights on real clips: the file's frames equal the network called directly, within the encoder's loss."""
    source = crop_of_real_clip(clip, tmp_path / "source.mp4", corner, (80, 60), count=2)
    bench_ = bench(tmp_path, video_crf=4)

    answer = bench_.run("upscale", source, model=model, scale_factor=3.0)

    row = CATALOG.find(model)
    assert row is not None
    network = load_upscaler_network(row, bench_.runtime.models.store)
    with torch.inference_mode():
        expected = resize(network(decoded(source)), 240, 180)
    produced = decoded(bench_.output(answer))
    assert produced.shape == expected.shape
    assert luma_psnr(produced, expected) > 42
    assert -10 * torch.log10((produced - expected).square().mean()) > 34  # chroma has a quarter of the samples


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [
        ((64, 48), 1.0, (64, 48)),
        ((64, 48), 2.0, (128, 96)),
        ((64, 48), 4.0, (256, 192)),
        ((64, 48), 1.5, (96, 72)),
        ((61, 47), 2.0, (122, 94)),
        ((61, 47), 1.0, (62, 48)),
        ((64, 48), 3.3, (212, 158)),
    ],
)
def test_the_output_has_the_size_asked_for(
    own: Bench, tmp_path: Path, size: tuple[int, int], factor: float, expected: tuple[int, int]
) -> None:
    """Any factor gives exactly that size, rounded to even."""
    source = make_clip(tmp_path / "source.mp4", Spec(size=size, count=3, pix_fmt="yuv444p"))

    output = own.output(own.run("upscale", source, model="tiny", scale_factor=factor))

    with av.open(str(output)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == expected


def test_rate_length_and_audio_stay(own: Bench, tmp_path: Path) -> None:
    """30000/1001 stays 30000/1001, no frame is lost, and the audio's packets are the source's own."""
    source = make_clip(
        tmp_path / "source.mp4", Spec(fps=Fraction(30000, 1001), count=31, audio=AudioSpec(seconds=1.0, beeps=(0.5,)))
    )

    output = own.output(own.run("upscale", source, model="tiny"))

    def audio(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    with av.open(str(output)) as container:
        video = container.streams.video[0]
        assert (video.average_rate, video.frames) == (Fraction(30000, 1001), 31)
    assert audio(output) == audio(source)


def test_the_answer_is_the_documented_one(own: Bench, tmp_path: Path) -> None:
    """Message, path, name, size and inline copy fit the file; the name follows the document's pattern."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=3))

    answer = own.run("upscale", source, model="tiny", scale_factor=2.5)

    output = own.output(answer)
    data = output.read_bytes()
    assert answer == {
        "success": True,
        "message": "Video upscaled successfully",
        "output_video_base64": base64.b64encode(data).decode(),
        "output_path": f"/outputs/postprocessed_output/temp_processing/{output.name}",
        "output_filename": output.name,
        "output_file_size": len(data),
    }
    stem, suffix, scale, day, time, short_id = output.stem.split("_")
    assert (stem, suffix, scale) == ("video", "upscaled", "x2p5")
    assert (len(day), len(time), len(short_id)) == (6, 6, 6)


def test_a_second_job_loads_no_model(own: Bench, tmp_path: Path) -> None:
    """The model of the first job is still warm for the second."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=2))
    for _ in range(2):
        own.output(own.run("upscale", source, model="tiny"))

    assert own.runtime.models.cache.loads == 1


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"model": "RealESRGAN_x8"}, "invalid_field", "Valid models: RealESRGAN_x2plus, RealESRGAN_x4plus"),
        ({"scale_factor": 4.01}, "invalid_field", "scale_factor must be between 1 and 4"),
        ({"tile_size": 300}, "invalid_field", "tile_size must be 0, 256 or 512"),
        ({"tile_size": False}, "invalid_field", "tile_size must be 0, 256 or 512, not False"),
        ({"denoise_strength": -0.1}, "invalid_field", "denoise_strength must be between 0 and 1"),
        ({"model": "RealESRGAN_x2plus"}, "model_unavailable", "framepack weights fetch"),
    ],
)
def test_invalid_requests_are_refused(
    own: Bench, tmp_path: Path, fields: dict[str, Any], code: str, words: str
) -> None:
    """A refusal is one sentence that names what is allowed, and nothing is left or stored."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=2))

    answer = own.run("upscale", source, **fields)

    assert answer["code"] == code
    assert words in answer["error"]
    assert own.leftovers() == []
    assert not list((own.folder / "outputs").rglob("*.mp4"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_source_mb": 0.001}, "0.001 MB"),
        ({"max_seconds": 0.5}, "0.5"),
        ({"max_frames": 10}, "10"),
        ({"max_pixels": 1000}, "1000"),
        ({"max_output_pixels": 20_000}, "20000"),
        ({"max_output_frames": 10}, "10"),
    ],
)
def test_limits_are_checked_before_decoding(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    """Too much of anything is refused with the limit named, before a model is loaded or a frame decoded."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=25))
    reports: list[Progress] = []
    limited = bench(tmp_path, **settings)

    answer = limited.run("upscale", source, job=Job("test", reports.append), scale_factor=4.0)

    assert (answer["code"], answer["status"]) == ("too_large", 413)
    assert words in answer["error"]
    assert reports == []
    assert limited.runtime.models.cache.loads == 0


def test_a_cancelled_job_leaves_nothing(own: Bench, tmp_path: Path) -> None:
    """Cancelling midway ends with code "cancelled", no file in the store and none in the working folder."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=50))
    job = Job("test")
    job.report = lambda progress: job.cancel() if progress.done == 5 else None

    answer = own.run("upscale", source, job=job, model="tiny")

    assert answer["code"] == "cancelled"
    assert own.leftovers() == []
    assert not list((own.folder / "outputs").rglob("*.mp4"))


def test_running_out_of_memory_changes_no_pixel(own: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only small tiles fit, the job's frames equal those of an undisturbed run, and the next job works."""
    source = make_clip(tmp_path / "source.mp4", Spec(size=(160, 120), count=4))
    calm = decoded(own.output(own.run("upscale", source, model="tiny", scale_factor=4.0)))
    failures = _fail_above(monkeypatch, pixels=120 * 120)

    tight = decoded(own.output(own.run("upscale", source, model="tiny", scale_factor=4.0)))

    assert failures
    assert luma_psnr(calm, tight) > 60  # a compact network's tiles are exact; what remains is the encoder
    assert own.leftovers() == []
    assert own.run("upscale", source, model="tiny")["success"]


def test_too_little_memory_for_any_tile_is_reported(
    own: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If not even the smallest tile fits, the answer says so, and the worker lives on."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=3))
    with monkeypatch.context() as patch:
        _fail_above(patch, pixels=0)
        answer = own.run("upscale", source, model="tiny")

    assert (answer["code"], answer["status"]) == ("out_of_memory", 503)
    assert own.leftovers() == []
    assert own.run("upscale", source, model="tiny")["success"]


def _fail_above(patch: pytest.MonkeyPatch, pixels: int) -> list[int]:
    """Make convolutions of the upscaler run out of memory for larger frames; returns the sizes that failed."""
    from framepack.models.upscale.upscaler import Upscaler

    failed: list[int] = []
    upscale = Upscaler._upscale

    def limited(self: Upscaler, frames: Tensor) -> Tensor:
        size = frames.shape[0] * frames.shape[-1] * frames.shape[-2]
        if size > pixels:
            failed.append(size)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return upscale(self, frames)

    patch.setattr(Upscaler, "_upscale", limited)
    return failed


_PEAK = """
import sys
from pathlib import Path
from tests.support.runs import bench
folder, source = Path(sys.argv[1]), Path(sys.argv[2])
b = bench(folder)
b.output(b.run("upscale", source, model="tiny"))
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_length(own: Bench, tmp_path: Path) -> None:
    """The whole job's peak memory for a clip six times as long is within 5 %."""

    def peak(count: int) -> int:
        source = make_clip(
            tmp_path / f"{count}.mp4", Spec(size=(128, 96), count=count, audio=AudioSpec(seconds=count / 25))
        )
        command = [sys.executable, "-c", _PEAK, str(tmp_path), str(source)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return int(result.stdout.split()[-1])

    short, long = peak(150), peak(900)

    assert long < 1.05 * short


def test_the_stored_file_has_the_hash_of_its_link(own: Bench, tmp_path: Path) -> None:
    """The inline copy and the stored file are the same bytes."""
    source = make_clip(tmp_path / "source.mp4", Spec(count=3))
    answer = own.run("upscale", source, model="tiny")

    inline = base64.b64decode(answer["output_video_base64"])
    assert hashlib.sha256(inline).digest() == hashlib.sha256(own.output(answer).read_bytes()).digest()


def test_denoise_strength_blends_two_networks(tmp_path: Path) -> None:
    """The published pair of networks is blended by the strength; each strength is a model of its own in the cache."""
    from framepack.models.library import ModelLibrary
    from framepack.models.weights.catalog import Catalog
    from framepack.models.weights.store import WeightsStore
    from tests.support.weights import checkpoint, published, upscaler_row

    contents = {f"net{seed}.pth": checkpoint(tiny_compact(scale=4, seed=seed)) for seed in (1, 2)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    catalog = Catalog((upscaler_row(*(published(content, name) for name, content in contents.items()), name="pair"),))
    store = WeightsStore(tmp_path, allow_download=False, download=lambda *_: None, catalog=catalog)
    library = ModelLibrary(catalog, store, device="cpu")
    frame = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def upscaled(strength: float) -> NDArray[np.float32]:
        with library.upscaler("pair", strength) as upscaler:
            return np.asarray(upscaler(frame).float())

    ends = upscaled(0.0), upscaled(1.0)
    assert np.abs(ends[0] - ends[1]).max() > 0.01
    assert np.abs(upscaled(0.5) - ends[0]).max() > 0.005
    assert np.abs(upscaled(0.5) - ends[1]).max() > 0.005
    assert library.cache.loads == 3
