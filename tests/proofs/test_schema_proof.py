"""Schemathesis in its thorough mode over every operation that the running application describes.

It is no part of the lock: it brings ten packages of its own. Install it beside (pip install schemathesis==4.32.5, into
an environment of its own) and name its program in SCHEMATHESIS; without it this proof is skipped, and says so.
"""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from gateway.api.oneroster import ROOT
from gateway.api.oneroster.discovery import NAMES
from gateway.settings import Settings
from tests.api import two
from tests.proofs.record import proof

PROGRAM = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(8 * 3600),
    pytest.mark.skipif(PROGRAM is None, reason="schemathesis is not here: name its program in SCHEMATHESIS"),
]

SEED = 9
EXAMPLES = 100
CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"
DOCUMENTS = {
    "/openapi.json": "own for a teacher",
    **{f"{ROOT}/{service}/v1p2/discovery/{name}": "vendor" for service, name in NAMES.items()},
}
"""Where each document stands, and which of a district's programs asks."""


async def test_no_answer_is_an_error_of_ours_or_unlike_its_description(settings: Settings, tmp_path: Path) -> None:
    async with two.served(settings, tmp_path / "schema") as both:
        with proof("schema", seed=SEED) as counts:
            counts["program"] = (await said("--version"))[1].strip()
            for document, caller in DOCUMENTS.items():
                token = both.here.callers[caller]["Authorization"]
                ended, report = await said(
                    *("run", f"{both.http.base_url}{document}", "-H", f"Authorization: {token}"),
                    *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing,stateful"),
                    *("--max-examples", str(EXAMPLES), "--seed", str(SEED), "--continue-on-failure"),
                )
                assert ended == 0, report[-8000:]
                cases, passed = re.findall(r"([0-9]+) generated, ([0-9]+) passed", report)[-1]
                counts[document] = {"cases": int(cases), "passed": int(passed)}


async def said(*words: str) -> tuple[int, str]:
    """How the program ended, and all it said."""
    assert PROGRAM is not None
    run = await asyncio.create_subprocess_exec(PROGRAM, *words, stdout=asyncio.subprocess.PIPE)
    report, _ = await run.communicate()
    return run.returncode or 0, report.decode()
