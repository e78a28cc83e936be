"""List and download all weights of a deployment: files of the catalog and repositories of the Hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from framepack.errors import InvalidField
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.hub_snapshots import HubSnapshots
from framepack.models.weights.store import OnFetch, WeightsFile, WeightsStore, describe_outcome, fetch_all, list_files
from framepack.spelling import NEW_SENTENCE, did_you_mean, shortened
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.models.spec import Group, ModelRow
    from framepack.models.weights.language_catalog import Repository
    from framepack.settings import Settings

WHAT_TO_FETCH: Final = (
    "names or groups of models, such as upscaler, enhancer or captioner, or all; "
    "by default all but the two language models, which are large"
)

_LANGUAGE: Final[tuple[Group, ...]] = ("enhancer", "captioner")
_ALL: Final = "all"


def list_weights(settings: Settings) -> list[WeightsFile]:
    """List every weights file and repository with its location, hashes verified.

    Raises:
        ModelUnavailable: The settings name an invalid language model.
    """
    store, snapshots = WeightsStore.from_settings(settings), HubSnapshots.from_settings(settings)
    return [
        *list_files((*CATALOG.rows, *store.custom_models()), store),
        *(
            WeightsFile(
                repository.name,
                f"@{repository.revision[:12]}" if repository.revision else "(folder)",
                repository.size_bytes,
                repository.license,
                snapshots.where(repository, verify=True),
            )
            for repository in map(snapshots.repository_for, _LANGUAGE)
        ),
    ]


def fetch_weights(
    wanted: Sequence[str],
    settings: Settings,
    report: Callable[[str], None],
    on_fetch: OnFetch = lambda _name, _size, _part: None,
) -> bool:
    """Download missing weights into the weights folder, and report one line for each.

    Args:
        wanted: Names or groups of models, or "all"; empty: all files of the catalog.
        settings: The weights folder and the language models of the deployment.
        report: Receives the lines.
        on_fetch: Called before a file is downloaded.

    Returns:
        Whether all wanted weights are now present and are the published ones. A failure does not stop the others.

    Raises:
        InvalidField: There is no such model.
        ModelUnavailable: The settings name an invalid language model.
    """
    snapshots = HubSnapshots.from_settings(settings)
    repositories = tuple(snapshots.repository_for(group) for group in _LANGUAGE)
    known: tuple[ModelRow | Repository, ...] = (*CATALOG.rows, *repositories)
    unknown = {*wanted} - {_ALL, *(each.name for each in known), *(each.group for each in known)}
    if unknown:
        wrong, names = min(unknown), {each.name.casefold(): each.name for each in known}
        hint = did_you_mean(wrong.casefold(), names, start=NEW_SENTENCE)
        raise InvalidField(
            f"There is no model called {shortened(wrong)}; there are {', '.join(names.values())}{hint}"
        )
    rows = [row for row in CATALOG.rows if not wanted or _is_wanted(row, wanted)]
    complete = fetch_all(rows, WeightsStore.from_settings(settings), report, on_fetch)
    fetched = [_fetched(each, snapshots, report) for each in repositories if _is_wanted(each, wanted)]
    if complete and all(fetched):
        return True
    report(f"Put what is missing into {settings.weights_dir}, or try again where its address can be reached.")
    return False


def _is_wanted(row: ModelRow | Repository, wanted: Sequence[str]) -> bool:
    return not {row.name, row.group, _ALL}.isdisjoint(wanted)


def _fetched(repository: Repository, snapshots: HubSnapshots, report: Callable[[str], None]) -> bool:
    present = snapshots.where(repository) == "folder"
    is_there, outcome = describe_outcome(partial(snapshots.fetch, repository), present=present)
    report(f"{repository.name} ({repository.size_bytes / MB:.1f} MB): {outcome}")
    return is_there
