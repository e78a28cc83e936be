"""RunPod entry point: builds the runtime once, then runs jobs."""

from framepack.runtime import Runtime
from framepack.settings import settings_or_exit
from framepack.worker.loop import start

if __name__ == "__main__":
    start(Runtime(settings_or_exit()))
