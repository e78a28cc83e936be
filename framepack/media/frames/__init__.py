"""Frames in host memory: colors, planes, filter graphs, sizes."""
