"""Writes the typed Python client from today's OpenAPI document: python -m clients.generate FOLDER (make client)."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway.api import assembled
from gateway.settings import Settings

NAME = "openapi-python-client"


def generator() -> Path | None:
    """The program that writes it, where `make client` has put it or on the path; None where it is not there."""
    ours = Path(__file__).parents[1] / ".venv/generator/bin" / NAME
    found = str(ours) if ours.exists() else shutil.which(NAME)
    return Path(found) if found else None


def generate(program: Path, folder: Path) -> str:
    """Write the client into a folder, over what is there; returns what the program said. It is 35,000 lines, which
    nobody reads and every change of the API moves about: so it is not kept with the source."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as document:
        json.dump(assembled(Settings()).openapi(), document)
        document.flush()
        done = subprocess.run(  # noqa: S603 what make client has installed
            [str(program), "generate", "--path", document.name, "--output-path", str(folder), "--overwrite"],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": f"{program.parent}:/usr/bin:/bin", "LANG": "C.UTF-8"},
        )
    return done.stdout + done.stderr


if __name__ == "__main__":
    program = generator()
    if program is None:
        sys.exit(f"{NAME} is not there: make client installs it.")
    sys.stdout.write(generate(program, Path(sys.argv[1])))
