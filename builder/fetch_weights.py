"""Fetch the published weights into a folder, for the image build; files already there are checked.

``python -m builder.fetch_weights --folder /weights`` fetches all of them, or only the models named.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from framepack.errors import FramepackError
from framepack.models.catalogue import CATALOGUE
from framepack.models.weights import WeightsStore, ensure_all
from framepack.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 if every file is there and is the published one, else 1."""
    parser = argparse.ArgumentParser(description="Fetch model weights and check their SHA-256.")
    parser.add_argument("models", nargs="*", help="names of models; all of them if none is given")
    parser.add_argument("--folder", type=Path, default=Path("weights"), help="where the files go")
    options = parser.parse_args(arguments)
    store = WeightsStore.from_settings(Settings(weights_dir=options.folder, weights_download=True))
    try:
        complete = ensure_all(CATALOGUE.select(options.models), store, lambda line: print(line, flush=True))
    except FramepackError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
