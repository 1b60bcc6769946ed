"""A few invented people around one student, published without a pull, with a plan; what tests about access need."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import text

from gateway import planning
from gateway.store import registers
from gateway.store.database import Store
from gateway.store.registers import Actor

TODAY = date.today()
AUTHOR = Actor("Ottoline Farrow", "educator")
PEOPLE = {
    "student": ("student", "school", "student"),
    "other": ("student", "school", "student"),
    "teacher": ("staff", "school", "teacher"),
    "stranger": ("staff", "school", "teacher"),
    "counselor": ("staff", "school", "counselor"),
    "nurse": ("staff", "elsewhere", "nurse"),
    "principal": ("staff", "school", "principal"),
    "elsewhere_principal": ("staff", "elsewhere", "principal"),
    "coordinator": ("staff", "school", "aide"),
    "mother": ("contact", "school", "parent"),
    "father": ("contact", "school", "parent"),
    "mentor": ("contact", "school", "relative"),
}


@dataclass
class Village:
    """Names -> entity ids, and the student's plan."""

    store: Store
    district: int
    ids: dict[str, str] = field(default_factory=dict)
    plan: str = ""

    def __getattr__(self, name: str) -> str:
        return self.ids[name]


async def populate(store: Store, district: int) -> Village:
    made = Village(store, district)
    names = [*PEOPLE, "school", "elsewhere", "above", "class", "map", "quiz", "survey", "course"]
    made.ids = {name: str(uuid.uuid4()) for name in names}
    docs: list[tuple[str, str, dict[str, Any]]] = [
        ("organization", "above", {"name": "Fennel County", "type": "district"}),
        ("organization", "school", {"name": "Fennel School", "type": "school", "parent": made.above}),
        ("organization", "elsewhere", {"name": "Sorrel School", "type": "school", "parent": made.above}),
        ("assessment", "map", {"title": "MAP Growth", "purpose": "other"}),
        ("assessment", "quiz", {"title": "Quiz", "purpose": "formative"}),
        ("assessment", "survey", {"title": "Check-in", "purpose": "diagnostic"}),
    ]
    for name, (population, place, role) in PEOPLE.items():
        person: dict[str, Any] = {
            "population": population, "given_name": "planted-given", "family_name": f"planted-{name}", "active": True,
            "roles": [{"role": role, "organization": made.ids[place]}],
            "identifiers": [{"system": "local", "value": f"N-{name}"}],
        }  # fmt: skip
        if population == "student":
            person["birth_date"] = "2015-03-14"
        docs.append(("person", name, person))
    for who, role in (("student", "student"), ("teacher", "teacher")):
        docs.append(("enrollment", "", {"person": made.ids[who], "class": made.ids["class"], "role": role}))
    over = {"person": made.stranger, "class": made.ids["class"], "role": "teacher", "end_on": TODAY.isoformat()}
    docs.append(("enrollment", "", over))
    for who, more in (
        ("mother", {"relation": "mother"}),
        ("father", {"relation": "father", "education_rights": "no"}),
        ("mentor", {"relation": "other"}),
    ):
        docs.append(("relationship", "", {"student": made.student, "contact": made.ids[who], **more}))
    for what, student in (("map", "student"), ("quiz", "student"), ("survey", "student"), ("map", "other")):
        scores = [{"method": "scale", "value": "196", "datatype": "integer"}]
        docs.append(
            ("assessment_result", "", {"assessment": made.ids[what], "student": made.ids[student], "scores": scores})
        )
    rows = [[kind, made.ids.get(name) or str(uuid.uuid4()), doc] for kind, name, doc in docs]
    async with store.transaction(district) as c:
        await c.execute(
            text(
                "INSERT INTO entity (district_id, kind, id, doc, publication) "
                "SELECT :district, j->>0, CAST(j->>1 AS uuid), j->2, 1 FROM json_array_elements(CAST(:rows AS json)) j"
            ),
            {"district": district, "rows": json.dumps(rows)},
        )
    made.plan = await planning.create(store, district, content(made), AUTHOR)
    return made


def content(village: Village) -> dict[str, Any]:
    """A plan with needs of every sort, in which every text is planted."""
    needs = [
        {"domain": domain, "statement": f"planted-{domain}", "evidence": [{"observation": f"planted-why-{domain}"}]}
        for domain in ("academic", "social_emotional", "physical_health", "family_basic_needs")
    ]
    return {
        "title": "planted-title",
        "student": village.student,
        "school": village.school,
        "coordinator": village.coordinator,
        "period_start": TODAY.isoformat(),
        "next_review_on": (TODAY + timedelta(days=56)).isoformat(),
        "strengths": [{"statement": "planted-strength"}],
        "needs": needs,
        "goals": [
            {
                "domain": "academic", "statement": "planted-goal", "addresses": ["need-1"],
                "baseline": {"measure": "words", "value": 3, "on": TODAY.isoformat()},
                "targets": [{"measure": "words", "value": 5, "due_on": TODAY.isoformat()}],
            }
        ],
        "supports": [
            {"name": "planted-support", "kind": "tutoring", "goals": ["goal-1"], "owner": village.teacher,
             "frequency": 2, "frequency_interval": "week", "duration_minutes": 30}
        ],
        "team": [{"who": village.nurse, "role": "nurse"}],
    }  # fmt: skip


async def finalize(village: Village) -> None:
    """Through the consultation with the mother to a finalized version."""
    meeting = {
        "held_on": TODAY.isoformat(), "outcome": "agreed", "summary": "planted-talk",
        "participants": [{"who": village.mother, "role": "parent"}],
    }  # fmt: skip
    await planning.take(village.store, village.district, village.plan, "consult", AUTHOR)
    consulted = content(village) | {"consultations": [meeting]}
    await planning.edit(village.store, village.district, village.plan, consulted, AUTHOR)
    await planning.take(village.store, village.district, village.plan, "finalize", AUTHOR)


async def destination(village: Village, name: str = "ods") -> registers.Connection:
    """An Ed-Fi connection that knows the student, as after a pull from it."""
    settings = {"student_identifier": "State", "staff_identifier": "Staff", "education_organization_id": 255901}
    made = await registers.add_connection(village.store, village.district, name, "edfi", settings, {}, AUTHOR)
    values = {"district": village.district, "ods": made, "student": village.student}
    async with village.store.transaction(village.district) as c:
        await c.execute(
            text(
                "INSERT INTO link (district_id, connection_id, kind, key, entity_id, method, run_id, since) "
                "VALUES (:district, :ods, 'person', 'key-1', CAST(:student AS uuid), 'matched', 1, 1)"
            ),
            values,
        )
        await c.execute(
            text(
                "INSERT INTO claim (district_id, connection_id, collection, record_key, n, kind, key, anchor, rank, "
                "  stated, run_id) VALUES (:district, :ods, 'students', 'key-1', 1, 'person', 'key-1', true, 0, "
                "  '{}', 1)"
            ),
            values,
        )
    return await registers.connection(village.store, village.district, name)
