"""A gateway as a person runs it: a home of its own, real processes, its database looked at from outside."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

import psycopg
from psycopg.rows import tuple_row

from gateway.store.embedded import Embedded, programs
from tests import overheard, template


@dataclass
class Home:
    """One installation: its folder, its environment, every process that was started in it.

    `folder` holds `home` (what PLANBRIDGE_HOME names) and `output` (what the processes printed).
    """

    folder: Path
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @classmethod
    @contextmanager
    def made(cls, *, laid: bool = False) -> Iterator[Self]:
        """A fresh home, and nothing left of it afterwards. `laid`: with a database (tests.template); else the first
        command makes it, as everywhere. Nothing its processes printed or its database keeps tells of anybody."""
        home = cls(Path(tempfile.mkdtemp(prefix="planbridge-e2e-")))
        (home.folder / "output").mkdir()
        try:
            if laid:
                template.lay(home.home)
            yield home
        finally:
            for process in home.started:
                home.kill(process)
            told = home.told()
            home.server.remove()
            shutil.rmtree(home.folder)
            overheard.silent(told)

    def told(self) -> list[str]:
        """What its processes printed, and what its database keeps for those who keep it running, that tells of
        somebody."""
        printed = [line for process in self.started for line in self.said(process).splitlines()]
        try:
            kept = overheard.kept(self.server.url, password=self.server.password)
        except (psycopg.Error, OSError):  # it was killed, or nobody ever started it
            kept = []
        return [*overheard.telling(printed), *kept]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def server(self) -> Embedded:
        return Embedded(self.home / "postgres")

    @property
    def environment(self) -> dict[str, str]:
        """Quick to notice a dead worker; otherwise as anybody has it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLANBRIDGE_")}
        return inherited | {
            "PLANBRIDGE_HOME": str(self.home),
            "PLANBRIDGE_SHARED_BUFFERS": "64MB",
            "PLANBRIDGE_HEARTBEAT_SECONDS": "0.5",
            "PLANBRIDGE_TAKEOVER_SECONDS": "2",
        }

    def run(self, *arguments: str, district: str = "default", **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, as at a prompt without a terminal. Its answer is for who asked; what it complains
        of goes into the logs of schedulers and tells of nobody."""
        done = subprocess.run(
            [*PLANBRIDGE, *arguments],
            env=self.environment | {"PLANBRIDGE_DISTRICT": district} | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
        )
        overheard.silent(done.stderr.splitlines())
        return done

    def json(self, *arguments: str, district: str = "default", code: int = 0, **variables: str) -> Any:
        """What a command says with --json; it must end with `code`."""
        done = self.run(*arguments, "--json", district=district, **variables)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
        """Start a command that goes on; what it prints is kept in a file."""
        with self._output(len(self.started)).open("wb") as output:
            process = subprocess.Popen(
                [*PLANBRIDGE, *arguments],
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def stop(self, process: "subprocess.Popen[bytes]") -> None:
        """End it the friendly way."""
        process.terminate()
        assert process.wait(timeout=30) == 0, self.said(process)

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """kill -9."""
        process.kill()
        process.wait()

    def said(self, process: "subprocess.Popen[bytes]") -> str:
        """What it has printed so far."""
        return self._output(self.started.index(process)).read_text(encoding="utf-8", errors="replace")

    def _output(self, number: int) -> Path:
        return self.folder / "output" / f"{number}.txt"

    def connect_oneroster(
        self, url: str, *, district: str = "default", secret: str = "demo-secret", **more: str
    ) -> str:
        """Connect the OneRoster twin at `url`; returns the connection's name."""
        settings = {"base_url": url, "token_url": f"{url}/token", "client_id": "demo-client"}
        return self._connect("oneroster", district, settings | more, "client_secret", secret)

    def connect_edfi(self, url: str, *, district: str = "default", secret: str = "demo-secret", **more: str) -> str:
        """Connect the Ed-Fi twin at `url`; returns the connection's name."""
        return self._connect("edfi", district, {"base_url": url, "key": "demo-key"} | more, "secret", secret)

    def _connect(self, kind: str, district: str, settings: dict[str, str], field: str, secret: str) -> str:
        given = settings | {"private_addresses": "127.0.0.1: a twin", field: "env:SECRET"}
        sets = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
        done = self.run("connect", kind, "--name", kind, *sets, "--yes", district=district, SECRET=secret)
        assert done.returncode == 0, done.stdout + done.stderr
        return kind

    def dump(self) -> bytes:
        """All that the database holds, as pg_dump writes it."""
        return subprocess.run(
            [str(programs() / "pg_dump"), "--dbname", self.server.url],
            env=os.environ | {"PGPASSWORD": self.server.password},
            capture_output=True,
            check=True,
        ).stdout

    @contextmanager
    def database(self) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
        """The database as its owner sees it: every district."""
        with psycopg.connect(
            self.server.url, password=self.server.password, autocommit=True, row_factory=tuple_row
        ) as connection:
            yield connection

    def sql(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.database() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def one(self, query: str, **values: Any) -> Any:
        [[value]] = self.sql(query, **values)
        return value


PLANBRIDGE = (sys.executable, "-m", "gateway.cli")


def until(true: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Wait until something is so; a test that waits in vain says for what."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.01)


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def steer(url: str, method: str, door: str, body: Any = None) -> Any:
    """Use the side door of a twin."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{url}/_twin/{door}", data, method=method)) as answer:
        said = answer.read()
    return json.loads(said) if said else None


def published(home: Home, district: str) -> dict[str, tuple[int, str]]:
    """What a district holds, table by table, as (rows, hash): equal for equal pulls, whatever ids were given out.

    An entity's id is replaced by what its source calls it.
    """
    with home.database() as c:
        [(id,)] = c.execute("SELECT id FROM district WHERE name = %s", [district])
        names = {
            str(entity): f"{kind} {key}"
            for entity, kind, key in c.execute(
                "SELECT entity_id, kind, min(key) FROM link WHERE district_id = %s GROUP BY 1, 2", [id]
            )
        }
        return {
            table: _hashed(
                _UUID.sub(lambda found: names.get(found[0], found[0]), repr(row)) for row in c.execute(query, [id])
            )
            for table, query in _PUBLISHED.items()
        }


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PUBLISHED = {
    "record": b"SELECT collection, key, hash, body FROM record WHERE district_id = %s",
    "claim": b"SELECT collection, record_key, n, kind, key, same_as, anchor, rank, CAST(stated AS text) FROM claim "
    b"WHERE district_id = %s",
    "link": b"SELECT kind, key, CAST(entity_id AS text), method FROM link WHERE district_id = %s",
    "entity": b"SELECT kind, CAST(id AS text), CAST(doc AS text), match FROM entity WHERE district_id = %s",
    "waiting": b"SELECT kind, key, field, code, target_kind, target_key FROM waiting WHERE district_id = %s",
    "change": b"SELECT kind, CAST(entity_id AS text), op, CAST(before AS text) FROM change WHERE district_id = %s",
    "reject": b"SELECT collection, key, position, field, code FROM reject WHERE district_id = %s",
}


def tables(home: Home) -> dict[str, tuple[int, str]]:
    """Every table of ours as (rows, hash of its rows), to see that nothing at all was written."""
    with home.database() as c:
        names = [
            name
            for (name,) in c.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
                "AND relname NOT LIKE 'procrastinate%' ORDER BY 1"
            )
        ]
        return {
            name: _hashed(row for (row,) in c.execute(f"SELECT CAST(t AS text) FROM {name} t".encode()))
            for name in names
        }


def _hashed(rows: Iterator[str]) -> tuple[int, str]:
    lines = sorted(rows)
    return len(lines), sha256("\n".join(lines).encode()).hexdigest()[:16]
