"""How long the client waits for what."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the client waits, in seconds.

    Attributes:
        patience: How long a request is tried again while the server is busy, restarting or away. 0: never.
        first_patience: The same until the server has answered for the first time: its address may be wrong.
        first_pause: Pause before the second attempt; each further one is twice as long.
        longest_pause: Maximum of these pauses; ``Retry-After`` of the server may ask for a longer one.
        poll: Pause between two questions about a job where events do not get through.
        silence: After how much silence a stream of events counts as broken. The server sends something every 15 s.
        response: How long the server may take for a response.
        connect: How long connecting may take.
    """

    patience: float = 120
    first_patience: float = 5
    first_pause: float = 0.5
    longest_pause: float = 20
    poll: float = 2
    silence: float = 35
    response: float = 300
    connect: float = 10

    def pauses(self) -> Iterator[float]:
        """The pauses between attempts, each up to a quarter longer, so that clients do not come back together."""
        pause = self.first_pause
        while True:
            yield pause * random.uniform(1, 1.25)  # noqa: S311 - no secret
            pause = min(2 * pause, self.longest_pause)
