"""The health check of the container: whether ``framepack serve`` is ready.

A handler has no port and counts as healthy: the container ends with its process.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

_SECONDS = 5.0
_FIRST_PROCESS = Path("/proc/1/cmdline")


def port_of(command: Sequence[str]) -> int | None:
    """The port of the container's command; None if the command is not ``framepack serve``.

    Args:
        command: the words of the first process, such as ``tini -- ... python -m framepack serve --port 80``.
    """
    if "serve" not in command:
        return None
    for option, value in pairwise([*command[command.index("serve") + 1 :], ""]):
        if option == "--port" and value.isdigit():
            return int(value)
        if option.startswith("--port="):
            return int(option.removeprefix("--port="))
    return 8000


def main() -> int:
    """Return 0 if the container is healthy, else 1."""
    port = port_of(_FIRST_PROCESS.read_bytes().decode(errors="replace").split("\0"))
    if port is None:
        return 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/ping")
        status = connection.getresponse().status
    except OSError as error:
        print(f"GET /ping on port {port}: {error}")
        return 1
    print(f"GET /ping on port {port}: {status}")
    return 0 if status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
