"""``list_models`` gives every model that ``upscale`` takes."""

from pathlib import Path

from safetensors.torch import save_file

from tests.support.networks import tiny_compact
from tests.support.runs import bench
from tests.support.weights import DOCUMENTED_SCALES


def test_the_documented_models_are_listed(tmp_path: Path) -> None:
    """Their names, scales and descriptions are those of the document."""
    answer = bench(tmp_path).run("list_models")

    assert answer["success"] is True
    listed = {name: model["scale"] for name, model in answer["models"].items()}
    assert listed.items() >= DOCUMENTED_SCALES.items()
    assert answer["models"]["RealESRGAN_x2plus"]["description"] == "General purpose 2x upscaler, balanced quality"


def test_a_deployments_own_model_appears(tmp_path: Path) -> None:
    """A checkpoint put into the weights folder is listed under its file name."""
    bench_ = bench(tmp_path)
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=2), tmp_path / "weights" / "my_model.safetensors")

    models = bench_.run("/postprocess/models")["models"]

    assert models["my_model"]["scale"] == 2
