"""``framepack callbacks``: list callbacks, and deliver them where no server or worker does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from framepack.cli.execute import FAILED
from framepack.cli.output import print_json
from framepack.outbox.message import CallbackRecord, CallbackState
from framepack.runtime import Runtime

if TYPE_CHECKING:
    from framepack.settings import Settings

_SHOWN: Final = 100

_Json = Annotated[bool, typer.Option("--json", help="Print the records as JSON.")]


def add_callback_commands(group: typer.Typer, load_settings: Callable[[], Settings]) -> None:
    """Add the commands to their group."""

    def show(
        *,
        state: Annotated[CallbackState | None, typer.Option(help="Only callbacks in this state.")] = None,
        limit: Annotated[int, typer.Option(min=1, help="Maximum number of callbacks, the newest first.")] = _SHOWN,
        as_json: _Json = False,
    ) -> None:
        found, count = Runtime(load_settings()).outbox.list(state, limit)
        _print(found, as_json=as_json)
        if not as_json:
            print(f"{len(found)} of {count} callbacks")

    def deliver(*, as_json: _Json = False) -> int:
        runtime = Runtime(load_settings())
        runtime.outbox.expire()
        found = runtime.deliverer.deliver_all()
        _print(found, as_json=as_json)
        failed = [record for record in found if record.state is not CallbackState.DELIVERED]
        if not as_json:
            print(f"{len(found) - len(failed)} callbacks delivered, {len(failed)} not")
        return FAILED if failed else 0

    def redeliver(
        callback_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the callback.")],
        *,
        as_json: _Json = False,
    ) -> int:
        outbox = Runtime(load_settings()).outbox
        outbox.redeliver(callback_id)
        outbox.deliver(callback_id)
        record = outbox.read(callback_id)
        _print([record], as_json=as_json)
        return 0 if record.state is CallbackState.DELIVERED else FAILED

    group.command("list", help="List callbacks: pending, delivered and exhausted ones.")(show)
    group.command("deliver", help="Attempt all callbacks that are due, once. For a cron job.")(deliver)
    group.command("redeliver", help="Attempt a pending or exhausted callback now, with a new schedule.")(redeliver)


def _print(records: list[CallbackRecord], *, as_json: bool) -> None:
    if as_json:
        print_json([record.model_dump(mode="json", exclude={"first_attempts"}) for record in records])
        return
    for record in records:
        print(f"{record.state:9}  {record.id}  {record.operation} -> {record.receiver}: {_told(record)}")


def _told(record: CallbackRecord) -> str:
    """How far the delivery has come."""
    attempts = f"{record.attempts} attempt{'' if record.attempts == 1 else 's'}"
    parts: list[Any] = [attempts, record.reason]
    if record.next_attempt is not None:
        parts.append(f"next attempt at {record.next_attempt:%Y-%m-%dT%H:%M:%SZ}")
    return ", ".join(part for part in parts if part)
