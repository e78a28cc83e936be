"""FramePack worker: finishes AI videos as RunPod jobs or over REST."""

__version__ = "0.2.0"
