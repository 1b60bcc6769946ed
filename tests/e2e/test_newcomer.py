"""A newcomer follows docs/quick-start.md to the letter: its commands and programs are run as they stand there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import Home, closed_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/quick-start.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
PROGRAMS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE, re.M | re.S))
PORTS = ("8433", "8766")
"""Those of the page, which others may have on the machine of the tests."""


@dataclass
class Desk:
    """A folder on a machine with Planbridge, after everything on the page was typed there."""

    folder: Path
    home: Home

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("newcomer")
    others = {port: str(closed_port()) for port in PORTS}

    def here(text: str) -> str:
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: others[found[1]], text)

    for name, text in PROGRAMS.items():
        (folder / name).write_text(here(text), encoding="utf-8")
    for name, words in {"planbridge": "-m gateway.cli ", "python3": ""}.items():
        (folder / "bin" / name).parent.mkdir(exist_ok=True)
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n', encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    with Home.made(laid=True) as home:
        environment = home.environment | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PLANBRIDGE_PORT": others[PORTS[0]],
        }
        # Each line begins once the one before it has succeeded; what was sent to the background ends with the shell.
        typed = "\n".join(["set -euo pipefail", "trap 'kill $(jobs -p); wait' EXIT", *map(here, COMMANDS)])
        done = subprocess.run(
            ["bash", "-c", typed], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stdout + done.stderr + "\n".join(Desk(folder, home).lines("planbridge.log"))
        yield Desk(folder, home)


def test_it_takes_fewer_than_twenty_commands() -> None:
    assert 10 < len(COMMANDS) < 20
    assert set(PROGRAMS) == {"plan.py", "hook.py"}


def test_the_first_page_of_the_roster_is_read(desk: Desk) -> None:
    users = desk.json("users.json")["users"]
    assert len(users) == 10
    assert all(one["sourcedId"] and one["givenName"] for one in users)


def test_a_plan_is_refused_with_what_is_missing_completed_and_delivered(desk: Desk) -> None:
    assert desk.lines("plan.log") == [
        "consult: G1 is missing ['/strengths', '/needs/0/evidence']",
        "finalize: finalized",
        "delivery: delivered",
    ]
    [event] = desk.json("events.json")["events"]
    assert event["type"] == "delivery.done"


def test_the_same_plan_without_a_person_is_forbidden(desk: Desk) -> None:
    refused = desk.json("refused.json")
    assert (refused["status"], refused["code"]) == (403, "author-missing")


def test_the_first_webhook_is_verified(desk: Desk) -> None:
    assert desk.json("test.json")["arrived"] is True
    assert "webhook.test" in [json.loads(line)["type"] for line in desk.lines("hook.log")]


def test_a_day_passes_and_the_agreement_ends_on_request(desk: Desk) -> None:
    assert desk.json("day.json")["day"] > "2026"
    assert desk.json("ended.json")["what"] == "agreement-ended"
