"""Checks of what a deployment needs, for the start of a worker and for ``framepack doctor``."""
