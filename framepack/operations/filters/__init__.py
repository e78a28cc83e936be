"""Presets of filters."""
