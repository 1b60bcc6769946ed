"""Where a proof is written down: what was measured, of which commit, from which seed, and how long it took."""

import json
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.house.tree import ROOT


@contextmanager
def proof(name: str, *, seed: int) -> Iterator[dict[str, Any]]:
    """Gives a mapping for the counts; writes docs/proofs/<name>.json when all has held, and only then."""
    counts: dict[str, Any] = {}
    began = time.monotonic()
    yield counts
    document = {
        "commit": commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "seed": seed,
        "counts": counts,
        "duration_seconds": round(time.monotonic() - began, 1),
    }
    folder = ROOT / "docs" / "proofs"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def commit() -> str:
    """The commit of this checkout, marked where the checkout differs from it; other proofs that were just written make
    no difference."""
    head = _git("rev-parse", "HEAD")
    if not head:
        return "not a git checkout"
    return f"{head}-dirty" if _git("status", "--porcelain", "-uno", "--", ".", ":!docs/proofs") else head


def _git(*asked: str) -> str:
    return subprocess.run(["git", *asked], cwd=ROOT, capture_output=True, text=True).stdout.strip()
