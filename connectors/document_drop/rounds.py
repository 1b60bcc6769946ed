"""What is put into a folder side by side ends together: one look before, and the lists once after all of it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.outbox import Lying

_PLANS = re.compile(r"(?=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))")


class There:
    """What lay in the folder when a round began, by the plans whose ids stand in the names."""

    def __init__(self, lying: Lying) -> None:
        self.finished = _by_plan({name: name for name in lying.names})
        self.unfinished = _by_plan({name: to for name, (to, _) in lying.unfinished.items()})


def _by_plan(names: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for name, said in names.items():
        for plan in dict.fromkeys(_PLANS.findall(said)):
            found.setdefault(plan, []).append(name)
    return found


Look = Callable[[], Coroutine[Any, Any, There]]
Finish = Callable[[], Coroutine[Any, Any, None]]


class Rounds:
    """Whoever comes takes part in the round that is open. It ends when all who take part wait for its end, or have
    left: then `finish` happens once for them, and for none of them is it over before."""

    def __init__(self, look: Look, finish: Finish) -> None:
        self._look = look
        self._finish = finish
        self._open: Round | None = None

    @asynccontextmanager
    async def one(self) -> AsyncIterator["Round"]:
        if self._open is None or self._open.over:
            self._open = Round(self._look, self._finish)
        mine = self._open
        mine.under_way += 1
        try:
            yield mine
        finally:
            mine.under_way -= 1
            mine.end_if_all_wait()


class Round:
    """Those who take part side by side."""

    def __init__(self, look: Look, finish: Finish) -> None:
        self._look = look
        self._finish = finish
        self._seen: asyncio.Task[There] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = 0
        self.under_way = 0

    @property
    def over(self) -> bool:
        """Whether it takes nobody in any more."""
        return self._ending is not None

    async def there(self) -> There:
        """What lay there when the first of them asked. Nobody else writes of a plan that is under way here."""
        if self._seen is None:
            self._seen = asyncio.create_task(self._look())
            self._seen.add_done_callback(_heard)  # whoever asked may be gone
        return await asyncio.shield(self._seen)

    async def end(self) -> None:
        """Wait until `finish` has happened for all of them; what it raises, all of them raise."""
        self._waiting += 1
        try:
            self.end_if_all_wait()
            await asyncio.shield(self._ended)
        finally:
            self._waiting -= 1

    def end_if_all_wait(self) -> None:
        if not self.over and self._waiting and self._waiting == self.under_way:
            self._ending = asyncio.create_task(self._finish())
            self._ending.add_done_callback(self._told)

    def _told(self, ending: "asyncio.Task[None]") -> None:
        if ending.cancelled():
            self._ended.cancel()
        elif error := ending.exception():
            self._ended.set_exception(error)
            self._ended.exception()  # heard, also where nobody waits any more
        else:
            self._ended.set_result(None)


def _heard(task: "asyncio.Task[There]") -> None:
    if not task.cancelled():
        task.exception()
