"""``list_models`` gives every model that ``upscale`` takes."""

from pathlib import Path

from safetensors.torch import save_file

from tests.support.networks import tiny_compact
from tests.support.runs import bench


def test_the_six_published_models_are_listed(tmp_path: Path) -> None:
    """Names, scales and descriptions as the document has them."""
    answer = bench(tmp_path).run("list_models")

    assert answer["success"] is True
    assert {name: model["scale"] for name, model in answer["models"].items()} == {
        "RealESRGAN_x2plus": 2,
        "RealESRGAN_x4plus": 4,
        "RealESRNet_x4plus": 4,
        "RealESR-general-x4v3": 4,
        "RealESRGAN_x4plus_anime_6B": 4,
        "RealESR_AnimeVideo_v3": 4,
    }
    assert answer["models"]["RealESRGAN_x2plus"]["description"] == "General purpose 2x upscaler, balanced quality"


def test_a_deployments_own_model_appears(tmp_path: Path) -> None:
    """A checkpoint put into the weights folder is listed under its file name."""
    bench_ = bench(tmp_path)
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=2), tmp_path / "weights" / "my_model.safetensors")

    models = bench_.run("/postprocess/models")["models"]

    assert models["my_model"]["scale"] == 2
