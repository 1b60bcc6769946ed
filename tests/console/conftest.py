"""A district with a held run, the console over it, and people in every role who are signed in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.signin import SESSION, csrf_of
from gateway.cli.service import served
from gateway.settings import Settings
from gateway.store import reading, sessions
from gateway.store.database import Store
from gateway.store.registers import Actor
from tests.store.school import School, user

PEOPLE = {
    "it": ("601", "systemAdministrator", "district-1"),
    "administrator": ("602", "districtAdministrator", "district-1"),
    "it of one school": ("603", "systemAdministrator", "school-1"),
    "principal": ("604", "principal", "school-1"),
    "teacher": ("500", "teacher", "school-1"),
}
"""Who -> number, role and place on the roster."""
NAMES = ("Ptolemaia", "Vexwood", "Barnaby", "Pettifer", "Dorothea", "Ignatz", "Maud", "ptolemaia@", "77310455")
"""What tells of a student or a family."""


@dataclass
class Person:
    """Somebody at a browser."""

    http: httpx.AsyncClient
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers=self._said() | headers)

    async def post(self, path: str, **form: str) -> httpx.Response:
        return await self.http.post(path, data={"csrf": csrf_of(self.token)} | form, headers=self._said())

    def _said(self) -> dict[str, str]:
        return self.headers | ({"cookie": f"{SESSION}={self.token}"} if self.token else {})


@dataclass
class Office:
    """A school after a sync that was published, `first`, and one that is held because most students are missing."""

    school: School
    application: FastAPI
    http: httpx.AsyncClient
    first: int
    held: int

    async def person(self, who: str, language: str = "en") -> Person:
        number = PEOPLE[who][0]
        people = await reading.entities(self.school.store, self.school.district, "person")
        id = next(str(p["id"]) for p in people if any(n["value"] == number for n in p.get("identifiers", ())))
        async with self.school.store.transaction(self.school.district) as c:
            token = await sessions.begin(c, self.school.district, id, "account", second_factor=True)
        return Person(self.http, token, {"accept-language": language})


@pytest.fixture
async def office(
    store: Store, settings: Settings, district: int, actor: Actor, tmp_path: Path
) -> AsyncIterator[Office]:
    made = School(tmp_path / "roster", store=store, district=district, actor=actor)
    made.files["users"] += [
        user(f"off-{number}", role, "Hester", "Quimby", identifier=number, orgSourcedIds=place)
        for number, role, place in PEOPLE.values()
        if number != "500"
    ]
    await made.connect()
    first = int(str((await made.pull())["id"]))
    made.files["users"] = [row for row in made.files["users"] if not row["sourcedId"].startswith("stu-other")]
    made.files["orgs"].append(
        {"sourcedId": "school-2", "name": "Sorrel School", "type": "school", "parentSourcedId": ""}
    )
    held = int(str((await made.pull())["id"]))
    async with browsing(store, settings) as (application, http):
        yield Office(made, application, http, first, held)


@asynccontextmanager
async def browsing(store: Store, settings: Settings) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The application with its console, as over https."""
    application = served(store, settings)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="https://console.example.org") as http:
        yield application, http
