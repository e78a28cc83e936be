"""Examines a deployment for ``framepack doctor``: settings, versions, device, store, models, and remedies."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import SecretStr

from framepack import __version__
from framepack.checks.encoder import check_encoder
from framepack.checks.finding import Finding
from framepack.checks.models import check_device, check_generator, check_language_models, check_weights
from framepack.checks.store import check_links, check_store, lost_with_container
from framepack.checks.temp import check_temp
from framepack.environment import variable
from framepack.errors import FramepackError
from framepack.runtime import Runtime
from framepack.settings import unknown_variables

if TYPE_CHECKING:
    from framepack.settings import Settings

T = TypeVar("T")

__all__ = ["Finding", "examine"]

PATIENCE_SECONDS: Final = 30.0
"""Time limit of checks that depend on a store or a folder."""

_PACKAGES: Final = {"PyTorch": "torch", "PyAV": "av", "RunPod SDK": "runpod"}
_REINSTALL: Final = "Reinstall the packages, as the README says."


def examine(settings: Settings) -> Iterator[Finding]:
    """Check everything that a worker or a server with these settings needs. Yields each finding immediately.

    Loads torch, and the main video model if one is configured. Writes a small object to the store and a small file to
    the working folder, and deletes both. Never raises: an unexpected exception in a check becomes a finding.
    """
    for name, check in _OF_SETTINGS.items():
        yield from _tried(name, check, settings)
    try:
        runtime = Runtime(settings)
    except Exception as error:  # noqa: BLE001 - every error becomes a finding
        yield _unexpected("worker", error)
        return
    for name, look in _OF_RUNTIME.items():
        yield from _tried(name, look, runtime)


def _tried(name: str, check: Callable[[T], Iterable[Finding]], about: T) -> list[Finding]:
    try:
        return list(check(about))
    except Exception as error:  # noqa: BLE001 - every error becomes a finding
        return [_unexpected(name, error)]


def _in_time(name: str, check: Callable[[T], Finding], about: T) -> list[Finding]:
    """The finding of a check that may hang, or an error after a time limit."""
    found: list[Finding] = []
    thread = threading.Thread(
        target=lambda: found.extend(_tried(name, lambda it: [check(it)], about)), name=name, daemon=True
    )
    thread.start()
    thread.join(PATIENCE_SECONDS)
    if found:
        return found
    sentence = f"There was no answer within {PATIENCE_SECONDS:g} seconds."
    return [Finding(name, "error", sentence, "Check the address, the network, or the volume that it is on.")]


def _unexpected(name: str, error: Exception) -> Finding:
    said = error.message if isinstance(error, FramepackError) else f"{type(error).__name__}: {error}"
    return Finding(name, "error", f"This could not be checked: {said}")


def _settings(settings: Settings) -> Iterator[Finding]:
    """The settings that differ from the defaults, without secrets, and unknown variables."""
    chosen = {
        variable(name, field): getattr(settings, name)
        for name, field in type(settings).model_fields.items()
        if name in settings.model_fields_set and getattr(settings, name) != field.default
    }
    listed = ", ".join(f"{name}={_shown(value)}" for name, value in chosen.items())
    yield Finding(
        "settings", "ok", f"Changed from the defaults: {listed}." if listed else "All settings have their defaults."
    )
    for sentence in unknown_variables():
        yield Finding("settings", "warning", sentence)


def _shown(value: Any) -> str:
    """A setting's value as text; secrets are hidden."""
    if isinstance(value, SecretStr):
        return "(set)"
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _versions(_settings: Settings) -> Iterator[Finding]:
    found = [f"framepack {__version__}", f"Python {platform.python_version()} on {platform.system()}"]
    missing = []
    for shown, package in _PACKAGES.items():
        try:
            found.append(f"{shown} {version(package)}")
        except PackageNotFoundError:
            missing.append(shown)
    if missing:
        yield Finding("versions", "error", f"{', '.join(missing)} is not installed.", _REINSTALL)
    yield Finding("versions", "ok", ", ".join(found) + ".")


def _device(settings: Settings) -> Iterator[Finding]:
    from framepack.models.device_check import examine_device, try_cpu

    report = examine_device(settings.device)
    if report.problem is None and (problem := try_cpu()) is not None:
        yield Finding("device", "error", problem, _REINSTALL)
    else:
        yield check_device(report)


def _codecs(_settings: Settings) -> Iterator[Finding]:
    from framepack.media.codecs import read_codecs

    codecs = read_codecs()
    head = f"FFmpeg {codecs.ffmpeg} in PyAV {codecs.pyav}"
    if codecs.missing:
        remedy = "Install the published wheel of PyAV (`pip install --only-binary av av`)."
        yield Finding("codecs", "error", f"{head}, lacks {', '.join(codecs.missing)}.", remedy)
    else:
        yield Finding("codecs", "ok", f"{head}, has {', '.join(codecs.available)}.")


def _callbacks(settings: Settings) -> Iterator[Finding]:
    if settings.webhook_secret is None:
        remedy = "To sign them, set FRAMEPACK_WEBHOOK_SECRET."
        yield Finding("callbacks", "ok", "Callbacks are not signed: no secret is set.", remedy)
    else:
        yield Finding("callbacks", "ok", "Callbacks are signed.")
    if (sentence := lost_with_container(settings)) is not None:
        yield Finding("callbacks", "ok", sentence)


def _rest(settings: Settings) -> Iterator[Finding]:
    count = len(settings.api_keys)
    if count:
        yield Finding("REST", "ok", f"`framepack serve` accepts {count} API key{'s' if count > 1 else ''}.")
    else:
        remedy = "To use the same key every time, set FRAMEPACK_API_KEYS."
        yield Finding("REST", "ok", "`framepack serve` generates an API key at every start and prints it.", remedy)


def _store_and_links(runtime: Runtime) -> Iterator[Finding]:
    """Whether the store and its links work. Links of a bucket that cannot be used are not tried."""
    store = _in_time("store", check_store, runtime)
    yield from store
    if runtime.settings.storage.startswith("s3:") and any(each.state == "error" for each in store):
        yield Finding("links", "warning", "Links were not tried: the store cannot be used.")
    else:
        yield from _in_time("links", check_links, runtime)


def _main_model(runtime: Runtime) -> Iterator[Finding]:
    if (finding := check_generator(runtime)) is not None:
        yield finding


_OF_SETTINGS: Final[dict[str, Callable[[Settings], Iterable[Finding]]]] = {
    "settings": _settings,
    "versions": _versions,
    "device": _device,
    "codecs": _codecs,
    "callbacks": _callbacks,
    "REST": _rest,
}
_OF_RUNTIME: Final[dict[str, Callable[[Runtime], Iterable[Finding]]]] = {
    "store": _store_and_links,
    "working folder": lambda runtime: _in_time("working folder", check_temp, runtime.settings),
    "encoder": lambda runtime: [check_encoder(runtime.encoders)],
    "weights": check_weights,
    "language models": check_language_models,
    "main model": _main_model,
}
