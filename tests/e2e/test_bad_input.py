"""What a person gets wrong, or a system does: a clear error that names what to change, and nothing lost."""

import json
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.oneroster.twin import twin
from gateway.errors import AuthError, ConfigError, Refused, Unavailable
from synthetic import build
from tests.e2e.processes import Home, closed_port, published, steer
from tests.house.tree import ROOT
from tests.serving import serve

CHANGE, CREDENTIALS, LATER, RULE = (kind.exit_code for kind in (ConfigError, AuthError, Unavailable, Refused))
DISTRICT = build(schools=1, students=20, seed=5)
SECRET = "Jx5-secret-q40"
WRONG = "where all goes wrong"


@dataclass
class Sis:
    """A connected, published OneRoster service that can go wrong, seen from the command line of its district."""

    home: Home
    url: str
    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return self.home.run(*arguments, district=WRONG, **variables)

    def really_run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """In a process of its own."""
        return Home.run(self.home, *arguments, district=WRONG)


@pytest.fixture(scope="module")
def sis(installation: Home) -> Iterator[Sis]:
    made = Sis(installation, "", twin(DISTRICT))
    worker = installation.start("worker")
    with serve(made) as made.url:
        installation.connect_oneroster(made.url, district=WRONG)
        assert made.run("pull", "oneroster").returncode == 0
        yield made
    installation.stop(worker)


@pytest.fixture
def nothing_lost(sis: Sis) -> Iterator[None]:
    before = published(sis.home, WRONG)
    yield
    assert published(sis.home, WRONG) == before


# --- what is typed wrongly --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """A command line, the code of what is wrong with it, and what the answer must name."""

    line: str
    code: str
    names: Sequence[str]


MISTAKES = (
    Mistake("students --number 999999", "student-unknown", ["identifier"]),
    Mistake("pull elsewhere", "connection-unknown", ["elsewhere", "planbridge connections"]),
    Mistake("check elsewhere", "connection-unknown", ["elsewhere", "planbridge connections"]),
    Mistake("runs 999999", "run-unknown", ["999999", "planbridge runs"]),
    Mistake("connect notthere --name x", "connector-unknown", ["notthere", "edfi, lti, moodle, oneroster"]),
    Mistake("connect oneroster --name x --set base=https://a.example.org", "setting-unknown", ["base", "base_url"]),
    Mistake("connect oneroster --name x --set page_size=none", "settings-invalid", ["page_size"]),
    Mistake(f"connect edfi --name x --set secret={SECRET}", "secret-on-command-line", ["secret=env:NAME"]),
    Mistake("connect edfi --name x --set secret=env:NO_SUCH", "secret-missing", ["NO_SUCH"]),
    Mistake("connect oneroster --name x --set path=/no/such.zip --yes", "inbox-empty", ["such.zip", "upload"]),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.line)
def test_a_mistake_is_named_with_its_remedy(sis: Sis, nothing_lost: None, mistake: Mistake) -> None:
    told = refused(sis, *mistake.line.split(), code=mistake.code, ends=CHANGE)
    assert [name for name in mistake.names if name not in told] == []
    assert SECRET not in told


def test_people_are_told_what_machines_are(sis: Sis) -> None:
    line = ["students", "--number", "999999"]
    said, done = refused(sis, *line, code="student-unknown", ends=CHANGE), sis.really_run(*line)
    assert (done.returncode, done.stdout) == (CHANGE, "")
    message, remedy, code = done.stderr.splitlines()
    assert f"{message.removeprefix('Error: ')}\n{remedy.removeprefix('What to do: ')}" == said
    assert code == "Code student-unknown, explained in docs/errors.md"


def test_the_network_is_not_let_in_without_tls(sis: Sis, nothing_lost: None) -> None:
    done = sis.really_run("up", "--host", "0.0.0.0")
    assert done.returncode == CHANGE
    assert "0.0.0.0" in done.stderr and "PLANBRIDGE_TLS_CERTIFICATE" in done.stderr
    assert "Code address-without-tls," in done.stderr
    assert not (sis.home.home / "processes.json").exists()


# --- what cannot be connected -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Nowhere:
    """An address or a secret that leads nowhere: what is set in place of what is right, and what must be named."""

    settings: Callable[[Sis], dict[str, str]]
    names: Sequence[str]
    secret: str = "demo-secret"


NOWHERE = {
    "a secret that is refused": Nowhere(lambda sis: {}, ["token", "401", "client secret"], secret=SECRET),
    "a port where nobody listens": Nowhere(
        lambda sis: {"token_url": f"http://127.0.0.1:{closed_port()}/token"}, ["127.0.0.1:", "cannot be reached"]
    ),
    "a host that does not exist": Nowhere(
        lambda sis: {"token_url": "https://sis.invalid/token"}, ["sis.invalid:443", "no such name", "URL"]
    ),
    "a path that does not exist": Nowhere(
        lambda sis: {"token_url": f"{sis.url}/tokens"}, ["/tokens", "404", "token URL"]
    ),
    "an address without TLS": Nowhere(lambda sis: {"token_url": "http://sis.example.org/token"}, ["https"]),
}


@pytest.mark.parametrize("nowhere", NOWHERE.values(), ids=NOWHERE.keys())
def test_what_does_not_answer_is_not_saved(sis: Sis, nothing_lost: None, nowhere: Nowhere) -> None:
    settings = {"base_url": sis.url, "token_url": f"{sis.url}/token", "client_id": "demo-client"}
    settings |= nowhere.settings(sis)
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = ["connect", "oneroster", "--name", "new", *sets, "--set", "private_addresses=127.0.0.1: a twin"]
    told = refused(
        sis, *command, "--set", "client_secret=env:GIVEN", code="check-failed", ends=CHANGE, GIVEN=nowhere.secret
    )
    assert [name for name in nowhere.names if name not in told] == []
    assert SECRET not in told
    assert [connection["name"] for connection in json.loads(sis.run("connections", "--json").stdout)] == ["oneroster"]


# --- what went well yesterday -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """A turn for the worse of a system that is connected; what the failed run says, and how the command ends."""

    happens: Callable[[Sis], None]
    code: str
    ends: int
    names: Sequence[str]


def web_page(sis: Sis) -> None:
    async def page(request: Request) -> Response:
        return HTMLResponse("<!doctype html><title>Sign in</title>")

    sis.app = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST"])])


def nothing(sis: Sis) -> None:
    sis.app = Starlette()


def for_ever(kind: str) -> Callable[[Sis], None]:
    return lambda sis: steer(sis.url, "PUT", "faults", [{"kind": kind, "path": "/ims/", "times": 1_000_000}])


TURNS = {
    "a web page": Turn(web_page, "http-html-instead-of-json", CHANGE, ["127.0.0.1", "web page", "base URL"]),
    "nothing": Turn(nothing, "oneroster-refused", CHANGE, ["127.0.0.1", "404", "address"]),
    "JSON cut off": Turn(for_ever("truncate"), "truncated-json", LATER, ["127.0.0.1", "cut off"]),
    "broken connections": Turn(for_ever("drop"), "connection-dropped", LATER, ["127.0.0.1", "broke"]),
}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS.keys())
def test_a_system_that_goes_wrong_takes_nothing_with_it(sis: Sis, nothing_lost: None, turn: Turn) -> None:
    well = sis.app
    turn.happens(sis)
    try:
        told = failed(sis, "oneroster", code=turn.code, ends=turn.ends)
    finally:
        sis.app = well
        steer(sis.url, "DELETE", "faults")
    assert [name for name in turn.names if name not in told] == []


def test_a_secret_that_was_changed_pauses_the_connection_until_it_is_mended(sis: Sis, nothing_lost: None) -> None:
    well, sis.app = sis.app, twin(DISTRICT, client_secret=SECRET)
    try:
        told = failed(sis, "oneroster", code="token-refused", ends=CREDENTIALS)
        assert "client secret" in told and "demo-secret" not in told
        assert "planbridge check oneroster" in refused(sis, "pull", "oneroster", code="connection-paused", ends=RULE)
        assert sis.run("check", "oneroster", "--json").returncode == CHANGE
    finally:
        sis.app = well
    assert sis.run("check", "oneroster").returncode == 0
    assert json.loads(sis.run("pull", "oneroster", "--json").stdout)["state"] == "published"


ORGS = "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\n1,,,Heron Bay,district,990200,\n"
MANIFEST = "propertyName,value\nmanifest.version,1.0\noneroster.version,1.2\nfile.orgs,bulk\n"


def package(path: Path, **parts: str) -> None:
    with zipfile.ZipFile(path, "w") as made:
        for name, content in parts.items():
            made.writestr(f"{name}.csv", content)


@pytest.fixture(scope="module")
def export(sis: Sis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that was connected and pulled."""
    path = tmp_path_factory.mktemp("bulk") / "export.zip"
    package(path, manifest=MANIFEST, orgs=ORGS)
    assert sis.run("connect", "oneroster", "--name", "files", "--set", f"path={path}", "--yes").returncode == 0
    assert sis.run("pull", "files").returncode == 0
    return path


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "without a manifest": (lambda path: package(path, orgs=ORGS), "csv-no-manifest"),
    "without a file it lists": (lambda path: package(path, manifest=MANIFEST), "csv-file-missing"),
    "no zip": (lambda path: path.write_bytes(b"%PDF-1.7 an invoice"), "csv-cannot-be-read"),
    "gone": (lambda path: path.unlink(), "inbox-empty"),
}


@pytest.mark.parametrize(("spoil", "code"), SPOILT.values(), ids=SPOILT.keys())
def test_a_package_that_is_none_is_neither_connected_nor_pulled(
    sis: Sis, export: Path, nothing_lost: None, spoil: Callable[[Path], object], code: str
) -> None:
    spoil(export)
    connect = ["connect", "oneroster", "--name", "more", "--set", f"path={export}"]
    assert "export.zip" in refused(sis, *connect, code=code, ends=CHANGE) or code == "csv-file-missing"
    failed(sis, "files", code=code, ends=CHANGE)


# --- how an error is told ---------------------------------------------------------------------------------


def refused(sis: Sis, *command: str, code: str, ends: int, **variables: str) -> str:
    """See a command refuse; returns its message and what to do about it."""
    done = sis.run(*command, "--json", **variables)
    assert (done.returncode, done.stderr) == (ends, "")
    said = json.loads(done.stdout)
    assert said["error"] == code and explained(code)
    assert said["message"] and said["fix"]
    return f"{said['message']}\n{said['fix']}"


def failed(sis: Sis, name: str, *, code: str, ends: int) -> str:
    """See a pull fail; returns the run's message."""
    done = sis.run("pull", name, "--json")
    assert (done.returncode, done.stderr) == (ends, "")
    said = json.loads(done.stdout)
    assert (said["state"], said["error_code"]) == ("failed", code) and explained(code)
    return str(said["error"])


def explained(code: str) -> bool:
    return f"### `{code}`\n" in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
