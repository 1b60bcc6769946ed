"""A school with one family in it, as a OneRoster package that a test may change and pull again."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from gateway import clock, jobs
from gateway.store import registers, runs, successions
from gateway.store.database import Store
from gateway.store.registers import Actor
from gateway.store.runs import Mode

GONE = "stu-vexwood-1"
NUMBER = "77310455"
HERS = (GONE, NUMBER, "Ptolemaia", "ptolemaia@pupils.example.org", "ptolemaia-of")
"""What only the student has who is to be purged."""
TELLING = (*HERS, "par-ignatz", "Ignatz", "ignatz@home.example.org")
"""... and the parent who is hers alone."""
SIBLING = "stu-vexwood-2"
SHARED_PARENT = "par-dorothea"
OTHERS = 10

Row = dict[str, str]


def user(key: str, role: str, given: str, family: str, **more: str) -> Row:
    return {
        "sourcedId": key, "enabledUser": "true", "orgSourcedIds": "school-1", "role": role, "givenName": given,
        "familyName": family, "identifier": "", "email": "", "username": "", "phone": "", "agentSourcedIds": "",
    } | more  # fmt: skip


def _files() -> dict[str, list[Row]]:
    students = [GONE, SIBLING, *(f"stu-other-{n}" for n in range(OTHERS))]
    users = [
        user(GONE, "student", "Ptolemaia", "Vexwood", identifier=NUMBER, email="ptolemaia@pupils.example.org",
             phone="555-0100", agentSourcedIds=f"par-ignatz,{SHARED_PARENT}"),
        user(SIBLING, "student", "Barnaby", "Vexwood", identifier="77310456", phone="555-0100",
             agentSourcedIds=SHARED_PARENT),
        *(user(f"stu-other-{n}", "student", "Maud", f"Pettifer{n}", identifier=f"8800{n}") for n in range(OTHERS)),
        user("par-ignatz", "parent", "Ignatz", "Vexwood", email="ignatz@home.example.org"),
        user(SHARED_PARENT, "parent", "Dorothea", "Vexwood", phone="555-0100", agentSourcedIds=f"{GONE},{SIBLING}"),
        user("tea-1", "teacher", "Ferdinand", "Oakapple", identifier="500"),
    ]  # fmt: skip
    return {
        "orgs": [
            {"sourcedId": "district-1", "name": "Fennel County Schools", "type": "district", "parentSourcedId": ""},
            {"sourcedId": "school-1", "name": "Fennel School", "type": "school", "parentSourcedId": "district-1"},
        ],
        "courses": [{"sourcedId": "course-1", "title": "Reading", "orgSourcedId": "school-1"}],
        "classes": [{
            "sourcedId": "class-1", "title": "Reading 5a", "courseSourcedId": "course-1", "classType": "scheduled",
            "schoolSourcedId": "school-1",
        }],
        "users": users,
        "demographics": [{"sourcedId": key, "birthDate": "2014-02-03", "sex": "female"} for key in students],
        "enrollments": [
            {"sourcedId": f"enr-{n}", "classSourcedId": "class-1", "schoolSourcedId": "school-1",
             "userSourcedId": key, "role": "student"}
            for n, key in enumerate(students)
        ],
        "lineItems": [{"sourcedId": "item-1", "title": "Essay", "classSourcedId": "class-1"}],
        "results": [
            {"sourcedId": f"res-{n}", "lineItemSourcedId": "item-1", "studentSourcedId": key, "score": str(n)}
            for n, key in enumerate(students)
        ],
    }  # fmt: skip


@dataclass
class Package:
    """The files, and the folder that they are written into."""

    folder: Path
    files: dict[str, list[Row]] = field(default_factory=_files)

    def write(self) -> None:
        self.folder.mkdir(exist_ok=True)
        for name, rows in self.files.items():
            with (self.folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                columns = list(dict.fromkeys(["sourcedId", "status", "dateLastModified", *rows[0]]))
                writer = csv.DictWriter(file, columns, restval="")
                writer.writeheader()
                writer.writerows(rows)
        lines = ["propertyName,value", "manifest.version,1.0", "oneroster.version,1.1"]
        lines += [f"file.{name},bulk" for name in self.files]
        (self.folder / "manifest.csv").write_text("\n".join(lines), encoding="ascii")

    def row(self, name: str, key: str) -> Row:
        return next(row for row in self.files[name] if row["sourcedId"] == key)


@dataclass
class School(Package):
    """... and a connection that pulls them."""

    store: Store = field(kw_only=True)
    district: int = field(kw_only=True)
    actor: Actor = field(kw_only=True)
    connection: int = 0

    async def connect(self, name: str = "sis") -> None:
        self.write()
        settings = {"path": str(self.folder), "student_identifier": "identifier", "staff_identifier": "identifier"}
        self.connection = await registers.add_connection(
            self.store, self.district, name, "oneroster", settings, {}, self.actor
        )

    async def pull(self, mode: Mode = "publish") -> dict[str, object]:
        """One run to its end: its summary."""
        self.write()
        run = await jobs.request_pull(self.store, self.district, self.connection, self.actor, mode=mode)
        return await self._done(run)

    async def succeed(self, name: str) -> registers.Connection:
        """Another connection takes the place of this one, which is returned."""
        old = await registers.connection(self.store, self.district, self.connection)
        settings = dict(old.settings)
        self.connection = await successions.clone(self.store, old, name, settings, {}, clock.today(), self.actor)
        new = await registers.connection(self.store, self.district, self.connection)
        run = await jobs.switch(self.store, new, self.actor)
        assert run is not None and (await self._done(run))["state"] == "published"
        return old

    async def _done(self, run: int) -> dict[str, object]:
        await jobs.run_job(self.store, self.district, run)
        async with self.store.transaction(self.district) as c:
            [found] = await runs.summary(c, run=run)
        return found
