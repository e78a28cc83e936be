"""Fetch the published weights into a folder, for the image build; files already there are checked.

``python -m builder.fetch_weights --folder /weights`` fetches those of all video models, or what is named.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from framepack.errors import FramepackError
from framepack.models.provision import WHAT_TO_FETCH, fetch_weights
from framepack.settings import settings_or_exit


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 if every file is there and is the published one, else 1."""
    parser = argparse.ArgumentParser(description="Fetch model weights and check their SHA-256.")
    parser.add_argument("models", nargs="*", help=WHAT_TO_FETCH)
    parser.add_argument("--folder", type=Path, default=Path("weights"), help="where the files go")
    options = parser.parse_args(arguments)
    settings = settings_or_exit(weights_dir=options.folder, weights_download=True)
    try:
        complete = fetch_weights(options.models, settings, lambda line: print(line, flush=True))
    except FramepackError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
