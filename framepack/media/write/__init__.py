"""Encoding and writing video files."""
