"""Muxing: interleaving packets, and copying encoded video without re-encoding."""
