"""``/callbacks``: list, show, deliver again and delete callbacks."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final, Self

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from framepack.api.schemas import Success
from framepack.outbox.message import CallbackRecord, CallbackState
from framepack.rest.fields import check_query

if TYPE_CHECKING:
    from framepack.rest.server import Server

_MAX_LISTED: Final = 1000
_DEFAULT_LISTED: Final = 100


CallbackId = Annotated[str, Path(description="Id of the callback")]


class CallbackView(BaseModel):
    """A callback. The receiver's path and query and the token are not shown: they may be secrets."""

    id: str = Field(description="Id of the message, the `webhook-id` of every attempt")
    job_id: str = Field(description="Id of the job")
    operation: str = Field(description="Name of the operation, such as `upscale`")
    state: CallbackState = Field(description="State of its delivery")
    receiver: str = Field(description="Scheme, host and port of the receiver")
    created: datetime = Field(description="When the job ended")
    attempts: int = Field(description="Attempts so far")
    last_attempt: datetime | None = Field(None, description="When the last attempt ended")
    next_attempt: datetime | None = Field(None, description="When the next attempt is due; absent: now, or never")
    last_status: int | None = Field(None, description="HTTP status of the last answer; absent if there was none")
    last_reason: str | None = Field(None, description="Why the last attempt failed")

    @classmethod
    def of(cls, record: CallbackRecord) -> Self:
        """The view of a record."""
        shown = record.model_dump(include=set(cls.model_fields))
        return cls(**shown, last_status=record.status, last_reason=record.reason)


class CallbackList(BaseModel):
    """The callbacks of the deployment, the newest first."""

    success: Success = True
    callbacks: list[CallbackView] = Field(description="The newest callbacks")
    total_count: int = Field(description="Number of all callbacks in these states")


def callback_routes(server: Server) -> APIRouter:
    """The routes about callbacks."""
    router = APIRouter(prefix="/callbacks", tags=["callbacks"], dependencies=[Depends(check_query)])
    outbox, deliverer = server.runtime.outbox, server.runtime.deliverer

    @router.get("", response_model_exclude_none=True)
    async def list_callbacks(
        state: Annotated[CallbackState | None, Query(description="Only callbacks in this state")] = None,
        limit: Annotated[int, Query(ge=1, le=_MAX_LISTED, description="How many at most")] = _DEFAULT_LISTED,
    ) -> CallbackList:
        """List callbacks: pending ones, recently delivered ones, and those that could not be delivered."""
        found, count = await asyncio.to_thread(outbox.list, state, limit)
        return CallbackList(callbacks=[CallbackView.of(each) for each in found], total_count=count)

    @router.get("/{callback_id}", response_model_exclude_none=True)
    async def get_callback(callback_id: CallbackId) -> CallbackView:
        """Show a callback."""
        return CallbackView.of(await asyncio.to_thread(outbox.read, callback_id))

    @router.post("/{callback_id}/redeliver", response_model_exclude_none=True)
    async def redeliver_callback(callback_id: CallbackId) -> CallbackView:
        """Attempt to deliver a pending or exhausted callback now, and by a new schedule if that fails."""
        record = await asyncio.to_thread(outbox.redeliver, callback_id)
        deliverer.wake()
        return CallbackView.of(record)

    @router.delete("/{callback_id}", response_model_exclude_none=True)
    async def delete_callback(callback_id: CallbackId) -> CallbackView:
        """Delete an exhausted callback."""
        return CallbackView.of(await asyncio.to_thread(outbox.delete, callback_id))

    return router
