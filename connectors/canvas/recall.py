"""What was asked of a Canvas in the last minutes, so that what is the same for a whole course is asked once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

FRESH = 300.0
"""Seconds for which an answer holds: one sink may be at work for hours, and people join courses meanwhile."""

Told = TypeVar("Told")


class Recall:
    """Answers by what they are about. Who asks while an answer is under way waits for that one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._turns: dict[Hashable, asyncio.Lock] = {}

    async def __call__(self, about: Hashable, ask: Callable[[], Awaitable[Told]]) -> Told:
        async with self._turns.setdefault(about, asyncio.Lock()):
            until, told = self._kept.get(about, (float("-inf"), None))
            if self.clock() >= until:
                told = await ask()
                self._kept[about] = self.clock() + FRESH, told
            answer: Told = told
            return answer

    def forget(self, about: Hashable) -> None:
        self._kept.pop(about, None)
