"""All weights of a deployment, files and repositories alike: what there is, where it lies, and fetching it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from framepack.errors import InvalidField
from framepack.models.weights.catalog import CATALOG
from framepack.models.weights.hub_snapshots import Snapshots
from framepack.models.weights.store import Begin, WeightsFile, WeightsStore, ensure_all, listing, outcome_of

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
    """Every file of weights and every repository, with where it is, hashes checked.

    Raises:
        ModelUnavailable: the settings name a language model that there cannot be.
    """
    store, snapshots = WeightsStore.from_settings(settings), Snapshots.from_settings(settings)
    return [
        *listing((*CATALOG.rows, *store.custom_models()), store),
        *(
            WeightsFile(
                repository.name,
                f"@{repository.revision[:12]}" if repository.revision else "(folder)",
                repository.size_bytes,
                repository.license,
                snapshots.where(repository, verify=True),
            )
            for repository in map(snapshots.chosen, _LANGUAGE)
        ),
    ]


def fetch_weights(
    wanted: Sequence[str],
    settings: Settings,
    report: Callable[[str], None],
    begin: Begin = lambda _name, _size, _part: None,
) -> bool:
    """Bring weights into the weights folder, reporting one line for each.

    Args:
        wanted: names or groups of models, or "all"; none: those of the catalog.
        settings: where to, and which language models the deployment uses.
        report: takes a line for people.
        begin: told before a file is fetched.

    Returns:
        Whether all of them are there now and are the published ones; one that fails does not stop the others.

    Raises:
        InvalidField: there is no such model.
        ModelUnavailable: the settings name a language model that there cannot be.
    """
    snapshots = Snapshots.from_settings(settings)
    repositories = tuple(snapshots.chosen(group) for group in _LANGUAGE)
    known: tuple[ModelRow | Repository, ...] = (*CATALOG.rows, *repositories)
    unknown = {*wanted} - {_ALL, *(each.name for each in known), *(each.group for each in known)}
    if unknown:
        wrong, names = min(unknown), {each.name.casefold(): each.name for each in known}
        close = difflib.get_close_matches(wrong.casefold(), names, n=1)
        hint = f" Did you mean {names[close[0]]}?" if close else ""
        raise InvalidField(f"There is no model called {wrong}; there are {', '.join(names.values())}.{hint}")
    rows = [row for row in CATALOG.rows if not wanted or _is_meant(row, wanted)]
    complete = ensure_all(rows, WeightsStore.from_settings(settings), report, begin)
    fetched = [_fetched(each, snapshots, report) for each in repositories if _is_meant(each, wanted)]
    if complete and all(fetched):
        return True
    report(f"Put what is missing into {settings.weights_dir}, or try again where its address can be reached.")
    return False


def _is_meant(row: ModelRow | Repository, wanted: Sequence[str]) -> bool:
    return not {row.name, row.group, _ALL}.isdisjoint(wanted)


def _fetched(repository: Repository, snapshots: Snapshots, report: Callable[[str], None]) -> bool:
    present = snapshots.where(repository) == "folder"
    is_there, outcome = outcome_of(partial(snapshots.fetch, repository), present=present)
    report(f"{repository.name} ({repository.size_bytes / 1e6:.1f} MB): {outcome}")
    return is_there
