"""Schemathesis in its thorough mode over every operation that the running application describes.

It is no part of the lock: it brings ten packages of its own. Install it beside (pip install schemathesis==4.32.5, into
an environment of its own) and name its program in SCHEMATHESIS; without it this proof is skipped, and says so.
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.api.oneroster import ROOT
from gateway.api.oneroster.discovery import NAMES
from gateway.api.oneroster.operations import OLDER_OPERATIONS, OPERATIONS
from gateway.settings import Settings
from gateway.store import clients
from tests.api import two
from tests.api.test_exposure import CALLS
from tests.api.test_oneroster_older import DOCUMENT as OLDER
from tests.api.two import Two
from tests.openapi import CONTRACTS, document
from tests.proofs.record import proof

PROGRAM = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
HOURS = 8
pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(HOURS * 3600),
    pytest.mark.skipif(PROGRAM is None, reason="schemathesis is not here: name its program in SCHEMATHESIS"),
]

SEED = 9
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "100"))
ONLY = os.environ.get("SCHEMATHESIS_ONLY", "")
"""A pattern of paths, for whoever looks into some of them."""
CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"
PARTLY = bool(ONLY) or EXAMPLES < 100 or "SCHEMATHESIS_DOCUMENT" in os.environ
DOCUMENTS = {
    "/openapi.json": "own for a teacher",
    **{f"{ROOT}/{service}/v1p2/discovery/{name}": "vendor" for service, name in NAMES.items()},
    OLDER: "vendor",
}
"""Where each document stands, and which of a district's programs asks. That of 1.1 is the published one."""
PUBLISHED_CHECKS = "not_a_server_error,content_type_conformance"
"""The published document of 1.1 says little of refusals; tests/api/test_oneroster_older.py holds answers to it."""
LIKELY = 0.8
"""How often a value that exists is taken where one is known, instead of one made up: else nearly all is 404."""


async def test_no_answer_is_an_error_of_ours_or_unlike_its_description(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A whole run takes longer than a token is good for, and whatever came after its end would be 401.
    monkeypatch.setattr(clients, "TOKEN_SECONDS", HOURS * 3600)
    async with two.served(settings, tmp_path / "schema") as both:
        with part() if PARTLY else proof("schema", seed=SEED) as counts:
            counts["program"] = (await said("--version"))[1].strip()
            counts["examples"] = EXAMPLES
            for where, caller in chosen().items():
                header = both.here.callers[caller]
                known, token = tmp_path / "known.toml", header["Authorization"]
                webhook = await _webhook(both, header) if where == "/openapi.json" else 0
                known.write_text(_known(both, where, webhook), encoding="utf-8")
                ended, report = await said(
                    *("--config-file", str(known), "run", *_located(both, where, tmp_path)),
                    *("-H", f"Authorization: {token}", "--seed", str(SEED), "--continue-on-failure"),
                    *("--checks", PUBLISHED_CHECKS if where == OLDER else CHECKS),
                    *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES)),
                    *(("--include-path-regex", ONLY) if ONLY else ()),
                    cwd=tmp_path,  # it keeps what it found in a folder of its own
                )
                if folder := os.environ.get("SCHEMATHESIS_REPORTS"):
                    (Path(folder) / f"{Path(where).stem}.txt").write_text(report, encoding="utf-8")
                assert ended == 0, report[-8000:]
                cases, passed = re.findall(r"([0-9]+) generated, ([0-9]+) passed", report)[-1]
                counts[where] = {"cases": int(cases), "passed": int(passed)}


@contextmanager
def part() -> Iterator[dict[str, Any]]:
    """Of what was looked into in part only there is no record: it proves nothing of the whole."""
    yield {}


def chosen() -> Mapping[str, str]:
    """The documents, or those of them of which SCHEMATHESIS_DOCUMENT names a part."""
    wanted = os.environ.get("SCHEMATHESIS_DOCUMENT", "")
    return {where: caller for where, caller in DOCUMENTS.items() if wanted in where and _is_here(where)}


def _is_here(where: str) -> bool:
    return where != OLDER or CONTRACTS.is_dir()


def _located(both: Two, where: str, folder: Path) -> list[str]:
    if where != OLDER:
        return [f"{both.http.base_url}{where}"]
    path = folder / "older.json"
    path.write_text(json.dumps(document(OLDER), default=str), encoding="utf-8")
    return [str(path), "--url", f"{both.http.base_url}{ROOT}/v1p1"]


async def _webhook(both: Two, header: Mapping[str, str]) -> int:
    """A webhook of the program that asks, whose number no list of calls can know; one before it is there to be deleted
    while the rest goes on with this one."""
    for path in ("deleted", "kept"):
        body = {"url": f"https://hooks.example.org/{path}"}
        answer = await both.http.post("/v1/webhooks", json=body, headers=dict(header))
        assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def _known(both: Two, where: str, webhook: int) -> str:
    """The settings of the program: for each operation what its parameters and the parts of its body may be, so that
    it is answered about something that exists."""
    lists, operations = [], []
    for n, (name, values) in enumerate(_values(both, where, webhook)):
        parts = []
        for key, value in values.items():
            named = f"known-{n}-{key.replace('.', '-')}"
            lists.append(f"[dictionaries.{json.dumps(named)}]\nvalues = [{json.dumps(value)}]\n")
            parts.append(f"{json.dumps(key)} = {{ dictionary = {json.dumps(named)}, probability = {LIKELY} }}")
        if parts:
            lines = "\n".join(parts)
            operations.append(f"[[operations]]\ninclude-name = {json.dumps(name)}\n[operations.parameters]\n{lines}\n")
    return "\n".join([*lists, *operations])


def _values(both: Two, where: str, webhook: int) -> Iterator[tuple[str, dict[str, str | int]]]:
    """By the name of each operation, what of it is known: `path.id` and `body.student`."""
    if where == "/openapi.json":
        for route in CALLS:
            method, template = route.split(" ")
            how = CALLS[route](both.here.world)
            found = _of_path(template, (how.path or template).partition("?")[0])
            if "path.webhook" in found:
                found["path.webhook"] = webhook - 1 if method == "DELETE" else webhook
            body = how.body if isinstance(how.body, dict) else {}
            found |= {f"body.{key}": value for key, value in body.items() if type(value) in (str, int)}
            yield f"{method} {template}", found
        return
    for operation in OLDER_OPERATIONS if where == OLDER else OPERATIONS:
        address = two.address(operation, both.here).partition("/v1p2")[2]
        yield f"GET {operation.path}", _of_path(operation.path, address)


def _of_path(template: str, path: str) -> dict[str, str | int]:
    pairs = zip(template.split("/"), path.split("/"), strict=True)
    return {f"path.{name[1:-1]}": int(one) if one.isdigit() else one for name, one in pairs if name.startswith("{")}


async def said(*words: str, cwd: Path | None = None) -> tuple[int, str]:
    """How the program ended, and all it said."""
    assert PROGRAM is not None
    run = await asyncio.create_subprocess_exec(PROGRAM, *words, stdout=asyncio.subprocess.PIPE, cwd=cwd)
    report, _ = await run.communicate()
    return run.returncode or 0, report.decode()
