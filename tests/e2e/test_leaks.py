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
from gateway.store.secrets import Secrets
from synthetic import build
from tests.e2e.processes import Home, steer
from tests.serving import serve

DISTRICT = build(schools=2, students=60, seed=93)
HELD = 7
KINDS = ("oneroster", "edfi 5.0", "edfi 4.0")
NOBODY = 65534


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with Home.made(laid=True) as made:
        made.run("runs")
        made.start("worker")
        yield made


@dataclass(frozen=True)
class Aftermath:
    """Every place where something may have been kept, and the systems that it may have come from."""

    places: Mapping[str, bytes]
    twins: Mapping[str, "Leaky"]


@pytest.fixture(scope="module")
def aftermath(home: Home) -> Aftermath:
    """Each system pulled, with people that could not be read or mapped, then pulled again into a held run."""
    shown, twins = [], {}
    for kind in KINDS:
        with leaky_system(kind) as (url, twin):
            connect = home.connect_oneroster if kind == "oneroster" else home.connect_edfi
            name = connect(url, district=kind, secret=twin.secret)
            shown.append(home.run("pull", name, district=kind))
            assert shown[-1].returncode == 0, shown[-1]
            steer(url, "POST", "change", {"without_students": 0.4, "with_new_students": 20})
            shown.append(home.run("pull", name, district=kind))
            assert shown[-1].returncode == HELD, shown[-1]
            shown += [home.run(*look, district=kind) for look in (["rejects", "--rows", "--json"], ["check", name])]
            twins[kind] = twin
    places = {"dump": home.dump(), "set aside": unsealed(home), **files(home.folder)}
    return Aftermath(places | {str(done.args): (done.stdout + done.stderr).encode() for done in shown}, twins)


def test_what_is_kept_is_found_and_staging_is_full(home: Home, aftermath: Aftermath) -> None:
    """Otherwise the other tests would find nothing because there is nothing."""
    assert DISTRICT.name.encode() in aftermath.places["dump"]
    assert all(len(twin.tokens) > 1 and twin.times > 100 for twin in aftermath.twins.values())
    staged = home.sql("SELECT count(body) FROM staged GROUP BY district_id")
    rejects = home.sql("SELECT count(*) FROM reject GROUP BY district_id")
    assert len(staged) == len(rejects) == len(KINDS)
    assert all(count > 1 for (count,) in staged + rejects)


@pytest.mark.parametrize("kind", KINDS)
def test_what_planning_never_needs_is_kept_nowhere(aftermath: Aftermath, kind: str) -> None:
    assert holding(aftermath.twins[kind].planted, aftermath.places) == []


@pytest.mark.parametrize("kind", KINDS)
def test_secrets_and_tokens_are_kept_nowhere_in_the_clear(aftermath: Aftermath, kind: str) -> None:
    twin = aftermath.twins[kind]
    assert [place for secret in (twin.secret, *twin.tokens) for place in holding(secret, aftermath.places)] == []


@pytest.mark.parametrize("name", ["home/postgres/password", "home/keys"])
def test_our_own_secrets_stand_in_their_own_file_only(home: Home, aftermath: Aftermath, name: str) -> None:
    assert holding((home.folder / name).read_text().strip(), aftermath.places) == [name]


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


def unsealed(home: Home) -> bytes:
    """The records that were set aside, as we alone can read them."""
    secrets = Secrets.load(None, home.home)
    return b"\n".join(secrets.open(body) for (body,) in home.sql("SELECT sealed_body FROM reject") if body)


def holding(secret: str, places: Mapping[str, bytes]) -> list[str]:
    """Where it stands: as it is, in hexadecimal digits (a dump's bytea), or somewhere within base64."""
    plain = secret.encode()
    within = [b64encode(bytes(shift) + plain)[-(-shift * 4 // 3) : -4] for shift in range(3)]
    spellings = [plain, plain.hex().encode(), plain.hex().upper().encode(), *within]
    return [name for name, content in places.items() if any(spelling in content for spelling in spellings)]


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

    It notes the tokens it gave and counts the times it said the planted value.
    """

    app: ASGIApp
    planted: str
    secret: str
    people: str
    undecodable: str
    unmappable: str
    tokens: list[str] = field(default_factory=list)
    times: int = 0

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
        await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
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
        self.times += text.count(self.planted.encode())
        return text


@contextmanager
def leaky_system(kind: str) -> Iterator[tuple[str, Leaky]]:
    """A twin whose every droppable field holds a value of its own: its address, and itself."""
    name, _, standard = kind.partition(" ")
    planted, secret = f"Wq7-planted-{kind[-3:]}", f"Kv4-client-secret-{kind[-3:]}"
    if name == "oneroster":
        app = oneroster_twin(DISTRICT, planted=planted, client_secret=secret)
        twin = Leaky(app, planted, secret, "users", undecodable="givenName", unmappable="familyName")
    else:
        app = edfi_twin(DISTRICT, standard=standard, planted=planted, secret=secret)
        twin = Leaky(app, planted, secret, "students", undecodable="firstName", unmappable="lastSurname")
    with serve(twin) as url:
        yield url, twin
