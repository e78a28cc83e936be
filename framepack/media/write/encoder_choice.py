"""Which encoder makes the H.264 of this process: x264, or NVENC where it has been tried with success."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from framepack.errors import Unavailable
from framepack.media.write.encoders import H264Settings, crf_of
from framepack.media.write.nvenc import MAX_HARDWARE_SIDE
from framepack.media.write.nvenc_trial import Trial, try_nvenc

if TYPE_CHECKING:
    from framepack.media.clip import Clip
    from framepack.media.write.nvenc import EncoderFailed

log = logging.getLogger("framepack.media")

Encoder = Literal["x264", "nvenc"]
EncoderSetting = Literal["auto", "x264", "nvenc"]

TRIAL_SECONDS: Final = 20.0
"""Time limit of the trial: a driver may hang."""

REMEDY: Final = "Set FRAMEPACK_ENCODER=auto to use x264 where NVENC does not work, or x264."
"""What to do if NVENC is demanded and cannot be used."""


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """The encoder of H.264 in use.

    Attributes:
        encoder: The encoder.
        sentence: Which one, and why.
        problem: A sentence that says why the one that is demanded cannot be used; None if it can.
    """

    encoder: Encoder
    sentence: str
    problem: str | None = None


class EncoderChoice:
    """Chooses the encoder of H.264 for a process; NVENC is tried once, before its first use.

    Args:
        setting: "x264", "nvenc", or "auto": NVENC where it works and is not slower than x264.
        h264: Quality and preset of the trial.
        device: The setting of the device for inference, whose GPU encodes; with "cpu", "auto" is x264.
        trial: Tries NVENC.
    """

    def __init__(
        self,
        setting: EncoderSetting = "x264",
        h264: H264Settings = H264Settings(),  # noqa: B008 - frozen
        device: str = "auto",
        trial: Callable[[H264Settings], Trial] = try_nvenc,
    ) -> None:
        self._setting = setting
        self._gpu = int(device.partition(":")[2] or 0)
        self._trial_settings = replace(h264, nvenc_gpu=self._gpu)
        self._is_on_cpu = device == "cpu"
        self._trial = trial
        self._lock = threading.Lock()
        self._report: EncoderReport | None = None

    def report(self) -> EncoderReport:
        """The encoder in use. The first call tries NVENC if the setting allows it, and logs the outcome."""
        with self._lock:
            if self._report is None:
                self._report = self._examine()
                if self._setting != "x264":
                    log.info("%s", self._report.problem or self._report.sentence)
            return self._report

    def begin(self) -> None:
        """Try NVENC in the background, if the setting allows it; `report` waits for the outcome."""
        if self._setting != "x264":
            threading.Thread(target=self.report, name="choice of the encoder", daemon=True).start()

    def settings_for(self, clip: Clip, h264: H264Settings) -> H264Settings:
        """The settings of H.264 for a clip. NVENC does not encode large frames, and nothing without loss.

        Raises:
            Unavailable: NVENC is demanded, and has not worked since the process began.
        """
        if self._setting == "x264" or clip.encoding.format != "mp4":
            return h264
        report = self.report()
        if report.problem is not None:
            raise Unavailable(f"{report.problem} {REMEDY}")
        is_lossless = crf_of(clip.encoding, h264.crf) == 0
        if report.encoder == "x264" or max(clip.width, clip.height) > MAX_HARDWARE_SIDE or is_lossless:
            return h264
        return replace(h264, nvenc_gpu=self._gpu)

    def record_failure(self, failure: EncoderFailed) -> None:
        """Log that NVENC failed. If it failed in the middle of a video, it is not used again by this process."""
        log.warning("NVENC failed: %s. x264 encodes this video from the beginning.", failure)
        if not failure.is_at_start:
            sentence = f"H.264 is encoded by x264: NVENC failed in the middle of a video: {failure}."
            with self._lock:
                self._report = EncoderReport("x264", sentence)

    def _examine(self) -> EncoderReport:
        if self._setting == "x264":
            return EncoderReport("x264", "H.264 is encoded by x264.")
        if self._setting == "auto" and self._is_on_cpu:
            return EncoderReport("x264", "H.264 is encoded by x264: FRAMEPACK_DEVICE is cpu.")
        trial = self._tried()
        if trial.fault is not None:
            problem = f"FRAMEPACK_ENCODER is nvenc, but NVENC cannot be used: {trial.fault}."
            return EncoderReport(
                "x264",
                f"H.264 is encoded by x264: NVENC cannot be used: {trial.fault}.",
                problem if self._setting == "nvenc" else None,
            )
        if self._setting == "auto" and trial.drawback is not None:
            return EncoderReport("x264", f"H.264 is encoded by x264: {trial.drawback}.")
        return EncoderReport("nvenc", f"H.264 is encoded by NVENC: {trial.figures}.")

    def _tried(self) -> Trial:
        """The outcome of the trial, which runs in a thread of its own because it may hang."""
        found: list[Trial] = []

        def run() -> None:
            try:
                found.append(self._trial(self._trial_settings))
            except Exception as error:
                log.exception("the trial of NVENC failed")
                found.append(Trial(f"{type(error).__name__}: {error}"))

        thread = threading.Thread(target=run, name="trial of NVENC", daemon=True)
        thread.start()
        thread.join(TRIAL_SECONDS)
        return found[0] if found else Trial(f"there was no answer within {TRIAL_SECONDS:g} seconds")
