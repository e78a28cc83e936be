"""Faces: detection, alignment, tracking, restoration, blending."""
