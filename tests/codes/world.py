"""A small package of students, whose grades and custom columns are what the tests are about."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway import jobs
from gateway.store import codes as stored
from gateway.store import reading, registers, runs
from gateway.store.database import Store
from gateway.store.registers import Actor

GRADES = ("05", "Quinto", "K9", "K9", "")
"""Of the students in the package, in the order of their ids."""


def write_package(
    folder: Path, grades: Sequence[str] = GRADES, *, enrolled: Sequence[str] = (), **columns: Sequence[str]
) -> None:
    """A OneRoster 1.1 package: one school, a student for each grade, and whatever columns more; in its one class the
    first students, in the roles `enrolled`."""
    folder.mkdir(exist_ok=True)
    orgs = [{"sourcedId": "school-1", "name": "Fennel School", "type": "school"}]
    users = [
        {
            "sourcedId": f"pupil-{n}", "enabledUser": "true", "orgSourcedIds": "school-1", "role": "student",
            "username": f"pupil-{n}", "givenName": "Juniper", "familyName": "Fennel", "identifier": f"77{n}",
            "grades": grade, **{name: values[n] for name, values in columns.items()},
        }
        for n, grade in enumerate(grades)
    ]  # fmt: skip
    files: dict[str, list[dict[str, str]]] = {"orgs": orgs, "users": users}
    if enrolled:
        school = {"schoolSourcedId": "school-1"}
        files["courses"] = [{"sourcedId": "course-1", "title": "Botany"}]
        files["classes"] = [
            {"sourcedId": "class-1", "title": "Botany 1", "courseSourcedId": "course-1", "classType": "scheduled",
             "termSourcedIds": "", **school}
        ]  # fmt: skip
        files["enrollments"] = [
            {
                "sourcedId": f"seat-{n}",
                "classSourcedId": "class-1",
                "userSourcedId": f"pupil-{n}",
                "role": role,
                **school,
            }
            for n, role in enumerate(enrolled)
        ]
    for name, rows in files.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(["status", *(c for row in rows for c in row)])))
            writer.writeheader()
            writer.writerows(rows)
    manifest = ["propertyName,value", "manifest.version,1.0", "oneroster.version,1.1"]
    (folder / "manifest.csv").write_text("\n".join([*manifest, *(f"file.{n},bulk" for n in files)]), encoding="ascii")


async def pull(store: Store, sis: registers.Connection, actor: Actor) -> dict[str, Any]:
    """Pull it to the end of the run, and tell how that ended."""
    return await carried_out(store, sis.district, await jobs.request_pull(store, sis.district, sis.id, actor))


async def carried_out(store: Store, district: int, run: int) -> dict[str, Any]:
    """A run that was asked for, carried out here: how it ended."""
    await jobs.run_job(store, district, run)
    async with store.transaction(district) as c:
        [found] = await runs.summary(c, run=run)
    return found


async def grades(store: Store, district: int) -> dict[str, Any]:
    """Student -> published grade."""
    people = await reading.entities(store, district, "person")
    return {person["username"]: person.get("grades", [None])[0] for person in people}


async def missed(store: Store, district: int) -> dict[tuple[str, str, str], int]:
    async with store.transaction(district) as c:
        return {(m["why"], m["place"], m["code"]): m["records"] for m in await stored.missed(c)}
