"""The programs that Planbridge is compared with: each in an environment of its own, doing the job its natural way."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.measure import ROOT, Cost, process

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Peer:
    """A folder under bench/peers: requirements.txt with hashes, and the program. `least` is the Python it needs."""

    name: str
    program: str
    least: tuple[int, int] = (3, 11)

    def install(self) -> None:
        """Make its environment unless it is there. RuntimeError says why that cannot be."""
        ready = self._venv / "ready"
        if ready.exists():
            return
        shutil.rmtree(self._venv, ignore_errors=True)
        _run(_python(self.least), "-m", "venv", str(self._venv))
        requirements = str(PEERS / self.name / "requirements.txt")
        _run(str(self._venv / "bin" / "pip"), "install", "--quiet", "--require-hashes", "--requirement", requirements)
        ready.touch()

    def run(self, *arguments: str, **variables: str) -> Cost:
        """Do the job once, in a folder that is gone afterwards."""
        command = [str(self._venv / "bin" / "python"), str(PEERS / self.name / self.program), *arguments]
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        environment |= {"PYTHONPATH": str(PEERS / "common"), "BENCH_BEGAN": str(time.monotonic())} | variables
        with tempfile.TemporaryDirectory(prefix="planbridge-bench-") as folder:
            return process(command, folder=Path(folder), environment=environment)

    @property
    def _venv(self) -> Path:
        return ROOT / ".bench" / "venvs" / self.name


def _python(least: tuple[int, int]) -> str:
    """This Python, or the oldest one of this machine that is new enough. RuntimeError if there is none."""
    if sys.version_info[:2] >= least:
        return sys.executable
    beside = Path(sys.base_prefix).parent  # where pyenv and uv keep the others
    for minor in range(least[1], 20):
        name = f"python3.{minor}"
        for found in (shutil.which(name), *map(str, beside.glob(f"*/bin/{name}"))):
            if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:  # noqa: S603
                return found
    raise RuntimeError(f"it needs Python {least[0]}.{least[1]}, which this machine does not have")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 Python and pip
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-500:])


EDFI_API_CLIENT = Peer("edfi_api_client", "fetch.py")
LIGHTBEAM = Peer("lightbeam", "fetch.py")
LIGHTBEAM_SENDS = Peer("lightbeam", "send.py")
DLT = Peer("dlt", "load.py")
EARTHMOVER = Peer("earthmover", "transform.py")
TIMEBACK = Peer("timeback_oneroster", "fetch.py", least=(3, 12))
