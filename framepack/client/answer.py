"""Base classes of the answers: data, and files of the server that can be downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from framepack.client.api import Api
from framepack.client.download import download
from framepack.client.errors import ClientError, UnexpectedAnswer
from framepack.client.network import run_now

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

A = TypeVar("A", bound="Answer")

_PATH_FIELDS: Final = ("output_path", "saved_path", "path", "video_url")


class Answer(BaseModel):
    """Base of all answers. Fields that newer servers add are kept, too."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    _api: Api | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, fields: Mapping[str, Any], api: Api) -> Self:
        """The answer with these fields.

        Raises:
            UnexpectedAnswer: They are not those of this answer.
        """
        try:
            return cls.model_validate(fields, context=api)
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            place = ".".join(map(str, found["loc"]))
            raise UnexpectedAnswer(
                f"The server's answer is not as this version expects it ({place}: {found['msg']})."
            ) from error

    def model_post_init(self, context: Any) -> None:
        """Keep the server that it came from."""
        self._api = context if isinstance(context, Api) else None

    def __getstate__(self) -> dict[Any, Any]:
        """Leave the server behind: its connections are those of this process."""
        return {**super().__getstate__(), "__pydantic_private__": {"_api": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy from the same server."""
        return super().__deepcopy__({**(memo or {}), id(self._api): self._api})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Leave out files in base64, and what has no value."""
        for name, value in super().__repr_args__():
            if value is not None and not (name or "").endswith("base64"):
                yield name, value

    @property
    def _server(self) -> Api:
        if self._api is None:
            raise ClientError(
                "This answer does not come from a client of this process: use the client's own download."
            )
        return self._api


class StoredFile(Answer):
    """Base of the answers that name a file of the server. It can be the source of another operation."""

    @property
    def server_path(self) -> str:
        """The path of the file on the server, without an end of its validity.

        Raises:
            ClientError: There is no file, because this part of a batch failed.
        """
        found = next((path for name in _PATH_FIELDS if (path := getattr(self, name, None))), None)
        if not found:
            raise ClientError("This answer has no file.")
        return str(found)


class Download(StoredFile):
    """A file of the server that can be downloaded."""

    def download(self, to: str | os.PathLike[str]) -> Path:
        """Download the file. Under its final name there is never a part of it.

        Args:
            to: Path of the file to write, or a folder, in which it gets its own name.

        Returns:
            The path of the written file.

        Raises:
            ApiError: The server does not have the file any more.
            ServerUnreachable: The server does not answer.
            OSError: The file cannot be written.
        """
        return run_now(download(self._server, self.server_path, to))


class AsyncDownload(StoredFile):
    """A file of the server that can be downloaded, for asyncio."""

    async def download(self, to: str | os.PathLike[str]) -> Path:
        """Download the file. Under its final name there is never a part of it.

        Args:
            to: Path of the file to write, or a folder, in which it gets its own name.

        Returns:
            The path of the written file.

        Raises:
            ApiError: The server does not have the file any more.
            ServerUnreachable: The server does not answer.
            OSError: The file cannot be written.
        """
        return await download(self._server, self.server_path, to)
