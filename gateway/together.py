"""Calls that come at once, carried out as one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Together(Generic[Asked, Told]):
    """What is asked while an answer is under way is asked together next: a hundred notes are one transaction.

    `act` answers each in its place, with an exception where that one alone has none; what it raises, all of them raise.
    Whoever stops waiting does not stop what was asked. At most `most` go together.
    """

    def __init__(
        self, act: Callable[[Sequence[Asked]], Awaitable[Sequence[Told | Exception]]], most: int = 500
    ) -> None:
        self._act = act
        self._most = most
        self._waiting: list[tuple[Asked, asyncio.Future[Told]]] = []
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, asked: Asked) -> Told:
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # whoever is about to ask does so
                now, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                told: Sequence[Told | BaseException]
                try:
                    told = await self._act([asked for asked, _ in now])
                except BaseException as error:  # whatever ends it, nobody is left waiting
                    told = [error] * len(now)
                for (_, answer), one in zip(now, told, strict=True):
                    if answer.done():
                        continue
                    if isinstance(one, BaseException):
                        answer.set_exception(one)
                    else:
                        answer.set_result(one)
                if told and isinstance(told[0], asyncio.CancelledError):
                    return  # the process ends; those who wait still are let go below
        finally:
            self._working = None
            for _, answer in self._waiting:
                answer.cancel()
