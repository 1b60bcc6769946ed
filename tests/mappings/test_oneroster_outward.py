"""What an entity is written as: each field in a row or among the losses, each word with a code, each gap told."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.schema import KINDS
from mappings.oneroster import MAPPING
from mappings.oneroster.cells import Gap
from mappings.oneroster.outward import NOWHERE, SHAPES, Outward, outward

CODES = MAPPING.codes()
AT = datetime(2026, 9, 14, 6, 30, tzinfo=UTC)
OBJECTIVE = {"source": "case", "id": "o-1"}
FLAGS = {"late": True, "missing": False, "incomplete": False, "in_progress": False}
ENTITIES: dict[str, dict[str, Any]] = {
    "organization": {
        "name": "Maple School", "type": "school", "identifier": "0042", "parent": "org-9", "grades": ["09"],
    },
    "session": {
        "title": "Fall", "type": "grading_period", "begin_on": "2026-08-17", "end_on": "2026-12-18",
        "school_year": 2027, "parent": "ses-9", "school": "org-1",
    },
    "resource": {
        "title": "Fractions", "vendor_resource_id": "fp-1", "vendor": "press", "application": "reader",
        "importance": "primary", "roles": ["student", "counselor"],
    },
    "course": {
        "title": "Art 1", "code": "ART1", "organization": "org-1", "session": "ses-1", "grades": ["09"],
        "subjects": ["Art"], "subject_codes": ["05154"], "resources": ["res-1"],
    },
    "class": {
        "title": "Art 1, A", "code": "ART1-A", "type": "scheduled", "location": "12", "course": "crs-1",
        "school": "org-1", "sessions": ["ses-1"], "grades": ["09"], "subjects": ["Art"], "subject_codes": ["05154"],
        "periods": ["3"], "resources": ["res-1"],
    },
    "person": {
        "population": "student", "given_name": "Ida", "middle_name": "M", "family_name": "Berg",
        "preferred_given_name": "Idi", "preferred_middle_name": "N", "preferred_family_name": "Ber", "pronouns": "she",
        "active": False, "username": "iberg", "email": "ida@example.org", "phone": "1", "sms": "2",
        "identifiers": [
            {"system": "state", "value": "77"}, {"system": "identifier", "value": "1"},
            {"system": "identifier", "value": "2"}, {"system": "userMasterIdentifier", "value": "3"},
        ],
        "roles": [{"role": "student", "organization": "org-1", "primary": True, "begin_on": "2026-08-17"}],
        "primary_organization": "org-1", "grades": ["09"], "birth_date": "2011-02-03", "sex": "female",
        "races": ["asian", "middle_eastern_or_north_african"], "hispanic": False, "languages": ["swe"],
        "resources": ["res-1"],
        "internet_at_home": False, "internet_type": "none", "internet_performance": "poor",
        "internet_barrier": "not_affordable", "device": "tablet", "device_access": "shared", "device_provider": "other",
    },
    "relationship": {
        "student": "stu-1", "contact": "con-1", "relation": "mother", "legal_guardian": True,
        "education_rights": "yes", "restrictions": "none", "lives_with": True, "emergency": True, "primary": True,
        "priority": 1,
    },
    "program_status": {
        "student": "stu-1", "status": "english_learner", "organization": "org-1", "code": "EL",
        "program": "Bilingual", "begin_on": "2026-08-17", "end_on": "2027-06-01",
    },
    "enrollment": {
        "person": "stu-1", "class": "cls-1", "school": "org-2", "role": "aide", "primary": False,
        "begin_on": "2026-08-17", "end_on": "2027-06-01",
    },
    "category": {"title": "Tests", "weight": 0.5},
    "score_scale": {
        "title": "Letters", "type": "letters", "organization": "org-1", "course": "crs-1", "class": "cls-1",
        "values": [{"value": "A", "stands_for": "90-100"}],
    },
    "line_item": {
        "title": "Quiz", "description": "Week 3", "class": "cls-1", "school": "org-2", "category": "cat-1",
        "session": "ses-1", "grading_period": "ses-2", "assign_on": "2026-09-07", "due_on": "2026-09-11",
        "minimum": "0", "maximum": "20.5", "score_scale": "sc-1", "learning_objectives": [OBJECTIVE],
    },
    "result": {
        "line_item": "li-1", "student": "stu-1", "class": "cls-1", "status": "fully_graded", "on": "2026-09-12",
        "score": "18", "text_score": "A", "comment": "Good", "score_scale": "sc-1",
        "learning_objectives": [OBJECTIVE | {"score": "3"}], **FLAGS,
    },
    "assessment": {
        "title": "Fall screener", "identifier": "FS", "namespace": "uri://press", "family": "FS", "description": "x",
        "parent": "as-9", "class": "cls-1", "purpose": "screening", "category": "Screening", "subjects": ["Math"],
        "grades": ["09"], "minimum": "100", "maximum": "300", "score_scale": "sc-1",
        "learning_objectives": [OBJECTIVE],
    },
    "assessment_result": {
        "assessment": "as-1", "student": "stu-1", "on": "2026-09-12", "status": "fully_graded", "parent": "ar-9",
        "period": "Fall", "school_year": 2027,
        "school": "org-1", "grade": "09", "scores": [{"method": "score", "value": "208", "datatype": "integer"}],
        "performance_levels": [{"method": "level", "level": "2"}], "retest": "first", "reason_not_tested": "none",
        "comment": "Good", "score_scale": "sc-1", "learning_objectives": [OBJECTIVE], **FLAGS,
    },
    "attendance_event": {
        "student": "stu-1", "on": "2026-09-12", "category": "tardy", "code": "T", "school": "org-1",
        "session": "ses-1", "class": "cls-1", "days": 0.5,
    },
    "discipline_incident": {"student": "stu-1", "on": "2026-09-12", "school": "org-1"},
    "course_grade": {
        "student": "stu-1", "class": "cls-1", "school": "org-1", "type": "final", "code": "F", "period": "Fall",
        "school_year": 2027, "letter": "A", "number": "97",
    },
    "meal_eligibility": {
        "student": "stu-1", "eligibility": "free", "economically_disadvantaged": True, "organization": "org-1",
        "begin_on": "2026-08-17", "end_on": "2027-06-01",
    },
}  # fmt: skip
"""One of each kind, with everything it may say."""
IN_AGENTS = {("relationship", "student"), ("relationship", "contact")}


class School:
    def href(self, collection: str, id: str) -> str:
        return f"https://planbridge.example.org/{collection}/{id}"

    def children(self, kind: str, id: str) -> Sequence[str]:
        return {"organization": ["org-7"]}.get(kind, [])

    def contacts(self, student: str) -> Sequence[str]:
        return ["con-1"]

    def school(self, class_: str) -> str:
        return "org-1" if class_ == "cls-1" else ""


def written(kind: str, values: dict[str, Any]) -> Outward:
    return outward(kind, "id-1", values, AT, School(), CODES)


def test_every_kind_is_here_with_every_field() -> None:
    assert set(SHAPES) == set(KINDS) == set(ENTITIES)
    assert {kind: set(values) for kind, values in ENTITIES.items()} == {
        kind: set(KINDS[kind].merge) for kind in ENTITIES
    }


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, values in ENTITIES.items() for name in values])
def test_each_field_is_in_a_row_or_among_the_losses(kind: str, name: str) -> None:
    whole = ENTITIES[kind]
    there, without = written(kind, whole), written(kind, {one: v for one, v in whole.items() if one != name})
    lost = {loss.pointer.split("/")[1] for loss in there.losses}
    partly = (kind, name) in {("person", "races")}
    assert (there.rows != without.rows) == ((name not in lost and (kind, name) not in IN_AGENTS) or partly)
    assert name not in {loss.pointer.split("/")[1] for loss in without.losses}
    assert (name in NOWHERE.get(kind, {})) == (name in lost and not partly)


@pytest.mark.parametrize("kind", ENTITIES)
def test_who_says_everything_leaves_no_gap_and_no_null(kind: str) -> None:
    found = written(kind, ENTITIES[kind])
    assert found.gaps == []
    for _, row in found.rows:
        assert all(value not in (None, "", []) and not isinstance(value, bool) for value in row.values())


def test_a_person_is_two_records() -> None:
    (users, user), (demographics, person) = written("person", ENTITIES["person"]).rows
    assert (users, demographics) == ("users", "demographics")
    assert user["sourcedId"] == person["sourcedId"] == "id-1"
    assert user["dateLastModified"] == "2026-09-14T06:30:00.000Z"
    assert (user["identifier"], user["userMasterIdentifier"]) == ("1", "3")
    assert user["userIds"] == [{"type": "state", "identifier": "77"}, {"type": "identifier", "identifier": "2"}]
    assert [agent["sourcedId"] for agent in user["agents"]] == ["con-1"]
    assert (person["asian"], person["hispanicOrLatinoEthnicity"], "white" in person) == ("true", "false", False)
    (only,) = written("person", {"given_name": "Ida", "family_name": "Berg", "population": "staff"}).rows
    assert only[0] == "users" and "agents" not in only[1]


def test_what_nobody_told_is_a_gap_and_a_placeholder_is_called_one() -> None:
    found = written("person", {"given_name": "Ida", "family_name": "Berg"})
    assert found.gaps == [Gap("users", "enabledUser", filled=True), Gap("users", "roles", filled=False)]
    assert found.rows[0][1]["enabledUser"] == "true"
    found = written("line_item", {"title": "Quiz", "class": "cls-1", "due_on": "2026-09-11"})
    assert found.gaps == [Gap("lineItems", "assignDate", filled=True), Gap("lineItems", "category", filled=False)]
    assert found.rows[0][1]["assignDate"] == "2026-09-11T00:00:00.000Z"
    assert found.rows[0][1]["school"]["sourcedId"] == "org-1"


def test_one_role_at_a_place_is_primary() -> None:
    roles = [
        {"role": "teacher", "organization": "org-1"},
        {"role": "aide", "organization": "org-1"},
        {"role": "parent", "organization": "org-2"},
        {"role": "teacher", "organization": "org-3"},
        {"role": "aide", "organization": "org-3", "primary": True},
    ]
    found = written("person", {"given_name": "Ida", "family_name": "Berg", "active": True, "roles": roles})
    types = [role["roleType"] for role in found.rows[0][1]["roles"]]
    assert types == ["primary", "secondary", "primary", "secondary", "primary"]
    assert found.gaps == [Gap("users", "roles/roleType", filled=True)] * 4


def test_a_word_without_a_code_is_lost_and_told() -> None:
    found = written("organization", ENTITIES["organization"] | {"type": "service_center"})
    assert "type" not in found.rows[0][1]
    assert "/type" in {loss.pointer for loss in found.losses}
    assert found.gaps == [Gap("orgs", "type", filled=False)]


def test_a_score_that_is_no_number_stands_among_words() -> None:
    result = {name: value for name, value in ENTITIES["result"].items() if name not in ("score", "text_score")}
    found = written("result", result | {"score": "A+"})
    assert found.rows[0][1]["textScore"] == "A+" and "score" not in found.rows[0][1]
    assert [loss.pointer for loss in found.losses] == ["/score"]
    found = written("result", result | {"score": "A+", "text_score": "met"})
    assert found.rows[0][1]["textScore"] == "met"
    assert [loss.pointer for loss in found.losses] == ["/score"]


def test_of_several_scores_three_have_a_place() -> None:
    scores = [
        {"method": "Scale Score", "value": "208", "datatype": "integer"},
        {"method": "percentile", "value": "61", "datatype": "percentile"},
        {"method": "Lexile", "value": "700L"},
        {"method": "Growth", "value": "4", "datatype": "integer"},
    ]
    found = written("assessment_result", {"assessment": "as-1", "student": "stu-1", "scores": scores})
    row = found.rows[0][1]
    assert (row["score"], row["scorePercentile"], row["textScore"]) == (208, 61, "700L")
    assert [loss.pointer for loss in found.losses] == ["/scores/0/method", "/scores/2/method", "/scores/3"]


BACK = {
    "out_class_type": "class_type",
    "out_enrollment_role": "enrollment_role",
    "out_org_type": "org_type",
    "out_resource_importance": "resource_importance",
    "out_resource_role": "role",
    "out_role": "role",
    "out_score_status": "score_status",
    "out_session_type": "session_type",
    "out_sex": "sex",
}


@pytest.mark.parametrize(("out", "back"), BACK.items())
def test_each_word_has_one_code_that_leads_back_to_it(out: str, back: str) -> None:
    codes = MAPPING.codes()
    words = {row.target for row in codes.tables[back].values() if row.target}
    assert set(codes.tables[out]) == words
    assert {word: codes.translate(back, row.target) for word, row in codes.tables[out].items()} == {
        word: word for word in words
    }
    assert set(BACK) == {table for table in codes.tables if table.startswith("out_")}
