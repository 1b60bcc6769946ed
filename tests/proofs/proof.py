"""How a proof is written down: docs/proofs/<name>.json with the commit, what was counted, and how long it took."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def proof(name: str, **given: Any) -> Iterator[dict[str, Any]]:
    """Collect counts in the dict; they are written only when the proof holds."""
    counts: dict[str, Any] = {}
    began = time.monotonic()
    yield counts
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    written = {
        "commit": commit.stdout.strip(),
        **given,
        "counts": counts,
        "seconds": round(time.monotonic() - began, 1),
    }
    (ROOT / "docs" / "proofs" / f"{name}.json").write_text(json.dumps(written, indent=2) + "\n")
