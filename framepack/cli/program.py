"""Runs one command line, and says in a sentence what went wrong."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from typing import Final

import typer

from framepack.cli.app import RUN, build
from framepack.cli.execute import FAILED, USAGE, status_of
from framepack.cli.fields import boolean_options
from framepack.cli.output import print_json
from framepack.cli.session import defect
from framepack.cli.shapes import command_name, refusal, shape_of
from framepack.environment import temp_folder
from framepack.errors import FramepackError, InvalidField
from framepack.registry import Registry, discover

_BOOLEANS: Final = ("true", "false")


def run(given: list[str]) -> int:
    """Run one command and return its exit status, whatever goes wrong."""
    try:
        registry = discover()
        status = build(registry)(_spelled(given, registry), standalone_mode=False, prog_name="framepack")
    except Exception as error:  # noqa: BLE001 - people get a sentence, whatever went wrong
        return _explained(error, given)
    return status if isinstance(status, int) else 0


def _spelled(given: list[str], registry: Registry) -> list[str]:
    """The arguments in one spelling: ``-`` in names of operations and options, and ``--flag true`` as ``--flag``.

    Raises:
        InvalidField: The operation is there, but not for files.
    """
    if given[:1] != [RUN] or len(given) == 1:
        return given
    name, options = command_name(given[1]), given[2:]
    operation = next((each for each in registry if command_name(each.name) == name), None)
    shape = None if operation is None else shape_of(operation)
    if operation is None:
        return [RUN, name, *options]
    if shape is None:
        raise InvalidField(refusal(operation.name))
    flags = boolean_options(operation, shape)
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
    """An argument as the name of an option, "=" and a value; one that is no long option as it is."""
    if not argument.startswith("--"):
        return argument, "", ""
    option, equals, value = argument.partition("=")
    return option.replace("_", "-"), equals, value


def _explained(error: Exception, given: Sequence[str]) -> int:
    """Say what went wrong; returns the exit status."""
    if isinstance(error, typer.TyperException):
        return _refused(error, given)
    if isinstance(error, FramepackError):
        return _failed(error.message, error.code, given, status_of(error.code))
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return _failed(f"{error.strerror or error}{place}", FramepackError.code, given, FAILED)
    show = (lambda text: print(text, file=sys.stderr)) if "--debug" in given else None
    sentence = defect(error, temp_folder() / "logs", show)
    return _failed(sentence, FramepackError.code, given, FAILED)


def _refused(error: typer.TyperException, given: Sequence[str]) -> int:
    """Say what is wrong with the command line, and where its help is."""
    message = error.format_message()
    if message.startswith("Usage:"):  # nothing was given: the help is the message
        print(message)
        return USAGE
    option = getattr(error, "option_name", None)
    possibilities = getattr(error, "possibilities", None)
    if option and possibilities:
        names = {each.lstrip("-"): each for each in possibilities}  # dashes, which all have, do not count
        close = difflib.get_close_matches(option.lstrip("-"), names)
        hint = f". Did you mean {' or '.join(sorted(names[each] for each in close))}?" if close else ""
        message = f"No such option: {option}{hint}"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else " ".join(["framepack", *given[:2]])
    if path == f"framepack {RUN}":
        message = message.replace("No such command", "There is no operation")
    message = message.replace("No such command", "There is no command")
    end = "" if message.endswith(("?", ".")) else "."
    return _failed(f"{message}{end} See: {path} --help", InvalidField.code, given, USAGE)


def _failed(sentence: str, code: str, given: Sequence[str], status: int) -> int:
    if "--json" in given:
        print_json({"error": sentence, "code": code})
    else:
        for line in sentence.splitlines():  # one for each wrong setting
            print(f"framepack: {line}", file=sys.stderr)
    return status
