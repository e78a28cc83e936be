"""Progress arrives in order, throttled, and never after the result."""

import asyncio
import threading
from typing import Any

from framepack.job import Progress
from framepack.worker.progress import ProgressSender


def test_updates_arrive_in_order_and_none_after_the_end() -> None:
    """This holds for fast reports and a slow platform."""
    sent: list[int] = []

    async def main() -> int:
        async def slow(update: dict[str, Any]) -> None:
            await asyncio.sleep(0.01)
            sent.append(update["frames_done"])

        async with ProgressSender(slow, interval_seconds=0.005) as sender:

            def work() -> None:
                for done in range(500):
                    sender.report(Progress(done, 500, 1.0))

            worker = threading.Thread(target=work)
            worker.start()
            await asyncio.to_thread(worker.join)
            while len(sent) < 3:
                sender.report(Progress(500 + len(sent), 1000, 1.0))
                await asyncio.sleep(0.002)
        sender.report(Progress(9999, None, 1.0))
        before = len(sent)
        await asyncio.sleep(0.05)
        return before

    before = asyncio.run(main())

    assert len(sent) == before
    assert sent == sorted(sent)
    assert 9999 not in sent


def test_at_most_one_update_is_sent_per_interval() -> None:
    """It is sent regardless of how often progress is reported."""
    sent: list[dict[str, Any]] = []

    async def main() -> None:
        async def send(update: dict[str, Any]) -> None:
            sent.append(update)

        async with ProgressSender(send, interval_seconds=60) as sender:
            for done in range(50):
                sender.report(Progress(done, 50, 1.0))
                await asyncio.sleep(0.001)

    asyncio.run(main())

    assert len(sent) == 1
