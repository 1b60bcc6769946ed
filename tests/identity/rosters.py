"""Two systems of one small district, as OneRoster 1.1 files, and what becomes of their people."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import text

from gateway import jobs
from gateway.store import registers, runs
from gateway.store.database import Store
from gateway.store.registers import Actor

SCHOOL, CLASS = "school-1", "class-1"
CONNECT = {"student_identifier": "identifier", "staff_identifier": "identifier"}


@dataclass(frozen=True)
class Person:
    """One row of a system's users, and of its demographics where a birth date is known."""

    key: str
    given: str
    family: str
    birth: str = ""
    number: str = ""
    role: str = "student"
    state: str = ""
    local: str = ""
    email: str = ""
    phone: str = ""
    sex: str = ""


ADA = Person("k-ada", "Ada", "Larksmith", "2014-03-01", "0001", sex="female")
BEN = Person("k-ben", "Ben", "Oakhurstein", "2013-07-09", "0002", sex="male")
CLEO = Person("k-cleo", "Cleo", "Quillsong", "2015-11-23", "0003", sex="female")
FILLERS = tuple(
    Person(f"k-{n}", f"Filler{chr(97 + n)}", "Umberfield", f"2012-01-{n + 1:02}", f"9{n:03}") for n in range(12)
)
"""Enough others that a few children gone are no alarm."""


def again(person: Person, **differently: str) -> Person:
    """The same child in another system: under another key, and with whatever it has wrong."""
    return replace(person, **({"key": person.key.replace("k-", "v-")} | differently))


@dataclass
class System:
    """A connected system that is a folder of files."""

    store: Store
    district: int
    name: str
    folder: Path
    id: int
    actor: Actor
    runs: list[int] = field(default_factory=list)

    async def says(self, *people: Person, enrolled: Iterable[str] = ()) -> dict[str, Any]:
        """It has these people now, and these keys attend the one class; it is pulled. Returns the run."""
        write(self.folder, people, enrolled)
        run = await jobs.request_pull(self.store, self.district, self.id, self.actor)
        await jobs.run_job(self.store, self.district, run)
        self.runs.append(run)
        async with self.store.transaction(self.district) as c:
            [found] = await runs.summary(c, run=run)
        assert found["state"] in ("published", "held"), found["error"]
        return found


async def connected(store: Store, district: int, name: str, folder: Path, actor: Actor, **settings: str) -> System:
    given = {"path": str(folder / name)} | CONNECT | settings
    id = await registers.add_connection(store, district, name, "oneroster", given, {}, actor)
    return System(store, district, name, folder / name, id, actor)


def write(folder: Path, people: Sequence[Person], enrolled: Iterable[str] = ()) -> None:
    """A OneRoster 1.1 package of these people at one school with one class."""
    folder.mkdir(exist_ok=True, parents=True)
    tables: dict[str, list[dict[str, str]]] = {
        "orgs": [
            {"sourcedId": "district-1", "name": "Fennel Schools", "type": "district", "identifier": "1"},
            {"sourcedId": SCHOOL, "name": "Fennel School", "type": "school", "identifier": "2",
             "parentSourcedId": "district-1"},
        ],
        "academicSessions": [
            {"sourcedId": "term-1", "title": "Year", "type": "schoolYear", "startDate": "2026-08-01",
             "endDate": "2027-06-30", "schoolYear": "2027"},
        ],
        "courses": [
            {"sourcedId": "course-1", "title": "Algebra", "courseCode": "A1", "orgSourcedId": "district-1"},
        ],
        "classes": [
            {"sourcedId": CLASS, "title": "Algebra 1", "classCode": "A1-1", "classType": "scheduled",
             "courseSourcedId": "course-1", "schoolSourcedId": SCHOOL, "termSourcedIds": "term-1"},
        ],
        "users": [_user(one) for one in people],
        "demographics": [
            {"sourcedId": one.key, "birthDate": one.birth, "sex": one.sex} for one in people if one.birth
        ],
        "enrollments": [
            {"sourcedId": f"{CLASS}-{key}", "classSourcedId": CLASS, "schoolSourcedId": SCHOOL,
             "userSourcedId": key, "role": "student"}
            for key in enrolled
        ],
    }  # fmt: skip
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            columns = [*COLUMNS.get(name, ("sourcedId",)), *(column for row in rows for column in row)]
            writer = csv.DictWriter(file, list(dict.fromkeys(columns)))
            writer.writeheader()
            writer.writerows(rows)
    manifest = ["propertyName,value", "oneroster.version,1.1", *(f"file.{name},bulk" for name in tables)]
    (folder / "manifest.csv").write_text("\n".join(manifest) + "\n", encoding="ascii")


COLUMNS = {
    "demographics": ("sourcedId", "birthDate"),
    "enrollments": ("sourcedId", "classSourcedId", "userSourcedId", "role"),
}
"""What a file has also where it has no rows."""


def _user(one: Person) -> dict[str, str]:
    return {
        "sourcedId": one.key, "enabledUser": "true", "orgSourcedIds": SCHOOL, "role": one.role,
        "username": f"u-{one.key}", "givenName": one.given, "familyName": one.family, "identifier": one.number,
        "userIds": ",".join(f"{{{system}:{value}}}" for system, value in _others(one)),
        "email": one.email, "phone": one.phone,
    }  # fmt: skip


def _others(one: Person) -> list[tuple[str, str]]:
    return [(system, value) for system, value in (("State", one.state), ("Local", one.local)) if value]


async def denoted(store: Store, district: int) -> dict[tuple[str, str], str]:
    """(system, key) -> the person it denotes."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT n.name, l.key, CAST(l.entity_id AS text) AS person FROM link l "
                "JOIN connection n ON n.id = l.connection_id WHERE l.kind = 'person'"
            )
        )
        return {(row.name, row.key): row.person for row in rows}


async def published(store: Store, district: int) -> dict[str, dict[str, Any]]:
    """Every published person by id."""
    async with store.transaction(district) as c:
        rows = await c.execute(text("SELECT CAST(id AS text) AS id, doc FROM entity WHERE kind = 'person'"))
        return {row.id: row.doc for row in rows}


async def attending(store: Store, district: int) -> set[str]:
    """The people enrolled in a class."""
    async with store.transaction(district) as c:
        rows = await c.execute(text("SELECT doc->>'person' AS person FROM entity WHERE kind = 'enrollment'"))
        return set(rows.scalars())


async def waits(store: Store, district: int) -> dict[tuple[str, str], str]:
    """(system, key of a person) -> why it waits."""
    async with store.transaction(district) as c:
        rows = await c.execute(
            text(
                "SELECT n.name, w.key, w.code FROM waiting w JOIN connection n ON n.id = w.connection_id "
                "WHERE w.kind = 'person'"
            )
        )
        return {(row.name, row.key): row.code for row in rows}
