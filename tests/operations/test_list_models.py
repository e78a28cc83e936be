"""``list_models`` gives every model that ``upscale`` takes, and says what this machine lacks for any model."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from framepack.registry import discover
from tests.support.locked_out import mounted
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


def models_of(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All models of an answer, by name."""
    return {**answer["models"], **answer["others"]}


def test_a_model_whose_weights_are_missing_is_listed_with_what_to_do(tmp_path: Path) -> None:
    """The file, its folder and the command where downloads are turned off; else its size and where it comes from."""
    kept = models_of(bench(tmp_path).run("list_models"))
    fetched = models_of(bench(tmp_path, weights_download=True).run("list_models"))
    folder = tmp_path / "weights"

    assert (kept["RealESRNet_x4plus"]["is_usable"], fetched["RealESRNet_x4plus"]["is_usable"]) == (False, True)
    assert kept["RealESRNet_x4plus"]["notice"] == (
        "RealESRNet_x4plus cannot be used, because RealESRNet_x4plus.pth is missing and the server may not download "
        f"it: put it into {folder}, or run `framepack weights fetch RealESRNet_x4plus`."
    )
    assert fetched["RIFE_v4.25"]["notice"] == (
        "RIFE_v4.25 is not on this machine yet: flownet_v4.25.pkl (25 MB) is downloaded from github.com into "
        f"{folder} when the model is first used."
    )
    assert "its files (5072 MB) are downloaded" in fetched["ibm-granite/granite-3.3-2b-instruct"]["notice"]
    assert (
        "realesr-general-x4v3.pth and realesr-general-wdn-x4v3.pth are missing"
        in (kept["RealESR-general-x4v3"]["notice"])
    )


def test_a_model_whose_weights_are_there_has_no_notice_and_one_with_wrong_ones_has(tmp_path: Path) -> None:
    """A file of the published size counts as there; hashes are compared when it is loaded."""
    folder = tmp_path / "weights"
    (folder / "some" / "captioner").mkdir(parents=True)
    save_file(tiny_compact(scale=2), folder / "my_model.safetensors")
    (folder / "RealESRGAN_x2plus.pth").write_bytes(b"cut off")
    with (folder / "flownet_v4.25.pkl").open("wb") as file:
        file.truncate(24_636_301)

    chosen = {"captioner_model": str(folder / "some" / "captioner")}
    models = models_of(bench(tmp_path, weights_download=True, **chosen).run("list_models"))

    assert [models[name]["notice"] for name in ("my_model", "RIFE_v4.25")] == [None, None]
    assert models["RealESRGAN_x2plus"] | {"scale": 0, "description": ""} == {
        "is_usable": False,
        "notice": f"RealESRGAN_x2plus cannot be used, because RealESRGAN_x2plus.pth in {folder} is not the published "
        "file: delete it or replace it.",
        "scale": 0,
        "description": "",
    }
    assert models["captioner"]["notice"].startswith("The folder of captioner lacks config.json")


def test_weights_that_cannot_be_stored_are_not_said_to_be_downloaded(tmp_path: Path) -> None:
    """The folder is named, and what else can be done."""
    with mounted(tmp_path / "weights", "ro") as folder:
        model = bench(tmp_path, weights_download=True).run("list_models")["others"]["RIFE_v4.25"]
    assert model["is_usable"] is False
    assert f"the server may not write to {folder}: put it into {folder}, or run" in model["notice"]


def test_every_other_model_names_an_operation_or_a_field_of_one(tmp_path: Path) -> None:
    """So that a form shows its notice where it belongs."""
    registry = discover()
    for model in bench(tmp_path).run("list_models")["others"].values():
        name, _, field = model["needed_for"].partition(".")
        assert not field or field in registry.find(name).request.model_fields
