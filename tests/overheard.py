"""What the whole test run hears and finds: no log line, job, notice or error tells of anybody whom tests planted."""

import logging
from collections.abc import Iterable, Sequence

import psycopg

from gateway import logs

PLANTED = (
    "Wrenhilda", "Quillfeather", "Oddmund", "Marrowby", "Thistleton", "NUM-7710", "555-0142",  # tests.api.world
    "Ptolemaia", "Vexwood", "77310455", "stu-vexwood", "ignatz@home",  # tests.store.school
    "planted-",  # tests.village, and whatever else plants something
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


def telling(said: Iterable[str]) -> Sequence[str]:
    """Of these those that tell of somebody."""
    return [one for one in said if any(word in one for word in PLANTED)]


def kept(url: str, **login: str) -> Sequence[str]:
    """What tells of somebody of that which stays in a database and is shown to those who keep it running."""
    with psycopg.connect(url, **login) as c:  # type: ignore[arg-type]
        if c.execute("SELECT to_regclass('notice')").fetchone() == (None,):
            return []
        return [f"{where}: {said}" for where, said in c.execute(_KEPT) if telling([said])]
