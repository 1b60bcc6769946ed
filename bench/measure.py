"""What something cost: CPU of the process and its children, wall clock, peak memory; and servers to run against."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """One round. `cpu` and `wall` in seconds, without the start of the interpreter and its imports; `memory` is the
    peak in MB; `more` is what else it tells of itself."""

    cpu: float
    wall: float
    memory: float
    more: Mapping[str, Any] = field(default_factory=dict)


def process(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Cost:
    """Run a command to its end. Its last line of output is what bench/peers/common/told.py prints.
    RuntimeError with what it said if it fails."""
    began = time.monotonic()
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        running = subprocess.Popen(  # noqa: S603 ours and the peers'
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        output.seek(0)
        said = output.read().rstrip()
    if running.returncode:
        raise RuntimeError(said[-2000:])
    told = json.loads(said.rpartition("\n")[2])
    cpu_before, wall_before = told["start"]
    return Cost(used.ru_utime + used.ru_stime - cpu_before, wall - wall_before, told["memory"], {"rows": told["rows"]})


@dataclass(frozen=True)
class Serving:
    """A server process of ours; `asked()` tells the pages asked of each collection since the last look."""

    url: str

    def asked(self) -> dict[str, int]:
        with urlopen(f"{self.url}/_asked") as answer:  # noqa: S310 our own server
            return dict(json.load(answer))


@contextmanager
def serving(
    kind: str,
    folder: Path,
    *,
    port: int = 0,
    page_cap: int = 500,
    delay: float = 0.0,
    module: str = "bench.servers",
) -> Iterator[Serving]:
    """A bench server of `kind` over the rows in `folder`, in a process of its own."""
    options = [str(folder), "--port", str(port), "--page-cap", str(page_cap), "--delay", str(delay)]
    running = subprocess.Popen(  # noqa: S603 ours
        [sys.executable, "-m", module, kind, *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    try:
        yield Serving(running.stdout.readline().strip())
    finally:
        running.kill()
        running.communicate()


def used_by(pid: int) -> float:
    """CPU seconds of a living process and of the children it has seen end."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def used_by_server(postmaster: int) -> float:
    """CPU seconds of a PostgreSQL server, those of ended sessions included."""
    total = used_by(postmaster)
    for session in psutil.Process(postmaster).children():
        try:
            times = session.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def peak(pid: int) -> float:
    """The most resident memory a living process ever had, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    [found] = [line for line in lines if line.startswith("VmHWM:")]
    return int(found.split()[1]) / 1024
