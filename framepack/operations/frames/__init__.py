"""Frames studio: videos as folders of images, and back."""
