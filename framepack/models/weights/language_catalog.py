"""The catalog of language models: repositories of the Hugging Face Hub, each pinned to one revision.

A revision is the hash of a commit, so the Hub cannot serve other files for it. Files with weights are also pinned by
their own SHA-256, because they may come from elsewhere, such as a cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from framepack.errors import ModelUnavailable
from framepack.setting_checks import PINNED_MODEL
from framepack.units import MB

if TYPE_CHECKING:
    from framepack.models.spec import Group


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """One file of a repository: its path, exact size, and SHA-256 in lower-case hex."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A model in the layout of the Hugging Face Hub.

    Attributes:
        name: Id on the Hub, such as ``ibm-granite/granite-3.3-2b-instruct``. revision: commit hash; empty for a local
        folder of the deployment. group: group of models it belongs to, for status and unloading. files: files with
        known hashes. Each must exist, and no other safetensors file may. Empty: no hashes are known. license: SPDX
        name. memory_mb: memory of the loaded network in half precision, in units of 10^6 bytes. folder: path of a
        local folder of the deployment, else None.
    """

    name: str
    revision: str
    group: Group
    files: tuple[RepositoryFile, ...]
    license: str
    memory_mb: int
    folder: Path | None = None

    @property
    def size_bytes(self) -> int:
        """Total size of the known files."""
        return sum(file.size_bytes for file in self.files)


GRANITE: Final = Repository(
    name="ibm-granite/granite-3.3-2b-instruct",
    revision="707f574c62054322f6b5b04b6d075f0a8f05e0f0",
    group="enhancer",
    files=(
        RepositoryFile(
            "model-00001-of-00002.safetensors",
            4_999_999_840,
            "12880d33c0ad4726af5cf8c07406905f9b496253c58ee46f52be8bde8ccf2254",
        ),
        RepositoryFile(
            "model-00002-of-00002.safetensors",
            67_121_712,
            "a8757c5bf7627933e7fddbd9bab0533491b4dc0962820e0617f356ca1a379ffa",
        ),
        RepositoryFile(
            "model.safetensors.index.json",
            29_835,
            "32ea3f438335d51c8e630a83898ceb23bdffd34291a0eade07474211928fa243",
        ),
        RepositoryFile("config.json", 787, "9202d328d8368958aab7dad89a8e6aa35c250b3a2eedd2d8850ee0bcceca65f6"),
        RepositoryFile(
            "generation_config.json", 132, "9c95e80167f08fbeb1feba239e0749507c25d18ffab43ffa10887821eed21c38"
        ),
        RepositoryFile("added_tokens.json", 207, "bb33d55934aa82d29cc62f3d19cdbc60f315763f6ccee21bdfd8b3bde2f33d3b"),
        RepositoryFile(
            "special_tokens_map.json", 801, "21ce694081bb9ae1bd4bc64549e72e0799ebb74705e6b650e3585d85b71ebdc1"
        ),
        RepositoryFile(
            "tokenizer.json", 3_476_578, "91168e938f05796aa6dcca7e485e4b30ab52785320c7a6391ecef86e6c84681e"
        ),
        RepositoryFile(
            "tokenizer_config.json", 9_930, "f65a6a5a911424c85f157c40cfbdf06e025814c755480ba2e998d7fba1178664"
        ),
        RepositoryFile("merges.txt", 441_810, "303127a244b0078878156c17229f36d11b7a3a3f8e47b7cfdbb304ff46be5030"),
        RepositoryFile("vocab.json", 776_995, "80ab859339a2525fdfbda14bc39df02dffb824aefdaf86426217bbb146d17e01"),
    ),
    license="Apache-2.0",
    memory_mb=5070,
)

FLORENCE: Final = Repository(
    name="florence-community/Florence-2-large",
    revision="4271c66b88cdbc05735372ec13b2360108de5317",
    group="captioner",
    files=(
        RepositoryFile(
            "model.safetensors",
            1_553_541_016,
            "7715423d6549bf1e71188bdd84f4ac960cc0597886af24a5ef7b66f128660685",
        ),
        RepositoryFile("config.json", 2_396, "8412483f687f2f71587328a38c6fa70a68d9488f28e90607be3c182641f60f2c"),
    ),
    license="MIT",
    memory_mb=1560,
)

REPOSITORIES: Final = (GRANITE, FLORENCE)


def resolve(setting: str, group: Group, table: Iterable[Repository] = REPOSITORIES) -> Repository:
    """Return the repository that a setting names: one of the catalog, any other with its revision, or a folder.

    Args:
        setting: ``organization/name``, ``organization/name@revision`` or the path of a folder.
        group: Group of models that the setting is for.
        table: The catalog.

    Raises:
        ModelUnavailable: It is none of these.
    """
    known = {repository.name: repository for repository in table if repository.group == group}
    if setting in known:
        return known[setting]
    pinned = PINNED_MODEL.fullmatch(setting)
    folder = Path(setting)
    if pinned is not None:
        return _own(pinned["name"], group, revision=pinned["revision"])
    if folder.is_dir():
        return _own(folder.resolve().name, group, folder=folder)
    raise ModelUnavailable(
        f"FRAMEPACK_{group.upper()}_MODEL names neither {' nor '.join(known)} nor an existing folder; "
        "another repository needs its revision, as in organization/name@COMMIT."
    )


def _own(name: str, group: Group, *, revision: str = "", folder: Path | None = None) -> Repository:
    """A repository chosen by the deployment; its memory is estimated by the size of its files."""
    stored = sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder else 0
    return Repository(
        name=name,
        revision=revision,
        group=group,
        files=(),
        license="unknown",
        memory_mb=-(-stored // MB),
        folder=folder,
    )
