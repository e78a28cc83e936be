"""The check of the encoder of H.264."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framepack.checks.finding import Finding
from framepack.media.write.encoder_choice import REMEDY

if TYPE_CHECKING:
    from framepack.media.write.encoder_choice import EncoderChoice


def check_encoder(encoders: EncoderChoice) -> Finding:
    """Check whether the encoder that is set can be used, which may take a second at the first call."""
    report = encoders.report()
    if report.problem is not None:
        return Finding("encoder", "error", report.problem, REMEDY)
    return Finding("encoder", "ok", report.sentence)
