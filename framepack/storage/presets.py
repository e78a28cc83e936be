"""Presets: the built-in ones, and those that clients saved, one document each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from framepack.api.filter_settings import FILTER_PRESETS, FilterSettings
from framepack.api.names import is_name
from framepack.api.schemas import Request
from framepack.api.workflow import NO_WORKFLOW, PRESETS_FOLDER
from framepack.errors import BadRequest, NotFound, TooLarge
from framepack.storage.documents import Documents

if TYPE_CHECKING:
    from framepack.api.workflow import StepTypes, WorkflowPreset
    from framepack.storage.base import Storage

P = TypeVar("P", bound=Request)

FILTERS_FOLDER: Final = "filter_presets"


@dataclass(frozen=True, slots=True)
class Presets(Generic[P]):
    """Presets of one kind.

    Names are case-sensitive: ``Look`` and ``look`` are two presets. Built-in presets are also found in any case. The
    protected preset, which never changes, is found in any case and with spaces around its name.

    Attributes:
        documents: The presets that clients saved. One with the name of a built-in preset replaces it.
        built_in: The built-in presets.
        protected: Name of the built-in preset that can be neither replaced nor deleted.
        limit: Maximum number of saved presets.
    """

    documents: Documents[P]
    built_in: Mapping[str, P]
    protected: str
    limit: int

    def find(self, name: str) -> P | None:
        """The preset called ``name``; None if it does not exist."""
        if self.protects(name):
            return self.built_in[self.protected]
        found = self._exact(name)
        folded = name.casefold()
        return self._exact(folded) if found is None and folded in self.built_in else found

    def all(self) -> dict[str, P]:
        """All presets by name: the protected one first, then the others in alphabetical order."""
        saved = {name: preset for name, preset in self.documents.list() if is_name(name)}
        known = {**self.built_in, **saved, self.protected: self.built_in[self.protected]}
        others = sorted((name for name in known if not self.protects(name)), key=lambda name: (name.casefold(), name))
        return {name: known[name] for name in (self.protected, *others)}

    def save(self, name: str, preset: P) -> bool:
        """Save a preset atomically; the last writer wins.

        Returns:
            Whether a preset of that name existed.

        Raises:
            BadRequest: The name is that of the protected preset.
            TooLarge: The preset is too large, or the limit is reached.
        """
        if self.protects(name):
            raise BadRequest(f"'{self.protected}' is a protected preset and cannot be overwritten")
        existed = self._exact(name) is not None
        if not existed and self.documents.count() >= self.limit:
            raise TooLarge(f"There are {self.limit} presets already; delete one before you save another.")
        self.documents.save(name, preset.model_dump(mode="json"))
        return existed

    def delete(self, name: str) -> bool:
        """Delete a saved preset. If it replaced a built-in preset, that one is found again.

        Returns:
            Whether a preset of that name was saved.

        Raises:
            BadRequest: The name is that of the protected preset, or of a built-in preset that is not replaced.
        """
        if self.protects(name):
            raise BadRequest(f"'{self.protected}' preset cannot be deleted")
        is_deleted = self.documents.delete(name)
        if not is_deleted and name in self.built_in:
            raise BadRequest(
                f"'{name}' is a built-in preset and cannot be deleted; save a preset of its name instead"
            )
        return is_deleted

    def protects(self, name: str) -> bool:
        """Whether ``name`` means the protected preset."""
        return name.strip().casefold() == self.protected.casefold()

    def _exact(self, name: str) -> P | None:
        try:
            return self.documents.read(name)
        except NotFound:
            return self.built_in.get(name)


def filter_presets(state: Storage, limit: int) -> Presets[FilterSettings]:
    """The filter presets of a deployment."""
    documents = Documents(state, FILTERS_FOLDER, FilterSettings.parse)
    return Presets(documents, FILTER_PRESETS, "none", limit)


def workflow_presets(state: Storage, limit: int, steps: StepTypes) -> Presets[WorkflowPreset]:
    """The workflow presets of a deployment, made of these types of steps."""
    documents = Documents(state, PRESETS_FOLDER, steps.preset.parse)
    return Presets(documents, MappingProxyType({NO_WORKFLOW: steps.preset()}), NO_WORKFLOW, limit)
