"""A small district as its own system delivers it, and programs that write to its gradebook."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from gateway import jobs, projections
from gateway.scopes import ONEROSTER
from gateway.served import COLLECTIONS, WRITABLE
from gateway.store import clients, registers, served
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.vendors import Rule
from tests.api.conftest import agree

ACTOR = Actor("it@district.example.org", "district_it")
GRADEBOOK = "/ims/oneroster/gradebook/v1p2"
NAMED = dict.fromkeys(COLLECTIONS)
ROWS: dict[str, list[dict[str, str]]] = {
    "orgs": [
        {"sourcedId": "d", "name": "Elmfield", "type": "district"},
        {"sourcedId": "alder", "name": "Alder School", "type": "school", "parentSourcedId": "d"},
        {"sourcedId": "birch", "name": "Birch School", "type": "school", "parentSourcedId": "d"},
    ],
    "academicSessions": [
        {"sourcedId": "fall", "title": "Fall", "type": "term", "startDate": "2026-08-01", "endDate": "2027-12-31",
         "schoolYear": "2027"},
    ],
    "courses": [{"sourcedId": "maths", "title": "Maths", "courseCode": "M5", "orgSourcedId": "d"}],
    "classes": [
        {"sourcedId": one, "title": one, "courseSourcedId": "maths", "classType": "scheduled",
         "schoolSourcedId": school, "termSourcedIds": "fall"}
        for one, school in (("m5a", "alder"), ("m5b", "birch"))
    ],
    "users": [
        {"sourcedId": one, "enabledUser": "true", "orgSourcedIds": school, "role": role, "username": one,
         "givenName": one.capitalize(), "familyName": "Quill", "identifier": one}
        for one, school, role in (("ann", "alder", "student"), ("bo", "alder", "student"), ("cy", "birch", "student"),
                                  ("tess", "alder", "teacher"))
    ],
    "enrollments": [
        {"sourcedId": f"{user}-{of}", "classSourcedId": of, "schoolSourcedId": school, "userSourcedId": user,
         "role": role}
        for user, of, school, role in (("ann", "m5a", "alder", "student"), ("bo", "m5a", "alder", "student"),
                                       ("cy", "m5b", "birch", "student"), ("tess", "m5a", "alder", "teacher"))
    ],
    "categories": [{"sourcedId": "tests", "title": "Tests"}],
    "lineItems": [
        {"sourcedId": "quiz", "title": "Quiz", "assignDate": "2026-09-07", "dueDate": "2026-09-14",
         "classSourcedId": "m5a", "categorySourcedId": "tests", "gradingPeriodSourcedId": "fall",
         "resultValueMin": "0", "resultValueMax": "10"},
    ],
    "results": [
        {"sourcedId": "ann-quiz", "lineItemSourcedId": "quiz", "studentSourcedId": "ann",
         "scoreStatus": "fully graded", "score": "8", "scoreDate": "2026-09-15"},
    ],
}  # fmt: skip
"""A OneRoster 1.1 package, by its files."""


def package(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    manifest = ["propertyName,value", "manifest.version,1.0", "oneroster.version,1.1"]
    for name, rows in ROWS.items():
        manifest.append(f"file.{name},bulk")
        columns = ["sourcedId", "status", "dateLastModified", *(key for key in rows[0] if key != "sourcedId")]
        columns += [key for row in rows for key in row if key not in columns]
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(columns)))
            writer.writeheader()
            writer.writerows(rows)
    (folder / "manifest.csv").write_text("\n".join(manifest), encoding="ascii")


@dataclass
class Vendor:
    """A program with an agreement that lets it see and write the gradebook of one school, and a token."""

    http: httpx.AsyncClient
    client: str
    secret: str
    headers: dict[str, str]

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.http.request(method, f"{GRADEBOOK}{path}", json=body, headers=self.headers | headers)

    async def put(self, path: str, **record: Any) -> httpx.Response:
        """One record in its envelope."""
        singular = COLLECTIONS[path.split("/")[1]].singular
        return await self.call("PUT", path, {singular: record})

    async def get(self, path: str) -> httpx.Response:
        return await self.call("GET", path)


@dataclass
class Gradebook:
    """The district. `ids`: what its own system calls something -> its sourcedId here."""

    store: Store
    district: int
    sis: int
    ids: dict[str, str]

    async def vendor(self, http: httpx.AsyncClient, name: str, **differing: Any) -> Vendor:
        """Another program: it sees one school, unless its terms say otherwise."""
        client, secret = await clients.add(self.store, self.district, name, list(ONEROSTER), ACTOR)
        rule = {
            "rule": Rule(schools=frozenset({self.ids["alder"]})),
            "collections": NAMED,
            "writes": frozenset(WRITABLE),
        }
        await agree(self.store, self.district, client, **(rule | differing))
        await self.follow(everything=True)
        made = clients.Client(client, self.district, name, frozenset(ONEROSTER))
        token = await clients.issue_token(self.store, made, sorted(ONEROSTER))
        return Vendor(http, client, secret, {"Authorization": f"Bearer {token}"})

    async def follow(self, *, everything: bool = False) -> dict[str, int]:
        if everything:
            async with self.store.transaction(self.district) as c:
                await served.ask_again(c, self.district)
        return (await projections.follow(self.store, self.district)).rows

    async def pull(self) -> None:
        run = await jobs.request_pull(self.store, self.district, self.sis, ACTOR)
        await jobs.run_job(self.store, self.district, run)

    async def ask(self, sql: str, **values: Any) -> list[Any]:
        async with self.store.transaction(self.district) as c:
            return list((await c.execute(text(sql), values)).all())

    def ref(self, short: str) -> dict[str, str]:
        """A reference as Google sends it."""
        return {"sourcedId": self.ids.get(short, short)}


async def lay(store: Store, district: int, folder: Path) -> Gradebook:
    """The district after its first pull, served."""
    package(folder)
    settings = {"path": str(folder), "student_identifier": "identifier", "staff_identifier": "identifier"}
    sis = await registers.add_connection(store, district, "sis", "oneroster", settings, {}, ACTOR)
    made = Gradebook(store, district, sis, {})
    await made.pull()
    made.ids = {row.key: str(row.entity_id) for row in await made.ask("SELECT key, entity_id FROM link")}
    await projections.follow(store, district)
    return made
