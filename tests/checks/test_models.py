"""The checks of weights, of language models and of the main model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from framepack.checks.finding import Finding
from framepack.checks.models import check_generator, check_language_models, check_weights
from tests.support.control_plane import ROOT
from tests.support.locked_out import as_ordinary_user
from tests.support.networks import tiny_compact
from tests.support.runs import bench

_LANGUAGE = """
import sys
from pathlib import Path
from framepack.checks.models import check_language_models
from tests.support.runs import bench
folder, cache = map(Path, sys.argv[1:])
runtime = bench(folder, weights_download=True, hub_cache_dir=cache).runtime
print(*(each.state for each in check_language_models(runtime)))
"""


def weights(folder: Path, **settings: object) -> dict[str, Finding]:
    """The findings about weights, by name."""
    return {each.name: each for each in check_weights(bench(folder, **settings).runtime)}


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package with some of the weights is not installed."""
    monkeypatch.setattr("framepack.models.weights.store.wheel_paths", lambda _wheel: None)


def test_missing_weights_that_may_be_fetched_are_not_an_error(tmp_path: Path, without_wheel: None) -> None:
    """A fresh installation has no weights."""
    found = weights(tmp_path, weights_download=True)

    assert {each.state for each in found.values()} == {"ok"}
    assert found["interpolator weights"].sentence == "RIFE_v4.25: downloaded when first needed."


def test_a_worker_without_any_upscaler_is_an_error(tmp_path: Path, without_wheel: None) -> None:
    """Other missing models are warnings. The remedy is a command."""
    found = weights(tmp_path)

    assert [each.state for each in found.values()] == ["error", "warning", "warning"]
    assert "`framepack weights fetch RealESRGAN_x2plus RealESRGAN_x4plus " in str(found["upscaler weights"].remedy)
    assert str(tmp_path / "weights") in str(found["upscaler weights"].remedy)


def test_a_custom_upscaler_is_sufficient(tmp_path: Path, without_wheel: None) -> None:
    """The missing published models are a warning."""
    (tmp_path / "weights").mkdir()
    save_file(tiny_compact(scale=4), tmp_path / "weights" / "tiny.safetensors")

    assert weights(tmp_path)["upscaler weights"].state == "warning"


def test_weights_with_another_hash_are_reported_as_unpublished(tmp_path: Path) -> None:
    """They are not replaced, even if downloads are allowed."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "GFPGANv1.4.pth").write_bytes(b"torn")

    finding = weights(tmp_path, weights_download=True)["face weights"]

    assert finding.state == "warning"
    assert finding.sentence.startswith("The weights of GFPGANv1.4 are there, but are not the published ones.")
    assert "YuNet: downloaded when first needed." in finding.sentence
    assert finding.remedy == (
        f"Delete the files of GFPGANv1.4 in {tmp_path / 'weights'} and fetch them anew with "
        "`framepack weights fetch GFPGANv1.4`."
    )


def test_missing_weights_with_an_unwritable_folder_are_a_warning(tmp_path: Path) -> None:
    """Downloads are allowed, but the folder cannot be created."""
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "weights"

    found = weights(tmp_path, weights_download=True, weights_dir=folder)
    runtime = bench(tmp_path, weights_download=True, weights_dir=folder, hub_cache_dir=tmp_path / "cache").runtime
    language = list(check_language_models(runtime))

    for finding in (found["interpolator weights"], *language):
        assert finding.state == "warning"
        assert (
            f"cannot be fetched into {folder} (FRAMEPACK_WEIGHTS_DIR): {tmp_path}/file is a file" in finding.sentence
        )
        assert "Set FRAMEPACK_WEIGHTS_DIR to a folder that uid " in str(finding.remedy)


@pytest.mark.parametrize(("download", "state"), [(True, "ok"), (False, "warning")])
def test_missing_language_models_that_may_be_fetched_are_not_an_error(
    tmp_path: Path, *, download: bool, state: str
) -> None:
    """The finding has the size. If downloads are not allowed, the remedy is a command."""
    found = list(
        check_language_models(bench(tmp_path, weights_download=download, hub_cache_dir=tmp_path / "cache").runtime)
    )

    assert [each.name for each in found] == ["enhancer model", "captioner model"]
    assert {each.state for each in found} == {state}
    assert "ibm-granite/granite-3.3-2b-instruct (5.1 GB)" in found[0].sentence
    assert (found[0].remedy is None) is download


def test_an_unknown_language_model_is_an_error_naming_the_setting(tmp_path: Path) -> None:
    """The message has the name of the setting."""
    found = list(check_language_models(bench(tmp_path, enhancer_model="/no/such").runtime))

    assert (found[0].state, found[1].name) == ("error", "captioner model")
    assert "FRAMEPACK_ENHANCER_MODEL" in str(found[0])


def test_a_hub_cache_without_read_permission_is_ignored(tmp_path: Path) -> None:
    """It may belong to another user."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0)

    command = [*as_ordinary_user(), sys.executable, "-c", _LANGUAGE, str(tmp_path), str(cache)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert result.stdout == "ok ok\n"


def test_the_generator_is_loaded_or_its_import_error_reported(tmp_path: Path) -> None:
    """Without the setting there is no finding."""
    assert check_generator(bench(tmp_path).runtime) is None

    broken = check_generator(bench(tmp_path, device="cpu", generator="no_such_module:make").runtime)
    assert broken is not None
    assert broken.state == "error"
    assert "no_such_module" in broken.sentence

    loaded = bench(tmp_path, device="cpu", generator="tests.support.generators:transformer").runtime
    finding = check_generator(loaded)
    assert finding is not None
    assert finding.state == "ok"
    assert [each.group for each in loaded.models.cache.status()] == ["generator"]
