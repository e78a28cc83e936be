"""The command line: ``run``, ``operations``, ``weights``, ``compare``, ``doctor``, ``serve`` and ``studio``."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NoReturn

from framepack import __version__
from framepack.processors import let_waiting_threads_sleep

if TYPE_CHECKING:
    from types import FrameType

_FAILED: Final = 1
_INTERRUPTED: Final = 130
_SERVERS: Final = ("serve", "studio")


class Interrupted(BaseException):
    """Ctrl-C while no job handles it. It is no KeyboardInterrupt, so that no library catches it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: success; 1: a job failed; 2: the command line or a setting is invalid; 130, 143: stopped by Ctrl-C, SIGTERM.
    Errors are one sentence on stderr, or JSON on stdout with ``--json``.

    Args:
        arguments: The arguments after ``framepack``; None: those of this process, which exits after the command.
    """
    if arguments is not None:
        return _main(list(arguments), is_process=False)
    let_waiting_threads_sleep()
    ended: list[int] = []
    atexit.register(_leave, ended)  # before all others, so that it is called after them
    ended.append(_main(sys.argv[1:], is_process=True))
    return ended[0]


def _leave(ended: list[int]) -> None:
    """End the process without taking the interpreter apart, which takes a second and 100 MB when torch is loaded.

    Called when other threads have ended and all other functions for the exit have been called.

    Args:
        ended: The exit status; empty if the command did not end by itself.
    """
    if not ended:
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()
    os._exit(ended[0])


def _main(given: list[str], *, is_process: bool) -> int:
    try:
        with _interruptible(is_process=is_process):
            status = _run(given)
            if sys.stdout is not None:
                sys.stdout.flush()
            return status
    except Interrupted:
        if not given or given[0] not in _SERVERS:  # the server logs that it stops
            print("framepack: Interrupted.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except OSError as error:
        print(f"framepack: Standard output cannot be written: {error.strerror or error}.", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _run(given: list[str]) -> int:
    if given[:1] == ["--version"]:
        print(f"framepack {__version__}")
        return 0
    try:
        from framepack.cli.program import run  # slow; Ctrl-C is handled meanwhile
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == __package__.partition(".")[0]:
            raise
        print(
            f"framepack: The Python package {error.name!r} is not installed. Only framepack.client works without the "
            f"packages of the worker; `pip install framepack-worker` installs them.",
            file=sys.stderr,
        )
        return _FAILED
    return run(given)


@contextmanager
def _interruptible(*, is_process: bool) -> Iterator[None]:
    """Let Ctrl-C raise `Interrupted`, unless this process ignores it.

    After the command of a process, Ctrl-C ends the process, even during clean-up.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if is_process else before)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted
