"""Requests to one server: errors become exceptions, and what may be tried again is."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote
from uuid import uuid4

import httpx

from framepack.client.errors import UNKNOWN, ApiError, ClientError, ServerUnreachable, UnexpectedAnswer

if TYPE_CHECKING:
    from framepack.client.network import Network
    from framepack.client.timing import Timing

Files = Mapping[str, tuple[str, IO[bytes]]]
"""Files of a form: name and open file, by field."""

_QUERY: Final = re.compile(r"[?#]")
_PASSING: Final = frozenset({429, 503})
_OF_PROXIES: Final = frozenset({502, 504})
_GONE: Final = "not_found"
_LASTING: Final = frozenset({"model_unavailable", "out_of_memory"})
"""Codes of status 503 that do not pass by waiting."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A request to be sent, once or several times.

    Attributes:
        method: Method of HTTP.
        path: A path of the server, or a whole address elsewhere, which gets no key.
        body: Sent as JSON.
        query: Parameters.
        files: Sent as a form. Each is sent from its start.
        headers: More headers.
        silence: For how long the response may pause, in seconds; None for what responses may take.
        is_streamed: Whether the body of the response is left to be read, and the response to be closed.
        may_redirect: Whether a redirect is an answer.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] | None = None
    files: Files | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    silence: float | None = None
    is_streamed: bool = False
    may_redirect: bool = False


@dataclass(slots=True)
class Api:
    """One server, with the key that it asks for.

    Attributes:
        network: Sends the requests.
        url: Address of the server, without a slash at its end.
        key: The API key; None for none.
        timing: How long to wait.
        has_answered: Whether the server has answered before.
    """

    network: Network
    url: str
    key: str | None
    timing: Timing
    has_answered: bool = False

    async def send(self, sending: Sending) -> httpx.Response:
        """Send a request until it is answered, and return the response.

        Raises:
            ApiError: The server refused.
            ServerUnreachable: It did not answer.
        """
        started, pauses, is_lost = time.monotonic(), self.timing.pauses(), False
        while True:
            try:
                failure, pause = await self._attempt(sending)
            except ApiError as error:
                if is_lost:
                    error.is_after_loss = True
                raise
            if isinstance(failure, httpx.Response):
                return failure
            is_lost = is_lost or isinstance(failure, ServerUnreachable)
            pause = max(pause, next(pauses))
            is_new = isinstance(failure, ServerUnreachable) and not self.has_answered
            patience = min(self.timing.patience, self.timing.first_patience) if is_new else self.timing.patience
            if time.monotonic() + pause > started + patience:
                raise failure
            await self.network.sleep(pause)

    async def delete(self, path: str) -> None:
        """Delete a file. One that is gone after an attempt whose answer was lost was deleted by it.

        Raises:
            ApiError: There is no such file, or the server refused.
            ServerUnreachable: The server did not answer.
        """
        try:
            await self.json(Sending("DELETE", path))
        except ApiError as error:
            if not (error.is_after_loss and error.code == _GONE):
                raise

    async def json(self, sending: Sending) -> dict[str, Any]:
        """Send a request until it is answered, and return the answer.

        Raises:
            ApiError: The server refused.
            ServerUnreachable: It did not answer.
            UnexpectedAnswer: The answer is no JSON object.
        """
        response = await self.send(sending)
        answer = json_object(response.content)
        if answer is None:
            raise UnexpectedAnswer(f"{self.url} does not answer as a server of this API.")
        return answer

    def is_own(self, address: str) -> bool:
        """Whether a path or an address is one of this server."""
        return address.startswith(("/", f"{self.url}/"))

    async def _attempt(self, sending: Sending) -> tuple[httpx.Response | ClientError, float]:
        """The response of one attempt, or an error that may pass and the pause that the server asks for.

        Raises:
            ApiError: The server refused for good.
        """
        try:
            response = await self.network.send(self._request(sending))
            is_answer = response.is_success or (response.has_redirect_location and sending.may_redirect)
            content = b"" if is_answer and sending.is_streamed else await self.network.read(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            address = self.url if self.is_own(sending.path) else repr(sending.path)
            raise ServerUnreachable(f"{address} is not an http or https address.") from error
        except httpx.DecodingError as error:
            raise undecodable(self.url) from error
        except RuntimeError as error:  # HTTPX refuses to send
            if not self.network.client.is_closed:
                raise
            raise ClientError("The client is closed.") from error
        except httpx.TransportError as error:
            place = self.url if self.is_own(sending.path) else sending.path.partition("?")[0]
            failed = _unreachable(place, error)
            failed.__cause__ = error
            return failed, 0
        self.has_answered = True
        if is_answer:
            return response, 0
        refusal = _refusal(response, content)
        is_passing = response.status_code in _PASSING and refusal.code not in _LASTING
        if is_passing or (response.status_code in _OF_PROXIES and refusal.code == UNKNOWN):
            return refusal, _asked_pause(response)
        raise refusal

    def _request(self, sending: Sending) -> httpx.Request:
        """A new request.

        Raises:
            ClientError: No request can have these fields or this address.
        """
        is_own = self.is_own(sending.path)
        if is_own and _has_dots(sending.path.removeprefix(self.url)):
            raise ClientError(f"The path {sending.path!r} leads to another one, because of its dots.")
        key = {"X-API-Key": self.key} if self.key and is_own else {}
        headers = {**key, **sending.headers}
        wrong = next((name for name, value in headers.items() if not (value.isascii() and value.isprintable())), None)
        if wrong is not None:
            raise ClientError(f"{wrong} must have no other characters than those of ASCII, and no line breaks.")
        try:
            return self.network.client.build_request(
                sending.method,
                f"{self.url}{sending.path}" if sending.path.startswith("/") else sending.path,
                json=None if sending.body is None else dict(sending.body),
                params=sending.query,
                files=sending.files,
                headers=headers,
                timeout=httpx.Timeout(
                    sending.silence or self.timing.response, connect=self.timing.connect, pool=None
                ),
            )
        except httpx.InvalidURL:
            raise
        except (ValueError, TypeError, RecursionError) as error:  # such as NaN, half a surrogate pair, or an object
            raise ClientError(f"The request cannot be written as HTTP and JSON ({error}).") from error


def json_object(content: bytes) -> dict[str, Any] | None:
    """The object that a body is; None if it is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def segment(name: str, value: object) -> str:
    """One segment of a path, which can never become a part of another route.

    Args:
        name: What the value is called in errors.
        value: A name or an id, as the server knows it; None if it is missing.

    Raises:
        ClientError: It is empty, has a slash, or is one of the names that lead to another folder.
    """
    text = "" if value is None else str(value)
    if text in {"", ".", ".."} or "/" in text:
        raise ClientError(f"{name} must be a name without slashes, not {text!r}.")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        raise ClientError(f"{name} has a character that UTF-8 does not have: {text!r}.") from error


def _has_dots(path: str) -> bool:
    """Whether a path has segments that HTTPX, a proxy or a server could resolve to another path."""
    return any(unquote(part) in {".", ".."} for part in _QUERY.split(path, maxsplit=1)[0].split("/"))


def new_key() -> str:
    """An Idempotency-Key that nobody has used."""
    return uuid4().hex


def undecodable(url: str) -> UnexpectedAnswer:
    """The error for a body that is not compressed as its headers say."""
    return UnexpectedAnswer(f"{url} sends an answer that cannot be decompressed.")


def _unreachable(url: str, error: httpx.TransportError) -> ServerUnreachable:
    reason = str(error) or type(error).__name__
    return ServerUnreachable(f"{url} does not answer ({reason}).")


def _refusal(response: httpx.Response, content: bytes) -> ApiError:
    """The error of a response, which may be that of a proxy."""
    status = response.status_code
    answer = json_object(content) or {}
    if isinstance(answer.get("detail"), str):
        return ApiError(answer["detail"], str(answer.get("code", UNKNOWN)), status, answer.get("field"))
    place = response.headers.get("location")
    more = f" and redirects to {place}" if place else ""
    return ApiError(f"{response.request.url.host} responded with status {status}{more}.", UNKNOWN, status)


def _asked_pause(response: httpx.Response) -> float:
    """The pause that ``Retry-After`` asks for, in seconds; 0 if it asks for none."""
    text = response.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0
    return max(0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo else 0
