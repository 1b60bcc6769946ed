"""What the whole test run hears and finds: no log line, no output of a process, no job, notice, error or metric tells
of anybody whom tests planted. There are no traces: tests/house/test_layers.py has it that nothing could send any."""

import logging
import re
from collections.abc import Iterable, Sequence

import httpx
import psycopg

from gateway import logs
from gateway.api import numbers
from gateway.settings import Settings
from gateway.store.database import Store
from synthetic.names import FAMILY

PLANTED = (
    "Wrenhilda", "Quillfeather", "Oddmund", "Marrowby", "Thistleton", "NUM-7710", "555-0142",  # tests.api.world
    "Ptolemaia", "Vexwood", "77310455", "stu-vexwood", "ignatz@home",  # tests.store.school
    "planted-",  # tests.village, and whatever else plants something
    *FAMILY, "@students.larkspur", "@families.example",  # everybody of the invented district
)  # fmt: skip
"""Names, numbers and words of people and plans that tests put in."""

_KEPT = """
    SELECT 'job arguments', CAST(args AS text) FROM procrastinate_jobs
    UNION ALL SELECT 'notice', CAST(message AS text) FROM notice
    UNION ALL SELECT 'error of a run', error FROM run WHERE error IS NOT NULL
"""


class Overheard(logging.Handler):
    """Every log line of a test, as a service would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs._Json())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


_TOLD = re.compile("|".join(re.escape(word) for word in PLANTED))


def telling(said: Iterable[str]) -> Sequence[str]:
    """Of these those that tell of somebody."""
    return [one for one in said if _TOLD.search(one)]


def silent(said: Iterable[str]) -> None:
    """AssertionError where something tells of somebody."""
    if told := telling(said):
        raise AssertionError(f"this tells of somebody: {told}")


def kept(url: str, **login: str) -> Sequence[str]:
    """What tells of somebody of that which stays in a database and is shown to those who keep it running."""
    with psycopg.connect(url, **login) as c:  # type: ignore[arg-type]
        if c.execute("SELECT to_regclass('notice')").fetchone() == (None,):
            return []
        return [f"{where}: {said}" for where, said in c.execute(_KEPT) if telling([said])]


async def measured(settings: Settings) -> Sequence[str]:
    """What tells of somebody in the metrics of everything that tests left in a store."""
    store = await Store.open(settings)
    try:
        exposed = await numbers.exposition(store, settings.takeover_seconds)
    finally:
        await store.close()
    return telling(exposed.decode().splitlines())


async def refused_in_silence(answer: httpx.Response) -> None:
    """An answer that is an error tells of nobody: it is what callers log."""
    if answer.is_error:
        said = (await answer.aread()).decode()
        silent([said, *answer.headers.values()])
