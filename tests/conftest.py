"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A slow machine is no defect: whole tests have a timeout of their own.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")
