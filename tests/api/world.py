"""A small district in which everything that tells about a person is a planted word."""

import csv
import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from gateway import crosswalks, delivery, jobs, planning
from gateway.connector import Document, Loss, Receipt
from gateway.store import clients, deliveries, ledger, reading, registers, vendors
from gateway.store.codes import Line
from gateway.store.database import Store
from gateway.store.deliveries import Finished
from gateway.store.ledger import Answer, Claim
from gateway.store.registers import Actor
from gateway.vendors import Terms
from tests.turning import taken

NAMES = ("Wrenhilda", "Quillfeather", "Oddmund", "Marrowby", "Thistleton")
DEMOGRAPHICS = ("2011-03-14", "female", "asian", "planted-sex")
NUMBERS = ("NUM-7710", "src-planted", "planted-pupil", "wrenhilda@", "555-0142")
PLAN_TEXTS = ("planted-title", "planted-need", "planted-strength", "planted-goal", "planted-support", "planted-talk")
ANSWERS = ("planted-refusal", "planted-reason")
PLANTED = (*NAMES, *DEMOGRAPHICS, *NUMBERS, *PLAN_TEXTS, *ANSWERS)
STUDENTS = 30


@dataclass
class World:
    """A populated district. `twice` is another student; `first` is a run that published, `held` one that waits;
    `reject` a record that was set aside; `plan` a draft; `final` a plan that is active."""

    district: int
    student: str
    twice: str
    school: str
    teacher: str
    first: int
    held: int
    reject: int
    plan: str
    final: str
    delivery: int
    agreement: int = 1
    """With a vendor of which nothing else here knows."""
    mark: str = ""
    """Stands in every text, so that one district's can be told from another's."""


def write_package(folder: Path, students: int, mark: str = "") -> None:
    """A OneRoster 1.1 package in which whatever says something about a person is planted."""
    folder.mkdir(exist_ok=True)
    users = [
        {
            "sourcedId": f"src-planted-{n}", "enabledUser": "true", "orgSourcedIds": "school-1", "role": "student",
            "username": f"planted-pupil-{n}", "givenName": f"Wrenhilda{mark}", "familyName": f"Quillfeather{mark}",
            "identifier": f"NUM-7710{n}", "email": f"wrenhilda@{n}.example.org", "phone": "555-0142",
            "grades": "05", "agentSourcedIds": "src-planted-parent" if n else "src-planted-nobody",
        }
        for n in range(students)
    ]  # fmt: skip
    users[0] |= {"grades": "planted-grade"}
    users.append({
        "sourcedId": "src-planted-parent", "enabledUser": "true", "orgSourcedIds": "school-1", "role": "parent",
        "givenName": "Oddmund", "familyName": "Quillfeather",
    })  # fmt: skip
    users.append({
        "sourcedId": "teacher-1", "enabledUser": "true", "orgSourcedIds": "school-1", "role": "teacher",
        "givenName": "Thistleton", "familyName": "Marrowby", "identifier": "900",
    })  # fmt: skip
    users.append({"sourcedId": "src-planted-odd", "role": "student", "givenName": "Wrenhilda"})
    orgs = [
        {"sourcedId": "district-1", "name": "Fennel County Schools", "type": "district"},
        {"sourcedId": "school-1", "name": "Fennel School", "type": "school", "parentSourcedId": "district-1"},
    ]
    demographics = [
        {"sourcedId": f"src-planted-{n}", "birthDate": "2011-03-14", "sex": "female", "asian": "true"}
        for n in range(students)
    ]
    demographics[0] |= {"sex": "planted-sex"}
    files = {"orgs": orgs, "users": users, "demographics": demographics}
    for name, rows in files.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            columns = ["sourcedId", "status", "dateLastModified", *dict.fromkeys(c for row in rows for c in row)]
            writer = csv.DictWriter(file, list(dict.fromkeys(columns)))
            writer.writeheader()
            writer.writerows(rows)
    manifest = [
        "propertyName,value",
        "manifest.version,1.0",
        "oneroster.version,1.1",
        *(f"file.{n},bulk" for n in files),
    ]
    (folder / "manifest.csv").write_text("\n".join(manifest), encoding="ascii")


async def populate(store: Store, district: int, actor: Actor, folder: Path, mark: str = "") -> World:
    """A district after two pulls, the second one held, with two plans and a delivery that was refused."""
    write_package(folder, STUDENTS, mark)
    settings = {"path": str(folder), "student_identifier": "identifier", "staff_identifier": "identifier"}
    sis = await registers.add_connection(store, district, "sis", "oneroster", settings, {}, actor)
    first = await pulled(store, district, sis, actor)
    await crosswalks.choose(store, district, "oneroster", [Line("grade", "fifth of five", "05")], actor)
    write_package(folder, STUDENTS // 2, mark)
    held = await pulled(store, district, sis, actor)
    student, twice = [(await reading.find_students(store, district, f"NUM-7710{n}"))[0] for n in (5, 6)]
    people = await reading.entities(store, district, "person")
    made = World(
        district=district,
        student=student["id"],
        twice=twice["id"],
        school=student["roles"][0]["organization"],
        teacher=next(person["id"] for person in people if person["given_name"] == "Thistleton"),
        first=first,
        held=held,
        reject=await the_reject(store, district),
        plan="",
        final="",
        delivery=0,
        mark=mark,
    )
    await add_destination(store, made, first, actor)
    made.plan = await planning.create(store, district, content(made), actor)
    made.final = await finalized(store, made, actor)
    made.delivery = await refused_delivery(store, made, actor)
    made.agreement = await drafted(store, district, actor)
    return made


async def drafted(store: Store, district: int, actor: Actor) -> int:
    client, _ = await clients.add(store, district, "lapsed", ["students.read"], actor)
    today = date.today()
    collections = {"users": frozenset({"givenName"})}
    terms = Terms(
        *("rostering", "school_official", "The board", "A-9", "privacy@vendor.example.org", today, today), collections
    )
    return (await vendors.draft(store, district, client, terms, actor)).id


async def the_reject(store: Store, district: int) -> int:
    async with store.transaction(district) as c:
        return int(await c.scalar(text("SELECT max(id) FROM reject")))


async def pulled(store: Store, district: int, connection: int, actor: Actor) -> int:
    run = await jobs.request_pull(store, district, connection, actor)
    assert run is not None
    await jobs.run_job(store, district, run)
    return run


async def add_destination(store: Store, world: World, run: int, actor: Actor) -> None:
    """An Ed-Fi connection that knows the student, as after a pull from it."""
    settings = {"student_identifier": "State", "staff_identifier": "Staff", "education_organization_id": 255901}
    ods = await registers.add_connection(store, world.district, "ods", "edfi", settings, {}, actor)
    values = {"district": world.district, "ods": ods, "run": run, "student": world.student}
    async with store.transaction(world.district) as c:
        await c.execute(
            text(
                "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
                "VALUES (:district, :ods, 'person', 'src-planted-ods', CAST(:student AS uuid), 'matched', :run, :run)"
            ),
            values,
        )
        await c.execute(
            text(
                "INSERT INTO claim (district_id, connection_id, collection, record_key, n, kind, key, anchor, rank, "
                "  stated, run_id) VALUES (:district, :ods, 'students', 'src-planted-ods', 1, 'person', "
                "  'src-planted-ods', true, 0, CAST(:stated AS json), :run)"
            ),
            values | {"stated": json.dumps({"identifiers": [{"system": "State", "value": "NUM-77105"}]})},
        )


def content(world: World, **changes: Any) -> dict[str, Any]:
    """A whole plan, in which every text is planted."""
    today = date.today()
    return {
        "title": f"planted-title{world.mark}",
        "student": world.student,
        "school": world.school,
        "coordinator": world.teacher,
        "period_start": today.isoformat(),
        "next_review_on": (today + timedelta(days=56)).isoformat(),
        "strengths": [{"statement": f"planted-strength{world.mark}", "domain": "academic"}],
        "needs": [
            {
                "domain": "academic",
                "statement": f"planted-need{world.mark}",
                "evidence": [{"observation": "planted-need", "on": today.isoformat()}],
            }
        ],
        "goals": [
            {
                "domain": "academic",
                "statement": f"planted-goal{world.mark}",
                "addresses": ["need-1"],
                "baseline": {"measure": "planted-goal", "value": 3, "on": today.isoformat()},
                "targets": [{"measure": "planted-goal", "value": 5, "due_on": today.isoformat()}],
            }
        ],
        "supports": [
            {
                "name": f"planted-support{world.mark}",
                "kind": "tutoring",
                "goals": ["goal-1"],
                "owner": world.teacher,
                "frequency": 2,
                "frequency_interval": "week",
                "duration_minutes": 30,
            }
        ],
        **changes,
    }


def consulted(world: World) -> dict[str, Any]:
    """The same plan after the family was consulted."""
    meeting = {
        "held_on": date.today().isoformat(),
        "outcome": "agreed",
        "summary": "planted-talk",
        "participants": [{"who": {"name": "Oddmund Quillfeather", "side": "family"}, "role": "parent"}],
    }
    return content(world, consultations=[meeting])


async def finalized(store: Store, world: World, actor: Actor) -> str:
    plan = await planning.create(store, world.district, content(world), actor)
    await planning.take(store, world.district, plan, "consult", actor)
    await planning.edit(store, world.district, plan, consulted(world), actor)
    await planning.take(store, world.district, plan, "finalize", actor)
    await planning.pass_time(store, world.district, plan)  # as a worker would: its first day is today
    return plan


async def refused_delivery(store: Store, world: World, actor: Actor) -> int:
    """A delivery whose destination answered with words about the student."""
    number, _ = await delivery.request(store, world.district, world.final, "ods", actor)
    [begun] = await taken(store, world.district, number)
    document = Document("interventions", {"interventionIdentificationCode": "src-planted"}, {"text": "planted-need"})
    claim = Claim(begun, document, "0" * 64)
    await ledger.claim(store, world.district, [claim])
    refused = Receipt(400, message="planted-refusal of Quillfeather")
    await ledger.record(store, world.district, [Answer(claim, refused)])
    losses = [Loss("/needs/0/statement", "withheld", "planted-reason: Quillfeather")]
    await deliveries.finish(
        store, world.district, [Finished(begun, "parked", losses, "planted-refusal of Quillfeather")]
    )
    return number
