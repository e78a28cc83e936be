"""Network architectures that no library of ours holds; written here, loading the published checkpoints."""
