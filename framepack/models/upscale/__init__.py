"""Upscaling: networks, tiling, precision, and the loop over frames."""
