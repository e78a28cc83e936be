"""RunPod entry point: builds the runtime once, then serves jobs."""

from framepack.runtime import Runtime
from framepack.settings import Settings
from framepack.worker.loop import start

if __name__ == "__main__":
    start(Runtime(Settings()))
