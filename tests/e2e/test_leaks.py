"""What may never be kept is nowhere: in no dump, no staging, no file of ours, on no screen, and for no other user."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from synthetic import build
from tests.e2e.processes import Home, steer
from tests.serving import serve

PLANTED = "Wq7-planted-x93"
SECRET = "Kv4-client-secret-t81"
DISTRICT = build(schools=2, students=60, seed=93)
HELD = 7
NOBODY = 65534


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Home.made() as made:
        made.run("runs")
        made.start("worker")
        yield made


@pytest.mark.parametrize("kind", ["oneroster", "edfi 5.0", "edfi 4.0"])
def test_what_planning_never_needs_and_what_is_secret_is_kept_nowhere(home: Home, kind: str) -> None:
    """Looked for while a run is held, with its staging full, after rows that could not be read or mapped."""
    connector = kind.split()[0]
    connect = home.connect_oneroster if connector == "oneroster" else home.connect_edfi
    looks = (["runs", "--json"], ["rejects", "--rows", "--json"], ["holds", "show"], ["students"], ["check", connector])
    with leaky_system(kind) as (url, twin):
        connect(url, district=kind, secret=SECRET)
        first = home.run("pull", connector, district=kind)
        assert first.returncode == 0, first
        steer(url, "POST", "change", {"without_students": 0.4, "with_new_students": 20})
        held = home.run("pull", connector, district=kind)
        assert held.returncode == HELD, held
        shown = [first, held, *(home.run(*look, district=kind) for look in looks)]
    kept = home.dump()
    places = {"dump": kept, **files(home.folder), **{str(done.args): bytes_of(done) for done in shown}}

    assert twin.planted > 60 and twin.tokens
    assert DISTRICT.name.encode() in kept, "what is kept is found, so what is not found is not kept"
    bodies = "SELECT count(body) FROM staged UNION ALL SELECT count(sealed_body) FROM reject"
    assert all(count for (count,) in home.sql(bodies))
    assert {secret: found for secret in (PLANTED, SECRET, *twin.tokens) if (found := holding(secret, places))} == {}
    for name in ("home/postgres/password", "home/keys"):
        assert holding((home.folder / name).read_text().strip(), places) == [name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other accounts")
def test_another_user_of_the_machine_reaches_neither_the_database_nor_our_files(home: Home) -> None:
    """Although the folder that the home lies in is open to all."""
    home.folder.chmod(0o755)
    targets = [home.server.socket_dir / ".s.PGSQL.5432", home.home / "keys", home.server.home / "password"]
    targets += list((home.server.home / "cluster" / "log").iterdir())
    assert len(targets) > 3
    assert [opened(path, os.geteuid()) for path in targets] == ["opened"] * len(targets)
    assert [opened(path, NOBODY) for path in targets] == ["PermissionError"] * len(targets)


# --- where to look, and for what --------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    """Every file below, the database's own included."""
    found = {}
    for place, _, names in os.walk(folder, followlinks=True):
        for path in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):  # the server is at work
                if path.is_file():
                    found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def holding(secret: str, places: Mapping[str, bytes]) -> list[str]:
    """Where it stands: as it is, in hexadecimal digits (a dump's bytea), or somewhere within base64."""
    plain = secret.encode()
    within = [b64encode(bytes(shift) + plain)[-(-shift * 4 // 3) : -4] for shift in range(3)]
    spellings = [plain, plain.hex().encode(), plain.hex().upper().encode(), *within]
    return [name for name, content in places.items() if any(spelling in content for spelling in spellings)]


def bytes_of(done: "subprocess.CompletedProcess[str]") -> bytes:
    return (done.stdout + done.stderr).encode()


def opened(path: Path, user: int) -> str:
    """What that user gets who opens the file or connects to the socket."""
    program = (
        "import os, socket, sys\n"
        "path, user = sys.argv[1], int(sys.argv[2])\n"
        "os.setgroups([]), os.setgid(user), os.setuid(user)\n"
        "try:\n"
        "    socket.socket(socket.AF_UNIX).connect(path) if '.s.' in path else open(path)\n"
        "    print('opened')\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program, str(path), str(user)], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr


# --- a system that sends what it should not ---------------------------------------------------------------


@dataclass
class Leaky:
    """A twin that spoils two of its people, one so that it cannot be decoded and one so that it cannot be mapped.

    It notes the tokens it gave and counts how often it said the planted value.
    """

    app: ASGIApp
    people: str
    undecodable: str
    unmappable: str
    tokens: list[str] = field(default_factory=list)
    planted: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}
        body = b""

        async def gather(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            else:
                body += message.get("body", b"")

        await self.app(scope, receive, gather)
        if body.startswith((b"{", b"[")):
            body = self._spoilt(scope["path"], json.loads(body))
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        await send(start | {"headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    def _spoilt(self, path: str, said: Any) -> bytes:
        if path.endswith("/token"):
            self.tokens.append(said["access_token"])
        if path.endswith(f"/{self.people}"):
            rows = said[self.people] if isinstance(said, dict) else said
            if len(rows) > 1:
                rows[0][self.undecodable] = 7
                del rows[1][self.unmappable]
        text = json.dumps(said).encode()
        self.planted += text.count(PLANTED.encode())
        return text


@contextmanager
def leaky_system(kind: str) -> Iterator[tuple[str, Leaky]]:
    """A twin whose every droppable field holds the planted value: its address, and itself."""
    name, _, standard = kind.partition(" ")
    if name == "oneroster":
        app = oneroster_twin(DISTRICT, planted=PLANTED, client_secret=SECRET)
        twin = Leaky(app, "users", undecodable="givenName", unmappable="familyName")
    else:
        app = edfi_twin(DISTRICT, standard=standard, planted=PLANTED, secret=SECRET)
        twin = Leaky(app, "students", undecodable="firstName", unmappable="lastSurname")
    with serve(twin) as url:
        yield url, twin
