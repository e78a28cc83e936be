"""Frames in host memory: color tags, planes, filter graphs, sizes."""
