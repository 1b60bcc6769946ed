"""Who imports whom: the contracts of .importlinter, and what they cannot say."""

import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, ROOT, Module, modules


def test_the_contracts_of_import_linter_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    checked = subprocess.run([program, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_every_module_stands_in_one_layer() -> None:
    layers = list(_layers())
    tops = {".".join(module.name.split(".")[:2]) for module in modules() if module.name.startswith("gateway.")}
    tops |= set(PACKAGES) - {"gateway"}
    assert sorted(layers) == sorted(set(layers))
    assert tops - set(layers) == set(), "name these in the layers of .importlinter"


def _layers() -> Iterator[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    for line in config["importlinter:contract:layers"]["layers"].split():
        if line not in "|:":
            yield line.strip("()")


TWINS = [module for module in modules() if any(part.startswith("twin") for part in module.name.split("."))]


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_a_twin_can_disagree_with_our_client(twin: Module) -> None:
    """It knows only its own folder's twin, the invented district, starlette and Python."""
    own = ".".join(twin.name.split(".")[:2]) + ".twin"
    allowed = (*sys.stdlib_module_names, "starlette", "synthetic")
    strangers = [name for name in twin.imports() if name.split(".")[0] not in allowed and not name.startswith(own)]
    # `from connectors.x import twin` names the package as well.
    assert [name for name in strangers if f"{name}.twin" != own] == []


SANDBOXES = {"gateway.sandbox", "gateway.api.sandbox"}
"""What makes districts of invented people, apart from real ones by a mark of their own."""


def test_nothing_but_twins_and_sandboxes_knows_the_invented_district() -> None:
    knowing = {
        module.name
        for module in modules()
        if module not in TWINS
        and not module.name.startswith("synthetic")
        and any(name.split(".")[0] == "synthetic" or ".twin" in name for name in module.imports())
    }
    assert knowing == SANDBOXES


def test_the_invented_district_knows_nobody() -> None:
    known = {
        name.split(".")[0] for module in modules() if module.name.startswith("synthetic") for name in module.imports()
    }
    assert known - set(sys.stdlib_module_names) <= {"starlette", "synthetic"}


def test_a_mapping_knows_the_wire_models_of_its_own_connector_only() -> None:
    strangers = {
        (module.name, name)
        for module in modules()
        if module.name.startswith("mappings.")
        for name in module.imports()
        if name.startswith("connectors.") and name.split(".")[1] != module.name.split(".")[1]
    }
    assert strangers == set()


def test_nothing_sends_traces() -> None:
    """What never leaves needs no search for names (tests/overheard.py). FastAPI brings the interface of OpenTelemetry,
    which does nothing without what sends."""
    tracers = {"opentelemetry", "sentry_sdk", "ddtrace", "newrelic", "elasticapm", "logfire"}
    assert [
        (module.name, name) for module in modules() for name in module.imports() if name.split(".")[0] in tracers
    ] == []
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()}
    assert {"fastapi", "opentelemetry-api"} <= locked
    senders = {"opentelemetry-sdk", *(name.replace("_", "-") for name in tracers), "elastic-apm"}
    assert {name for name in locked if name in senders or name.startswith("opentelemetry-exporter")} == set()
