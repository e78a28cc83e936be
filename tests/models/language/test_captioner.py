"""The captioner with a tiny model of the real class; what it says is tested with its operation."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from framepack.errors import ModelUnavailable, OutOfMemory
from framepack.job import Job
from framepack.models.language.captioner import Captioner
from framepack.models.memory.device import Device
from tests.support.clips import scene
from tests.support.tiny_language import florence, granite

CPU = Device(torch.device("cpu"))


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    """A tiny one."""
    return Captioner(florence(tmp_path_factory.mktemp("florence")), CPU)


def test_concurrent_calls_do_not_mix(captioner: Captioner) -> None:
    """Jobs that share the model get what they would get alone."""
    images = [scene(seed, 50, 40) for seed in range(3)]
    alone = [captioner(image, Job()) for image in images]

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda image: captioner(image, Job()), images))

    assert together == alone


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 300), (300, 3)])
def test_images_of_any_size_are_accepted(captioner: Captioner, size: tuple[int, int]) -> None:
    """Also images that could be taken for something with channels first."""
    image = np.random.default_rng(1).integers(0, 255, (*size, 3)).astype(np.uint8)

    assert captioner(image, Job())


def test_out_of_memory_raises(captioner: Captioner) -> None:
    """It is tried once more, and then refused with a sentence."""
    tries: list[int] = []

    def run_out(*_: object) -> None:
        tries.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = captioner._network.model.vision_tower.register_forward_pre_hook(run_out)
    try:
        with pytest.raises(OutOfMemory, match=r"too small to caption this image\.$"):
            captioner(scene(1, 50, 40), Job())
    finally:
        hook.remove()
    assert len(tries) == 2


def test_another_kind_of_model_is_rejected(tmp_path: Path) -> None:
    """With a sentence, whatever the loader makes of it."""
    with pytest.raises(ModelUnavailable, match=r"those of another kind of model\.$"):
        Captioner(granite(tmp_path / "granite"), CPU)
