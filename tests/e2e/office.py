"""One district's IT: what they type, and what is then published, in the words of the system it came from."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer

from gateway.cli import app, main
from tests import overheard
from tests.e2e.processes import Home

HELD = 7

Docs = dict[str, dict[str, Any]]
"""Key -> published values."""


class QuickHome(Home):
    """A home whose commands run in the process of the tests: a process of its own costs each of them a second."""

    def run(self, *arguments: str, district: str = "default", **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = self.environment | {"PLANBRIDGE_DISTRICT": district} | variables
        said, complained = io.StringIO(), io.StringIO()
        code = 0
        as_typed = patch.object(sys, "argv", ["planbridge", *arguments])
        with patch.dict(os.environ, environment, clear=True), as_typed, patch("gateway.cli.app", _commands()):
            with redirect_stdout(said), redirect_stderr(complained):
                try:
                    main()
                except SystemExit as ended:
                    code = int(ended.code or 0)
        overheard.silent(complained.getvalue().splitlines())
        return subprocess.CompletedProcess(arguments, code, said.getvalue(), complained.getvalue())


@cache
def _commands() -> Callable[[], Any]:
    """All commands, read once: at each call typer would build the hundreds of them anew, half of what one costs."""
    return typer.main.get_command(app)


@dataclass(frozen=True)
class Entity:
    """One published entity. `keys` says by which key each connection knows it."""

    id: str
    kind: str
    doc: dict[str, Any]
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Office:
    """One district of an installation, at its command line. Connections are named oneroster and edfi."""

    home: Home
    district: str

    def ask(self, *arguments: str, code: int = 0) -> Any:
        """What a command says to machines; it must end with `code`."""
        return self.home.json(*arguments, district=self.district, code=code)

    def tell(self, *arguments: str, code: int = 0) -> str:
        """What a command that has no --json says to people; it must end with `code`."""
        done = self.home.run(*arguments, district=self.district)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def connect(self, kind: str, url: str, **more: str) -> None:
        connect = {"oneroster": self.home.connect_oneroster, "edfi": self.home.connect_edfi}[kind]
        connect(url, district=self.district, **more)

    def connect_files(self, path: Path) -> None:
        self.ask("connect", "oneroster", "--name", "oneroster", "--set", f"path={path}", "--yes")

    def pull(self, name: str, *, code: int = 0) -> Any:
        """Pull a connection to the end of its run."""
        return self.ask("pull", name, code=code)

    def waiting(self) -> dict[tuple[str, str, str], int]:
        """(connection, kind, cause) -> how many keys wait for it."""
        waiting: dict[tuple[str, str, str], int] = {}
        for w in self.ask("rejects")["waiting"]:
            cause = (w["connection"], w["kind"], w["code"])
            waiting[cause] = waiting.get(cause, 0) + w["records"]
        return waiting

    def entities(self) -> list[Entity]:
        """Everything that is published."""
        keys: dict[tuple[str, str], dict[str, str]] = {}
        for connection, kind, key, entity in self._rows(
            "SELECT n.name, l.kind, l.key, CAST(l.entity_id AS text) FROM link l "
            "JOIN connection n ON n.id = l.connection_id WHERE l.method <> 'alias' AND l.district_id = "
        ):
            keys.setdefault((kind, entity), {})[connection] = key
        return [
            Entity(id, kind, doc, keys[kind, id])
            for kind, id, doc in self._rows("SELECT kind, CAST(id AS text), doc FROM entity WHERE district_id = ")
        ]

    def published(self, connection: str) -> dict[str, Docs]:
        """Per kind, what this connection knows of what is published: its key -> values, ids put back to its keys."""
        entities = self.entities()
        names = {entity.id: entity.keys[connection] for entity in entities if connection in entity.keys}
        found: dict[str, Docs] = {}
        for entity in entities:
            if connection in entity.keys:
                found.setdefault(entity.kind, {})[names[entity.id]] = _renamed(entity.doc, names)
        return found

    def written(self) -> tuple[int, int, str]:
        """What changes with every publication: how many there were, the length of the change log, the entities."""
        [(publications,)] = self._rows("SELECT count(*) FROM publication WHERE district_id = ")
        [(changes,)] = self._rows("SELECT count(*) FROM change WHERE district_id = ")
        rows = self._rows("SELECT CAST(e AS text) FROM entity e WHERE e.district_id = ")
        return publications, changes, fingerprint(sorted(row for (row,) in rows))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        own = "(SELECT id FROM district WHERE name = %(name)s)"
        with self.home.database() as c:
            return c.execute((query + own).encode(), {"name": self.district}).fetchall()


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {name: _renamed(part, names) for name, part in value.items()}
        case list():
            return [_renamed(part, names) for part in value]
        case str():
            return names.get(value, value)
    return value


def fingerprint(value: Any) -> str:
    """sha256 over canonical JSON, which tells 1 from 1.0 and true."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
