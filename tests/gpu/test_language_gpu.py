"""The language models' classes on a real GPU, with tiny models: half precision, seeds, and memory given back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from framepack.job import Job
from framepack.models.language.captioner import Captioner
from framepack.models.language.enhancer import Enhancer
from framepack.models.memory.device import Device
from tests.support.clips import scene
from tests.support.tiny_language import florence, granite

pytestmark = pytest.mark.gpu


def test_prompts_are_enhanced_in_half_precision(tmp_path: Path) -> None:
    """The same seed writes the same text, section by section, on the GPU."""
    enhancer = Enhancer(granite(tmp_path / "granite"), Device.find("cuda"), max_new_tokens=24)
    prompt = "[1s: a cat][2s: a very, very big dog]"

    texts = [enhancer(prompt, Job(), seed=seed) for seed in (1, 1, 2)]

    assert enhancer._network.device.type == "cuda"
    assert enhancer._network.dtype in {torch.bfloat16, torch.float16}
    assert texts[0] == texts[1] != texts[2]


def test_frames_are_captioned_in_half_precision(tmp_path: Path) -> None:
    """The same frame gets the same words."""
    captioner = Captioner(florence(tmp_path / "florence"), Device.find("cuda"))

    captions = [captioner(scene(seed, 60, 40), Job()) for seed in (1, 1, 5)]

    assert captioner._network.dtype == torch.float16
    assert captions[0] == captions[1] != ""
