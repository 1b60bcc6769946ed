"""What is asked at once is carried out as one, each with its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.together import Together


class Clerk:
    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate, self.asked = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def __call__(self, asked: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(asked))
        self.asked.set()
        await self.gate.wait()
        if 99 in asked:
            raise KeyError("the whole of it")
        return [ValueError(str(one)) if one < 0 else one * 10 for one in asked]


async def test_what_comes_while_an_answer_is_under_way_goes_together_next() -> None:
    clerk = Clerk()
    ask = Together(clerk, most=3)
    clerk.gate.clear()
    first = asyncio.create_task(ask(1))
    await clerk.asked.wait()
    rest = [asyncio.create_task(ask(n)) for n in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    clerk.gate.set()
    assert await first == 10
    assert await asyncio.gather(*rest) == [20, 30, 40, 50]
    assert clerk.batches == [[1], [2, 3, 4], [5]]


async def test_one_that_has_no_answer_is_nobody_elses_trouble() -> None:
    ask = Together(Clerk())
    told = await asyncio.gather(ask(1), ask(-2), ask(3), return_exceptions=True)
    assert told[0] == 10 and isinstance(told[1], ValueError) and told[2] == 30
    with pytest.raises(KeyError):
        await ask(99)
    assert await ask(4) == 40  # and the next one is asked anew


async def test_who_stops_waiting_does_not_stop_what_was_asked() -> None:
    clerk = Clerk()
    ask = Together(clerk)
    clerk.gate.clear()
    gone, stays = asyncio.create_task(ask(1)), asyncio.create_task(ask(2))
    await clerk.asked.wait()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    clerk.gate.set()
    assert await stays == 20 and clerk.batches == [[1, 2]]
