"""One district in two systems: whose word counts, who is who, and what happens when a third of them is gone."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.edfi.twin import twin as edfi_twin
from connectors.oneroster.twin import twin as oneroster_twin
from connectors.oneroster.twin_rows import Roster
from synthetic import build, without_students
from tests.e2e.office import HELD, Docs, Entity, Office
from tests.e2e.processes import steer
from tests.serving import serve

DISTRICT = build(students=60)
STANDARDS = ("4.0", "5.0")
BOTH_STANDARDS = pytest.mark.parametrize("standard", STANDARDS)
TERMS_OF_SCHOOLS = len(DISTRICT.schools) * len(DISTRICT.terms)
OWNED = {"organization", "class", "enrollment"}
COLLECTIONS = ("organization", "session", "course", "class", "enrollment", "student", "staff", "contact")


@contextmanager
def both(standard: str = "5.0", oneroster: ASGIApp | None = None) -> Iterator[dict[str, str]]:
    """The two systems of the district, by the name of their connector."""
    with serve(oneroster or oneroster_twin(DISTRICT)) as rosters, serve(edfi_twin(DISTRICT, standard=standard)) as ods:
        yield {"oneroster": rosters, "edfi": ods}


# --- whose word counts


@BOTH_STANDARDS
def test_edfi_adds_what_the_rosters_lack_and_no_second_copy(office: Office, standard: str) -> None:
    with both(standard) as urls:
        for kind in ("oneroster", "edfi"):
            office.connect(kind, urls[kind])
        assert office.pull("oneroster")["state"] == "published"
        assert_the_district(office.entities(), "oneroster")
        alone = office.published("oneroster")
        assert {kind: set(alone[kind]) for kind in OWNED} == keys_of_the_rosters()

        run = office.pull("edfi")
        entities = office.entities()
        assert_the_district(entities, "oneroster")
        assert_edfi_adds(entities)
        assert_kept(office.published("oneroster"), alone)
        assert all(run["counts"]["published"].get(kind, {}).get("added", 0) == 0 for kind in OWNED)
        assert everybody_matched(entities)
        # The days that end sessions and enrollments are said in two ways; Ed-Fi's terms are per school.
        assert office.waiting() == {("edfi", "session", "not-in-system-of-record"): TERMS_OF_SCHOOLS}
        assert differences(office)["enrollment", "end_on"] == len(DISTRICT.enrollments)

        written = office.written()
        for kind in ("oneroster", "edfi"):
            again = office.pull(kind)
            assert (again["state"], again["publication"]) == ("published", None)
            assert all(
                (count["added"], count["changed"], count["gone"]) == (0, 0, 0)
                for count in again["counts"]["collections"]
            )
        assert office.written() == written


@BOTH_STANDARDS
def test_with_the_choice_reversed_the_same_holds_for_edfi(office: Office, standard: str) -> None:
    with both(standard) as urls:
        for kind in ("edfi", "oneroster"):
            office.connect(kind, urls[kind])
        assert office.pull("edfi")["state"] == "published"
        assert_the_district(office.entities(), "edfi")
        assert_edfi_adds(office.entities())
        alone = office.published("edfi")

        run = office.pull("oneroster")
        entities = office.entities()
        assert_the_district(entities, "edfi")
        assert_edfi_adds(entities)
        assert_kept(office.published("edfi"), alone)
        assert all(run["counts"]["published"].get(kind, {}).get("added", 0) == 0 for kind in OWNED)
        assert everybody_matched(entities)
        assert office.waiting() == {("oneroster", "session", "not-in-system-of-record"): 3}
        assert differences(office)["enrollment", "end_on"] == len(DISTRICT.enrollments)


@BOTH_STANDARDS
def test_what_came_before_the_system_of_record_waits_and_is_then_matched(office: Office, standard: str) -> None:
    with both(standard) as urls:
        for kind in ("oneroster", "edfi"):
            office.connect(kind, urls[kind])
        assert office.pull("edfi")["state"] == "published"
        published = Counter(entity.kind for entity in office.entities())
        assert published.keys() == {"person", "assessment"}
        assert {entity.doc.get("population") for entity in office.entities() if entity.kind == "person"} == {"contact"}
        waiting = office.waiting()
        assert waiting["edfi", "person", "unmatched"] == len(DISTRICT.students) + len(DISTRICT.staff)
        assert waiting["edfi", "organization", "not-in-system-of-record"] == 1 + len(DISTRICT.schools)

        assert office.pull("oneroster")["state"] == "published"
        entities = office.entities()
        assert_the_district(entities, "oneroster")
        assert_edfi_adds(entities)
        assert everybody_matched(entities)
        assert {kind: set(docs) for kind, docs in office.published("oneroster").items() if kind in OWNED} == (
            keys_of_the_rosters()
        )
        assert office.waiting() == {("edfi", "session", "not-in-system-of-record"): TERMS_OF_SCHOOLS}
        assert differences(office)["enrollment", "end_on"] == len(DISTRICT.enrollments)


@BOTH_STANDARDS
def test_the_choice_can_be_changed_later(office: Office, standard: str) -> None:
    with both(standard) as urls:
        for kind in ("oneroster", "edfi"):
            office.connect(kind, urls[kind])
            office.pull(kind)
        before = {(entity.kind, entity.id) for entity in office.entities()}
        for collection in COLLECTIONS:
            office.tell("system-of-record", collection, "edfi")
        run = office.pull("edfi")
        assert run["state"] == "published"
        assert "organization" not in run["counts"]["published"], "both say the same of them: nothing is written"

        entities = office.entities()
        assert_the_district(entities, "edfi")
        assert_edfi_adds(entities)
        assert everybody_matched(entities)
        assert office.waiting() == {("oneroster", "session", "not-in-system-of-record"): 3}
        assert {one for one in before if one[0] != "session"} == {
            (entity.kind, entity.id) for entity in entities if entity.kind != "session"
        }, "everything keeps its id"
        assert {tuple(entity.keys) for entity in entities if entity.kind == "session"} == {("edfi",)}
        written = office.written()
        office.pull("oneroster")
        assert office.written() == written


def test_the_new_system_of_record_may_be_chosen_before_it_is_pulled(office: Office) -> None:
    """As when a district changes its student information system: plans name people by our ids."""
    with both() as urls:
        office.connect("oneroster", urls["oneroster"])
        office.pull("oneroster")
        before = {(entity.kind, entity.id) for entity in office.entities() if entity.kind in OWNED | {"person"}}
        office.connect("edfi", urls["edfi"])
        for collection in COLLECTIONS:
            office.tell("system-of-record", collection, "edfi")
        assert office.pull("edfi")["state"] == "published"
        entities = office.entities()
        assert_the_district(entities, "edfi")
        assert_edfi_adds(entities)
        assert everybody_matched(entities)
        assert before <= {(entity.kind, entity.id) for entity in entities}, "everything keeps its id"


def test_a_choice_that_would_empty_the_district_waits_for_a_person(office: Office) -> None:
    with both() as urls:
        for kind in ("oneroster", "edfi"):
            office.connect(kind, urls[kind])
        office.pull("oneroster")
        written = office.written()
        office.tell("system-of-record", "enrollment", "edfi")  # of which nothing was pulled yet
        held = office.pull("oneroster", code=HELD)
        assert [(hold["code"], hold["collection"]) for hold in held["holds"]] == [("many-unpublished", "enrollment")]
        assert office.written() == written


# --- who is who


def test_two_students_with_one_number_are_listed_and_nobody_is_guessed(office: Office) -> None:
    one, other = DISTRICT.students[0], DISTRICT.students[1]
    mistake = Misnumbered(oneroster_twin(DISTRICT), wrong=other.number, number=one.number)
    with both(oneroster=mistake) as urls:
        for kind in ("oneroster", "edfi"):
            office.connect(kind, urls[kind])
            office.pull(kind)
        entities = office.entities()
        students = [entity for entity in of(entities, "person") if entity.doc["population"] == "student"]
        assert len(students) == len(DISTRICT.students)
        known = {student.number for student in DISTRICT.students} - {one.number, other.number}
        assert numbers(entities, "student", "edfi") == known
        waiting = office.waiting()
        assert waiting["edfi", "person", "ambiguous"] == 1  # who has the number that two have
        assert waiting["edfi", "person", "unmatched"] == 1  # whose number nobody has
        results = [entity for entity in of(entities, "assessment_result") if "edfi" in entity.keys]
        there = {entity.id: entity for entity in entities}
        assert {number(there[result.doc["student"]]) for result in results} <= known
        assert waiting["edfi", "assessment_result", "unresolved-reference"] > 0

        mistake.mended = True
        office.pull("oneroster")
        entities = office.entities()
        assert_the_district(entities, "oneroster")
        assert everybody_matched(entities)
        assert office.waiting() == {("edfi", "session", "not-in-system-of-record"): TERMS_OF_SCHOOLS}


def test_two_students_of_a_second_source_with_one_number_are_both_listed(office: Office) -> None:
    one, other = DISTRICT.students[0], DISTRICT.students[1]
    mistake = Misnumbered(oneroster_twin(DISTRICT), wrong=other.number, number=one.number)
    with both(oneroster=mistake) as urls:
        for kind in ("edfi", "oneroster"):
            office.connect(kind, urls[kind])
            office.pull(kind)
        entities = office.entities()
        assert_the_district(entities, "edfi")
        expected = {student.number for student in DISTRICT.students} - {one.number, other.number}
        assert numbers(entities, "student", "oneroster") == expected
        assert office.waiting()["oneroster", "person", "ambiguous"] == 2

        mistake.mended = True
        office.pull("oneroster")
        assert everybody_matched(office.entities())


def test_however_far_apart_two_with_one_number_stand_both_are_listed(office: Office, tmp_path: Path) -> None:
    student = DISTRICT.students[0]
    crowd = [("a", student.number), *((f"b{n}", f"N{n}") for n in range(2500)), ("c", student.number)]
    rows = [f"{key},true,{key},Noor,Lind,{number},student,1" for key, number in crowd]
    write(tmp_path, orgs=["sourcedId,name,type", "1,Elsewhere,district"], users=[USERS, *rows])
    with serve(edfi_twin(DISTRICT)) as url:
        office.connect("edfi", url)
        office.pull("edfi")
    office.connect_files(tmp_path)
    for _ in range(2):
        office.pull("oneroster")
        assert not numbers(office.entities(), "student", "oneroster")
        waiting = office.waiting()
        assert waiting["oneroster", "person", "ambiguous"] == 2
        assert waiting["oneroster", "person", "unmatched"] == 2500
        # The next pull brings one of the two only; it has a rival still.
        rows[-1] = rows[-1].replace("Noor", "Nour")
        write(tmp_path, orgs=["sourcedId,name,type", "1,Elsewhere,district"], users=[USERS, *rows])


USERS = "sourcedId,enabledUser,username,givenName,familyName,identifier,role,orgSourcedIds"


def write(folder: Path, **files: list[str]) -> None:
    """A OneRoster 1.1 package with these files."""
    listed = [f"file.{name},bulk" for name in files]
    for name, lines in {**files, "manifest": ["propertyName,value", "oneroster.version,1.1", *listed]}.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def test_whoever_comes_back_under_another_key_is_recognised_again(office: Office, tmp_path: Path) -> None:
    """A student information system that is set up anew keeps the student numbers and changes its own keys."""
    orgs = ["sourcedId,name,type,identifier", f"d,{DISTRICT.name},district,{DISTRICT.number}"]
    people = [(one.number, one.given, one.family) for one in DISTRICT.students]

    def users(prefix: str) -> list[str]:
        return [USERS, *(f"{prefix}{n},true,u{n},{given},{family},{n},student,d" for n, given, family in people)]

    write(tmp_path, orgs=orgs, users=users("old-"))
    with serve(edfi_twin(DISTRICT)) as url:
        office.connect_files(tmp_path)
        office.connect("edfi", url)
        for kind in ("oneroster", "edfi"):
            office.pull(kind)
        known = {number(one): one.id for one in of(office.entities(), "person") if "oneroster" in one.keys}
        assert numbers(office.entities(), "student", "edfi") == known.keys()
        write(tmp_path, orgs=orgs, users=users("new-"))
        held = office.pull("oneroster", code=HELD)
        office.ask("holds", "approve", str(held["id"]), "--because", "The system was set up anew.")
    entities = office.entities()
    assert {number(one): one.id for one in of(entities, "person") if "oneroster" in one.keys} == known
    assert numbers(entities, "student", "edfi") == known.keys()


# --- when a third of them is gone


def test_a_pull_that_would_remove_a_third_waits_for_a_person(office: Office) -> None:
    with both() as urls:
        for kind in ("oneroster", "edfi"):
            office.connect(kind, urls[kind])
            office.pull(kind)
        written = office.written()
        steer(urls["oneroster"], "POST", "change", {"without_students": 1 / 3})

        held = office.pull("oneroster", code=HELD)
        assert (held["state"], held["publication"]) == ("held", None)
        users = next(hold for hold in held["holds"] if hold["collection"] == "users")
        assert (users["code"], users["affected"], users["state"]) == ("many-removed", 20, "open")
        assert [run["id"] for run in office.ask("holds", "show")] == [held["id"]]
        assert office.written() == written

        office.tell("holds", "refuse", str(held["id"]), code=6)  # a decision needs a reason
        office.tell("holds", "refuse", str(held["id"]), "--because", "The export was cut off.")
        assert office.ask("runs", str(held["id"]))["state"] == "refused"
        assert office.written() == written

        second, third = office.pull("oneroster", code=HELD), office.pull("oneroster", code=HELD)
        assert office.ask("runs", str(second["id"]))["state"] == "superseded"
        assert [run["id"] for run in office.ask("holds", "show")] == [third["id"]]
        office.ask("holds", "approve", str(second["id"]), "--because", "They moved away.", code=6)
        assert office.written() == written

        done = office.ask("holds", "approve", str(third["id"]), "--because", "They moved away.")
        assert done["state"] == "published"
        assert {hold["decided_because"] for hold in done["holds"]} == {"They moved away."}
        left = {student.number for student in without_students(DISTRICT, 1 / 3, seed=1).students}
        entities = office.entities()
        assert len(left) == 40
        assert numbers(entities, "student", "oneroster") == left
        assert sorted(attendances(entities)) == [
            fact for fact in expected_attendances("oneroster") if fact.role == "teacher" or fact.person in left
        ]
        assert {number(person) for person in of(entities, "person") if person.doc["population"] == "student"} == left


def test_whom_the_system_of_record_gives_up_is_listed_by_the_other(office: Office) -> None:
    with both() as urls:
        for kind in ("oneroster", "edfi"):
            office.connect(kind, urls[kind])
            office.pull(kind)
        steer(urls["oneroster"], "POST", "change", {"without_students": 0.05})
        assert office.pull("oneroster")["state"] == "published"
        assert office.waiting()["edfi", "person", "unmatched"] == 3
        steer(urls["oneroster"], "POST", "change", {"reset": True})
        assert office.pull("oneroster")["state"] == "published"
        entities = office.entities()
        assert_the_district(entities, "oneroster")
        assert_edfi_adds(entities)
        assert everybody_matched(entities)
        assert office.waiting() == {("edfi", "session", "not-in-system-of-record"): TERMS_OF_SCHOOLS}


# --- what is compared


class Attendance(NamedTuple):
    school: int
    section: str
    person: str
    role: str
    primary: bool
    begin: str
    end: str


def assert_the_district(entities: list[Entity], owner: str) -> None:
    """Organizations, classes and enrollments are those of the district, each once, and all of them the owner's;
    so are students and staff."""
    assert all(owner in entity.keys for entity in entities if entity.kind in OWNED)
    assert sorted(
        (one.doc["identifier"], one.doc["name"], one.doc["type"], one.doc.get("parent", "") and str(DISTRICT.number))
        for one in of(entities, "organization")
    ) == [
        (str(DISTRICT.number), DISTRICT.name, "district", ""),
        *((str(school.number), school.name, "school", str(DISTRICT.number)) for school in DISTRICT.schools),
    ]
    there = {entity.id: entity.doc for entity in entities}
    terms = {term.code: term.title for term in DISTRICT.terms}
    assert sorted(
        (
            int(there[one.doc["school"]]["identifier"]),
            one.doc["code"],
            one.doc["title"],
            there[one.doc["course"]]["code"],
            [there[session]["title"] for session in one.doc["sessions"]],
        )
        for one in of(entities, "class")
    ) == [(one.school, one.code, one.title, one.course, [terms[one.term]]) for one in DISTRICT.sections]
    assert sorted(attendances(entities)) == expected_attendances(owner)
    for population, expected in (("student", DISTRICT.students), ("staff", DISTRICT.staff)):
        found = [number(one) for one in of(entities, "person") if one.doc["population"] == population]
        assert sorted(found) == sorted(one.number for one in expected)


def attendances(entities: list[Entity]) -> Iterator[Attendance]:
    there = {entity.id: entity for entity in entities}
    for one in of(entities, "enrollment"):
        section = there[one.doc["class"]].doc
        school = int(there[section["school"]].doc["identifier"])
        assert there[one.doc["school"]].doc["identifier"] == str(school)
        primary = one.doc.get("primary", False)
        person, role = number(there[one.doc["person"]]), one.doc["role"]
        yield Attendance(school, section["code"], person, role, primary, one.doc["begin_on"], one.doc["end_on"])


def expected_attendances(owner: str) -> list[Attendance]:
    # OneRoster 1.2: an endDate is the first day that no longer belongs; Ed-Fi's is the last one that does.
    after = timedelta(days=1 if owner == "oneroster" else 0)
    return sorted(
        Attendance(one.school, one.section, one.person, one.role, one.primary, str(one.begin), str(one.end + after))
        for one in DISTRICT.enrollments
    )


def assert_edfi_adds(entities: list[Entity]) -> None:
    """Results with their parts, program statuses, contacts and how they are related; of nobody else."""
    there = {entity.id: entity for entity in entities}
    results = [one.doc for one in of(entities, "assessment_result") if "edfi" in one.keys]
    assert sorted(
        (
            number(there[one["student"]]),
            there[one["assessment"]].doc["identifier"],
            one["on"],
            one["scores"][0]["value"],
        )
        for one in results
        if "parent" not in one
    ) == sorted((one.student, one.assessment, str(one.on), str(one.score)) for one in DISTRICT.sittings)
    assert sorted(
        (number(there[one["student"]]), there[one["assessment"]].doc["identifier"], one["scores"][0]["value"])
        for one in results
        if "parent" in one
    ) == sorted((one.student, part, str(score)) for one in DISTRICT.sittings for part, score in one.objectives.items())
    assert sorted((number(there[one.doc["student"]]), one.doc["status"]) for one in of(entities, "program_status")) == [
        (one.number, status)
        for one in DISTRICT.students
        for status in ("economically_disadvantaged", "english_learner")
        if getattr(one, status)
    ]
    contacts = [number(one) for one in of(entities, "person") if one.doc["population"] == "contact"]
    assert sorted(contacts) == sorted(one.number for one in DISTRICT.contacts)
    assert sorted(
        (number(there[one.doc["contact"]]), number(there[one.doc["student"]]), one.doc["relation"], one.doc["priority"])
        for one in of(entities, "relationship")
    ) == sorted((one.contact, one.student, one.relation, one.priority) for one in DISTRICT.kinships)


def assert_kept(later: dict[str, Docs], alone: dict[str, Docs]) -> None:
    """What the system of record said when it was alone stands as it was; a second source only adds to it."""
    for kind, docs in alone.items():
        assert later[kind].keys() == docs.keys(), kind
        for key, doc in docs.items():
            stated = doc.keys() - {"identifiers"}  # every known number, whoever knows it
            assert {name: later[kind][key][name] for name in stated} == {name: doc[name] for name in stated}, kind


def everybody_matched(entities: list[Entity]) -> bool:
    """Both systems know every organization, course, class, enrollment, student and member of staff."""
    shared = [one for one in entities if one.kind in OWNED | {"course"} or one.doc.get("population") in WORKING]
    return all(one.keys.keys() == {"oneroster", "edfi"} for one in shared) and bool(shared)


WORKING = ("student", "staff")


def keys_of_the_rosters() -> dict[str, set[str]]:
    facts = Roster(DISTRICT).facts
    return {"organization": set(facts["orgs"]), "class": set(facts["classes"]), "enrollment": set(facts["enrollments"])}


def differences(office: Office) -> dict[tuple[str, str], int]:
    """(kind, field) -> how many entities a second source describes differently."""
    return {(one["kind"], one["field"]): one["entities"] for one in office.ask("rejects")["differences"]}


def of(entities: list[Entity], kind: str) -> list[Entity]:
    return [entity for entity in entities if entity.kind == kind]


def number(person: Entity) -> str:
    """The one number of a person: whoever has two is two people in one."""
    [found] = {identifier["value"] for identifier in person.doc["identifiers"]}
    return str(found)


def numbers(entities: list[Entity], population: str, connection: str) -> set[str]:
    """The numbers of the people that a connection knows."""
    return {
        number(one) for one in of(entities, "person") if one.doc["population"] == population and connection in one.keys
    }


class Misnumbered:
    """A OneRoster system in which, until it is mended, one student has the number of another."""

    def __init__(self, app: ASGIApp, *, wrong: str, number: str) -> None:
        self._app = app
        self._wrong, self._right = (f'"identifier":"{one}"'.encode() for one in (number, wrong))
        self.mended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def falsified(message: Message) -> None:
            if "body" in message and not self.mended:
                message["body"] = message["body"].replace(self._right, self._wrong)
            await send(message)

        await self._app(scope, receive, falsified)
