"""Device memory: the model cache, what is allocated, and the out-of-memory fallback."""
