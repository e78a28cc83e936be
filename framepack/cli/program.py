"""Runs one command line, and reports errors as one sentence."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Final

import typer

from framepack.cli.app import RUN, build_app
from framepack.cli.execute import FAILED, USAGE, status_of
from framepack.cli.options import boolean_options, command_name, file_usage, refusal
from framepack.cli.output import print_json
from framepack.cli.session import defect
from framepack.environment import temp_folder
from framepack.errors import FramepackError, InvalidField
from framepack.registry import Registry, discover
from framepack.spelling import NEW_SENTENCE, did_you_mean

_BOOLEANS: Final = ("true", "false")
_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE})
"""Errors of writing. Those about files name the file; standard output has no name."""


def run(given: list[str]) -> int:
    """Run one command and return its exit status.

    Raises:
        OSError: Standard output cannot be written. Every other error becomes a sentence.
    """
    try:
        registry = discover()
        status = build_app(registry)(_normalized(given, registry), standalone_mode=False, prog_name="framepack")
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
            raise
        return _report_error(error, given)
    return status if isinstance(status, int) else 0


def _normalized(given: list[str], registry: Registry) -> list[str]:
    """Normalize the arguments: ``-`` instead of ``_`` in names, and ``--flag`` instead of ``--flag true``.

    Raises:
        InvalidField: The operation exists, but cannot be used on files.
    """
    if given[:1] != [RUN] or len(given) == 1:
        return given
    name, options = command_name(given[1]), given[2:]
    operation = next((each for each in registry if command_name(each.name) == name), None)
    usage = None if operation is None else file_usage(operation)
    if operation is None:
        return [RUN, name, *options]
    if usage is None:
        raise InvalidField(refusal(operation.name))
    flags = boolean_options(operation, usage)
    spelled: list[str] = []
    while options:
        option, equals, value = _split(options.pop(0))
        if option in flags and not equals and options and options[0].lower() in _BOOLEANS:
            equals, value = "=", options.pop(0)
        if option in flags and value.lower() in _BOOLEANS:
            spelled.append(option if value.lower() == "true" else f"--no-{option[2:]}")
        else:
            spelled.append(option + equals + value)
    return [RUN, name, *spelled]


def _split(argument: str) -> tuple[str, str, str]:
    """Split a long option into its name, "=" and its value. Other arguments are returned unchanged."""
    if not argument.startswith("--"):
        return argument, "", ""
    option, equals, value = argument.partition("=")
    return option.replace("_", "-"), equals, value


def _report_error(error: Exception, given: Sequence[str]) -> int:
    """Report an error and return the exit status."""
    if isinstance(error, typer.TyperException):
        return _report_usage_error(error, given)
    if isinstance(error, FramepackError):
        return _print_error(error.message, error.code, given, status_of(error.code))
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return _print_error(f"{error.strerror or error}{place}", FramepackError.code, given, FAILED)
    show = (lambda text: print(text, file=sys.stderr)) if "--debug" in given else None
    sentence = defect(error, temp_folder() / "logs", show)
    return _print_error(sentence, FramepackError.code, given, FAILED)


def _report_usage_error(error: typer.TyperException, given: Sequence[str]) -> int:
    """Report an invalid command line, with the command for help."""
    message = error.format_message()
    if message.startswith("Usage:"):  # no arguments: the message is the help
        print(message)
        return USAGE
    option = getattr(error, "option_name", None)
    possibilities = getattr(error, "possibilities", None)
    if option and possibilities:
        names = {each.lstrip("-"): each for each in possibilities}  # compared without the dashes, which all have
        hint = did_you_mean(option.lstrip("-"), names, start=NEW_SENTENCE, most=3)
        message = f"No such option: {option}{hint}"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else " ".join(["framepack", *given[:2]])
    if path == f"framepack {RUN}":
        message = message.replace("No such command", "There is no operation")
    message = message.replace("No such command", "There is no command")
    end = "" if message.endswith(("?", ".")) else "."
    return _print_error(f"{message}{end} See: {path} --help", InvalidField.code, given, USAGE)


def _print_error(sentence: str, code: str, given: Sequence[str], status: int) -> int:
    if "--json" in given:
        print_json({"error": sentence, "code": code})
    else:
        for line in sentence.splitlines():  # there is one for each invalid setting
            print(f"framepack: {line}", file=sys.stderr)
    return status
