"""A worker's memory does not grow with the district: it holds a page, a batch, never a collection."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.e2e.processes import Home, closed_port, until

SEED = 2026
MEGABYTE = 1024
"""Kilobytes, as the kernel counts."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM from /proc")


def test_a_tenfold_district_costs_hardly_more_memory() -> None:
    with Home.made(laid=True) as home:
        small, large = measured(home, students=270), measured(home, students=2_700)
    assert small.associations > 1_900 and large.associations > 19_000
    assert large.peak < 160 * MEGABYTE
    assert large.peak - small.peak < 24 * MEGABYTE


@dataclass(frozen=True)
class Pull:
    """What one pull took: section associations published, peak memory of the worker in kB, seconds."""

    associations: int
    peak: int
    seconds: float


def measured(home: Home, *, students: int) -> Pull:
    """Pull an Ed-Fi district of so many students with a fresh worker process."""
    district = f"{students} students"
    with edfi_twin_process(students) as url:
        name = home.connect_edfi(url, district=district)
        run = int(home.json("pull", name, "--no-wait", district=district)["id"])
        began = time.monotonic()
        worker = home.start("worker")
        with home.database() as database:

            def over() -> bool:
                found = database.execute("SELECT state, error FROM run WHERE id = %s", [run]).fetchall()
                [(state, error)] = found
                assert state in ("queued", "pulling", "resolving", "published"), error
                return bool(state == "published")

            until(over, "the run is published", 1_500)
            seconds = time.monotonic() - began
            [(associations,)] = database.execute(
                "SELECT count(*) FROM record r JOIN run ON run.connection_id = r.connection_id "
                "WHERE run.id = %s AND r.collection = 'studentSectionAssociations'",
                [run],
            )
        peak = peak_memory(worker.pid)
        home.stop(worker)
    return Pull(associations, peak, round(seconds, 1))


def peak_memory(pid: int) -> int:
    """The most resident memory that a process ever had, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    [found] = [line for line in lines if line.startswith("VmHWM:")]
    return int(found.split()[1])


@contextmanager
def edfi_twin_process(students: int) -> Iterator[str]:
    """An Ed-Fi twin in a process of its own, whose memory and time are not the worker's."""
    port = closed_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "--factory", "connectors.edfi.twin:app"),
            *("--port", str(port), "--log-level", "critical"),
        ],
        env=os.environ | {"TWIN_STUDENTS": str(students), "TWIN_SEED": str(SEED)},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url), "the twin answers", 120)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(url) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError):
        return False
