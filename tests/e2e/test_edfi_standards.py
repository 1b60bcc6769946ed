"""The same district read from Ed-Fi servers of every data standard: what is published is the same, field by field."""

import json
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.edfi.twin import twin
from connectors.edfi.twin.release import STANDARDS
from synthetic import build
from tests.e2e.office import Docs, Office
from tests.e2e.processes import Home
from tests.serving import serve

DISTRICT = build(schools=1, students=16, seed=11)
MEASURE = "5.0"
Published = dict[str, Docs]

# Where the facts are the same and the records are not: (standard, kind, field) -> why.
DIFFERENCES = {
    ("3.3", "assessment_result", "school"): "3.3 has no reported school",
    ("3.3", "person", "device"): "before 5 no codes are shipped for it",
    ("4.0", "person", "device"): "before 5 no codes are shipped for it",
    ("3.3", "person", "preferred_given_name"): "before 5 it is among otherNames, which are never kept",
    ("4.0", "person", "preferred_given_name"): "before 5 it is among otherNames, which are never kept",
    ("3.3", "person", "identifiers"): "a contact's number has the name of the standard: parentUniqueId before 5",
    ("4.0", "person", "identifiers"): "a contact's number has the name of the standard: parentUniqueId before 5",
    ("6.0", "program_status", "code"): "6.0's code of economic disadvantage may tell of meals, and is not published",
    ("6.0", "program_status", "begin_on"): "6.0 says economic disadvantage without a period",
}


@pytest.fixture(scope="module")
def published(installation: Home) -> Iterator[dict[str, Published]]:
    """What is published of the district, by standard, in the words of the source."""
    found = {}
    for standard in STANDARDS:
        office = Office(installation, f"standard-{standard}")
        with serve(twin(DISTRICT, standard=standard)) as url:
            office.connect("edfi", url)
            run = office.pull("edfi")
        assert (run["state"], office.waiting()) == ("published", {})
        found[standard] = office.published("edfi")
    yield found


@pytest.mark.parametrize("standard", [standard for standard in STANDARDS if standard != MEASURE])
def test_the_same_facts_are_the_same_records_whatever_the_standard(
    published: dict[str, Published], standard: str
) -> None:
    own, measure = with_one_key(published[standard]), with_one_key(published[MEASURE])
    assert {kind: set(docs) for kind, docs in own.items()} == {kind: set(docs) for kind, docs in measure.items()}
    differing: dict[tuple[str, str, str], int] = {}
    for kind, docs in measure.items():
        for key, doc in docs.items():
            for field in {**doc, **own[kind][key]}:
                if plain(doc.get(field)) != plain(own[kind][key].get(field)):
                    differing[standard, kind, field] = differing.get((standard, kind, field), 0) + 1
    declared = {place for place in DIFFERENCES if place[0] == standard}
    assert set(differing) == declared
    contacts, poor = len(DISTRICT.contacts), sum(one.economically_disadvantaged for one in DISTRICT.students)
    assert differing.get((standard, "person", "identifiers"), contacts) == contacts
    assert differing.get((standard, "program_status", "code"), poor) == poor > 0


def test_it_is_the_whole_district(published: dict[str, Published]) -> None:
    """Not a comparison of nothing with nothing."""
    own = published["6.0"]
    students = {f"student/{one.number}": one for one in DISTRICT.students}
    for key, student in students.items():
        doc = own["person"][key]
        assert (doc["email"], doc["sex"], doc["languages"]) == (student.email, student.sex, [student.language])
        assert len(doc["races"]) == len(student.races) and doc["hispanic"] == student.hispanic
        assert ("District", student.number) in {(one["system"], one["value"]) for one in doc["identifiers"]}
    for one in DISTRICT.staff:
        doc = own["person"][f"staff/{one.number}"]
        assert (doc["email"], {"system": "District", "value": one.number} in doc["identifiers"]) == (one.email, True)
    needs = sum(one.english_learner + one.economically_disadvantaged for one in DISTRICT.students)
    assert len(own["program_status"]) == needs > 3
    assert len(own["assessment_result"]) > len(DISTRICT.sittings) > 0
    assert len(own["enrollment"]) == len(DISTRICT.enrollments)


def test_what_a_student_has_at_home_is_told_with_a_new_plan_to_those_who_may_know(
    installation: Home, published: dict[str, Published]
) -> None:
    office = Office(installation, "standard-6.0")
    student = DISTRICT.students[0]
    device = "chromebook" if student.device else "none"
    assert published["6.0"]["person"][f"student/{student.number}"]["device"] == device
    plan = office.ask("plan", "new", "--student", student.number, "--as", "Ottoline Farrow")["id"]

    def told(*role: str) -> list[tuple[Any, Any]]:
        rows = office.ask("plan", "known", plan, "--as", "Ottoline Farrow", *role)
        return [(row["value"], row["origins"]) for row in rows if row["pointer"] == "/context/at_home"]

    [(value, [origin])] = told()
    assert (value, origin["connection"], origin["field"]) == ({"device": device}, "edfi", "device")
    assert origin["record"].startswith(f"studentEducationOrganizationAssociations/student/{student.number}")
    assert told("--role", "specialist") == [(value, [origin])]
    assert told("--role", "teacher") == told("--role", "district_it") == []


def with_one_key(found: Published) -> Published:
    """From 5 on the day a teacher begins belongs to the key; without it the key is that of before."""

    def key(name: str) -> str:
        return name.rpartition("|")[0] if name.startswith("staff/") and len(name.split("|")) > 6 else name

    return found | {"enrollment": {key(name): doc for name, doc in found["enrollment"].items()}}


def plain(value: Any) -> Any:
    """Of what is several, the order says nothing."""
    return sorted(map(repr, value)) if isinstance(value, list) else value


# --- what stands in a record besides, and what does not


class Extended:
    """The twin with an extension in each student, behind an API profile that leaves out what it is not to show."""

    def __init__(self, app: ASGIApp, hidden: Collection[str]) -> None:
        self._app = app
        self._hidden = hidden

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/ed-fi/students"):
            await self._app(scope, receive, send)
            return
        said: list[Message] = []

        async def keep(message: Message) -> None:
            said.append(message)

        await self._app(scope, receive, keep)
        start, *bodies = said
        rows = json.loads(b"".join(body.get("body", b"") for body in bodies))
        body = json.dumps([self._seen(row) for row in rows]).encode()
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await send({**start, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    def _seen(self, row: dict[str, Any]) -> dict[str, Any]:
        portal = {"larkspur": {"portal": {"name": f"portal-{row['studentUniqueId']}"}}}
        return {name: value for name, value in row.items() if name not in self._hidden} | {"_ext": portal}


def test_an_extension_is_read_by_an_override_and_what_a_profile_hides_is_missing_only(office: Office) -> None:
    with serve(Extended(twin(DISTRICT, standard="5.0"), ("birthDate", "middleName"))) as url:
        office.connect("edfi", url)
        assert office.pull("edfi")["state"] == "published"
    students = {f"student/{one.number}": one for one in DISTRICT.students}
    before = office.published("edfi")["person"]
    for key, one in students.items():
        assert (before[key]["given_name"], before[key].get("birth_date"), before[key].get("username")) == (
            one.given,
            None,
            None,
        )
    # The server is gone: the extension is in the payloads.
    override = ("edfi", "students", "person.username", "_ext.larkspur.portal.name")
    assert office.ask("overrides", "set", *override) == {"changed": True}
    [replayed] = office.ask("crosswalks", "replay", "edfi", "--everything")
    assert replayed["counts"]["published"] == {"person": {"changed": len(students)}}
    after = office.published("edfi")["person"]
    assert {key: after[key]["username"] for key in students} == {
        key: f"portal-{one.number}" for key, one in students.items()
    }
