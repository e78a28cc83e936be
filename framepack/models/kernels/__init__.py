"""GPU kernels written in Triton. Only what runs on a GPU imports Triton, which takes long to load."""
