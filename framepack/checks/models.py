"""Checks of weights, language models, the device, and the main video model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from framepack.checks.finding import Finding, State
from framepack.checks.folders import folder_problem, this_user
from framepack.errors import FramepackError
from framepack.files.scratch import scratch_file

if TYPE_CHECKING:
    from framepack.models.device_check import DeviceReport
    from framepack.models.spec import Group
    from framepack.runtime import Runtime
    from framepack.settings import Settings

_GROUPS: Final[tuple[Group, ...]] = ("upscaler", "interpolator", "face")
_LANGUAGE: Final[tuple[Group, ...]] = ("enhancer", "captioner")
_MAY_FETCH: Final = "FRAMEPACK_WEIGHTS_DOWNLOAD"


def check_weights(runtime: Runtime) -> Iterator[Finding]:
    """Check for each group of models whether the weights exist or can be downloaded. Does not verify hashes.

    A worker without any upscaler is useless, so this is an error. Other models may be missing on purpose.
    """
    for group in _GROUPS:
        yield _weights(runtime, group)


def check_language_models(runtime: Runtime) -> Iterator[Finding]:
    """Check whether the language models exist or can be downloaded. Does not verify hashes."""
    settings = runtime.settings
    for group in _LANGUAGE:
        name = f"{group} model"
        try:
            repository = runtime.snapshots.repository_for(group)
            where = runtime.snapshots.where(repository)
        except FramepackError as error:
            yield Finding(name, "error", error.message, f"Set FRAMEPACK_{group.upper()}_MODEL to one of these.")
            continue
        size = f" ({repository.size_bytes / 1e9:.1f} GB)" if repository.size_bytes else ""
        if where == "wrong":
            remedy = "Delete its folder to download it again."
            yield Finding(name, "warning", f"{repository.name} does not match the published version.", remedy)
        elif where != "missing":
            yield Finding(name, "ok", f"{repository.name} is installed.")
        elif (obstacle := _obstacle(settings)) is None:
            yield Finding(name, "ok", f"{repository.name}{size} is downloaded when it is first needed.")
        else:
            remedy = obstacle[1].format(fetch=f"`framepack weights fetch {group}`")
            yield Finding(name, "warning", f"{repository.name}{size} is missing{obstacle[0]}.", remedy)


def check_device(report: DeviceReport) -> Finding:
    """Check whether the device for inference works."""
    if report.problem is not None:
        return Finding("device", "error", report.problem, report.remedy)
    return Finding("device", "ok", f"Networks run on {report.description}.")


def check_generator(runtime: Runtime) -> Finding | None:
    """Load the main video model and report the outcome; None if none is configured."""
    if runtime.settings.generator is None:
        return None
    try:
        with runtime.models.generator():
            return Finding("main model", "ok", f"{runtime.settings.generator} is loaded.")
    except FramepackError as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        remedy = "Set FRAMEPACK_GENERATOR to a factory that can be imported and called, or unset it."
        return Finding("main model", "error", error.message + cause, remedy)


def _weights(runtime: Runtime, group: Group) -> Finding:
    """The state of one group of models."""
    name, settings, store = f"{group} weights", runtime.settings, runtime.models.store
    rows = runtime.models.catalog.group(group)
    locations = {row.name: {store.where(weights) for weights in row.weights} for row in rows}
    wrong = [row for row, found in locations.items() if "wrong" in found]
    missing = [row for row, found in locations.items() if "missing" in found and row not in wrong]
    usable = [row for row in locations if row not in {*wrong, *missing}]
    if group == "upscaler":
        usable += [row.name for row in store.custom_models()]
    obstacle = _obstacle(settings) if missing or wrong else None
    there = [f"{', '.join(usable)}: there."] if usable else []
    if obstacle is None:
        there += [f"{', '.join(missing)}: downloaded when first needed."] if missing else []
        missing = []
    faults, remedies = [], []
    if missing and obstacle is not None:
        faults.append(f"Weights are missing for {', '.join(missing)}{obstacle[0]}.")
        remedies.append(obstacle[1].format(fetch=f"`framepack weights fetch {' '.join(missing)}`"))
    if wrong:
        faults.append(f"The weights of {', '.join(wrong)} are there, but are not the published ones.")
        again = (
            f"fetch them anew with `framepack weights fetch {' '.join(wrong)}`"
            if obstacle is None
            else "replace them"
        )
        remedies.append(f"Delete the files of {', '.join(wrong)} in {settings.weights_dir} and {again}.")
    if not faults:
        return Finding(name, "ok", " ".join(there))
    state: State = "error" if group == "upscaler" and not usable and obstacle is not None else "warning"
    return Finding(name, state, " ".join([*faults, *there]), " ".join(remedies))


def _obstacle(settings: Settings) -> tuple[str, str] | None:
    """Why missing weights are not fetched automatically, as the end of a sentence, and a remedy; None if they are.

    The remedy has a placeholder ``{fetch}`` for the command that fetches them.
    """
    folder = settings.weights_dir
    if not settings.weights_download:
        return "", f"Put them into FRAMEPACK_WEIGHTS_DIR ({folder}) with {{fetch}}, or set {_MAY_FETCH}=true."
    nearest = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    try:
        with scratch_file(nearest):
            return None
    except OSError as error:
        problem = folder_problem(folder, error)
    also = f"; or run, as root: {problem.command}" if problem.command else "."
    return (
        f", and they cannot be fetched into {folder} (FRAMEPACK_WEIGHTS_DIR): {problem.reason}",
        f"Set FRAMEPACK_WEIGHTS_DIR to a folder that {this_user()} may write{also}",
    )
