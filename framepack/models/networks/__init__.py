"""Definitions of the published networks, and what the rest knows of an upscaling network."""
