"""A million enrollments in a zip, imported by one command that shows how far it is, through one worker below 200 MB."""

import os
import pty
import re
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from bench import material
from tests.e2e.processes import PLANBRIDGE, Home
from tests.e2e.test_memory import MEGABYTE, peak_memory
from tests.proofs.record import proof

ROWS = 1_000_000
STUDENTS = 66_000

pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM from /proc"),
]


def test_a_million_enrollments_from_a_zip_by_one_command(tmp_path: Path) -> None:
    with proof("csv", seed=material.SEED) as counts, Home.made() as home:
        package = zipped(tmp_path)
        with zipfile.ZipFile(package) as files:
            with files.open("enrollments.csv") as rows:
                in_the_file = sum(1 for _ in rows) - 1
        assert in_the_file == ROWS
        home.json("connect", "oneroster", "--name", "oneroster", "--set", f"path={package}", "--yes")
        worker = home.start("worker")
        began = time.monotonic()
        seen = pulled_at_a_terminal(home)
        counts["seconds from the command to published"] = round(time.monotonic() - began, 1)
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
        shown = set(re.findall(r"enrollments[^0-9\r\n]*([0-9][0-9,]*)", plain))
        with home.database() as database:
            [(published,)] = database.execute("SELECT count(*) FROM entity WHERE kind = 'enrollment'").fetchall()
        peak = peak_memory(worker.pid)
        home.stop(worker)
        counts |= {
            "bytes of the zip": package.stat().st_size,
            "enrollments in the file": in_the_file,
            "enrollments published": published,
            "different counts of enrollments that were shown": len(shown),
            "peak of the worker in MB": round(peak / MEGABYTE, 1),
        }
        assert published == ROWS
        assert len(shown) > 10, "progress, not a wait"
        assert peak < 200 * MEGABYTE


def zipped(folder: Path) -> Path:
    """A OneRoster 1.2 package of one large district, as a zip."""
    made = folder / "made"
    made.mkdir()
    material.write_package(made, material.crowded(material.district(STUDENTS), ROWS))
    with zipfile.ZipFile(folder / "package.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=6) as package:
        for file in sorted(made.iterdir()):
            package.write(file, file.name)
            file.unlink()
    return folder / "package.zip"


def pulled_at_a_terminal(home: Home) -> str:
    """Pull as a person at a terminal does; what that person saw."""
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def watch() -> None:
        while True:
            try:
                block = os.read(ours, 4096)
            except OSError:  # nobody writes any more
                return
            if not block:
                return
            seen.append(block)

    watching = threading.Thread(target=watch)
    watching.start()
    done = subprocess.run(
        [*PLANBRIDGE, "pull", "oneroster"],
        env=home.environment | {"PLANBRIDGE_DISTRICT": "default", "COLUMNS": "120", "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=3000,
    )
    os.close(theirs)
    watching.join(timeout=30)
    os.close(ours)
    told = b"".join(seen).decode(errors="replace")
    assert done.returncode == 0, done.stdout.decode() + told[-2000:]
    return told
