"""Presets of workflows."""
