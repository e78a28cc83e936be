"""The demo: runs an upscale job with real weights and draws the result.

``python handler.py`` reads ``test_input.json``, upscales its clip and stores the output. An image that compares
frames before and after is written beside the output.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from framepack.media.images.compare import compare

ROOT = Path(__file__).parent.parent
MARK = "Output file: "


def main() -> int:
    """Run the job, draw the image, and print where both are."""
    worker = subprocess.run([sys.executable, "handler.py"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(worker.stdout, end="", flush=True)
    paths = [line.removeprefix(MARK) for line in worker.stdout.splitlines() if line.startswith(MARK)]
    if worker.returncode != 0 or not paths:
        print("The demo's job failed.", file=sys.stderr)
        return 1
    output = Path(paths[0])
    job = json.loads((ROOT / "test_input.json").read_text(encoding="utf-8"))
    image = output.with_name(f"{output.stem}_before_after.png")
    with TemporaryDirectory() as folder:
        before = Path(folder) / "before.mp4"
        before.write_bytes(base64.b64decode(job["input"]["video_base64"]))
        compare(before, output, image)
    print(f"Before and after: {image}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
