"""What an Ed-Fi destination gets of a plan: bodies the standard describes, no word too many, every loss told."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from gateway.connector import Document, Loss
from gateway.mapping import Parties
from gateway.schema.plan import Part, Plan, canonical
from mappings.edfi import MAPPING
from mappings.edfi.outbound import CORE, STATEMENT_LIMIT, EdfiProfile, outbound
from tests.openapi import closed

STANDARDS = {"3.3": "3.3", "4.0": "3.3", "5.0": "5.2", "6.0": "5.2"}
"""Data standard of the API -> the descriptor set it ships with, or the nearest that is published."""
COMPONENTS = {
    "programs": "edFi_program",
    "studentProgramAssociations": "edFi_studentProgramAssociation",
    "interventions": "edFi_intervention",
    "studentInterventionAssociations": "edFi_studentInterventionAssociation",
    "cohorts": "edFi_cohort",
    "studentCohortAssociations": "edFi_studentCohortAssociation",
    "staffCohortAssociations": "edFi_staffCohortAssociation",
}
TEAM = [name for name in COMPONENTS if "ohort" in name]


def entity(n: int) -> str:
    return f"00000000-0000-4000-8000-{n:012d}"


STUDENT, SCHOOL, TEACHER, MOTHER, PRINCIPAL, RESULT = map(entity, range(1, 7))
PARTIES = Parties(
    plan=entity(77), student="0012001", staff={TEACHER: "T-4471"}, settings={"education_organization_id": 990100}
)
DEFAULT = EdfiProfile()
OPTIONS = ("include_staff", "include_need_statements", "include_diagnoses", "include_team")
WIDEST = EdfiProfile(
    participation_status=f"{CORE}/ParticipationStatusDescriptor#Active in Program",
    include_staff=True,
    include_need_statements=True,
    include_diagnoses=True,
    include_team=True,
)
FRIEND = {"name": "planted: Odalys", "side": "partner", "organization": "planted: club", "agreement": "planted: 7"}


def full() -> dict[str, Any]:
    """A plan in which every field is stated somewhere, and every free text begins with `planted`."""
    return {
        "title": "planted: title",
        "language": "eng",
        "student": STUDENT,
        "school": SCHOOL,
        "coordinator": TEACHER,
        "period_start": "2026-09-01",
        "period_end": "2027-05-28",
        "next_review_on": "2026-10-27",
        "tier": "targeted",
        "strengths": [
            {
                "domain": "enrichment",
                "statement": "planted: strength",
                "said_by": "family",
                "as_of": "2026-08-20",
                "evidence": [{"observation": "planted: seen", "on": "2026-08-21", "by": FRIEND}],
                "template": "planted: copied",
            }
        ],
        "interests": [
            {
                "area": "planted: area",
                "statement": "planted: boats",
                "said_by": "student",
                "as_of": "2026-08-20",
                "template": "planted: copied",
            }
        ],
        "needs": [
            {
                "domain": "attendance_engagement",
                "statement": "planted: first need",
                "severity": "high",
                "status": "addressed",
                "evidence": [{"assessment_result": RESULT}],
                "standards": ["https://case.example.org/items/1"],
                "template": "planted: copied",
            },
            {"domain": "mental_health", "statement": "planted: unanswered need"},
            {"domain": "behavior", "statement": "planted: mistaken need", "status": "entered_in_error"},
            {"domain": "physical_health", "statement": "planted: need met at home"},
        ],
        "goals": [
            {
                "domain": "academic",
                "statement": "planted: goal",
                "addresses": ["need-1", "need-3", "interest-1"],
                "baseline": {"measure": "planted: words", "value": "planted: level", "on": "2026-08-20"},
                "targets": [
                    {
                        "measure": "planted: words",
                        "comparator": "more_than",
                        "value": 90,
                        "unit": "planted: a minute",
                        "due_on": "2027-02-01",
                    },
                    {"measure": "planted: level", "value": "planted: fluent", "due_on": "2027-05-01"},
                ],
                "standards": ["https://case.example.org/items/2"],
                "owner": TEACHER,
                "authored_by_role": "student",
                "measure": {"assessment": "planted: test", "score_method": "planted: method"},
                "shareable": True,
                "template": "planted: copied",
                "lifecycle": "active",
                "achievement": "improving",
            },
            {
                "domain": "academic",
                "statement": "planted: goal at home",
                "addresses": ["need-4"],
                "baseline_unknown_until": "2026-10-01",
            },
        ],
        "supports": [
            {
                "name": "planted: group",
                "kind": "counseling",
                "goals": ["goal-1"],
                "setting": "in_school",
                "delivery_method": "small_group",
                "intensity": "intensive",
                "frequency": 3,
                "frequency_interval": "week",
                "duration_minutes": 30,
                "begin_on": "2026-09-07",
                "end_on": "2027-01-29",
                "owner": TEACHER,
                "duration_interval": "per_session",
                "provider_organization": "planted: helpers",
                "providers": [FRIEND],
                "consent": "planted: consent",
                "external_plan": "external-1",
                "status_reason": "planted: why",
                "template": "planted: copied",
                "status": "in_progress",
            },
            {"name": "planted: hour", "kind": "tutoring", "goals": ["goal-1"], "setting": "virtual", "owner": FRIEND},
            {
                "name": "planted: home",
                "kind": "mentoring",
                "goals": ["goal-2"],
                "setting": "home",
                "owner": FRIEND,
                "urgent": {"reason": "planted: urgent", "from_on": "2026-09-01"},
                "end_on": "2026-09-18",
            },
            {"name": "planted: 504", "kind": "section_504_accommodation_ref", "goals": ["goal-1"]},
            {"name": "planted: slip", "kind": "tutoring", "goals": ["goal-1"], "status": "entered_in_error"},
            {"name": "planted: off", "kind": "tutoring", "goals": ["goal-1"], "status": "cancelled"},
        ],
        "team": [
            {
                "who": FRIEND,
                "role": "trusted_adult",
                "begin_on": "2026-09-01",
                "end_on": "2027-05-28",
                "access_basis": "consent",
            }
        ],
        "external_plans": [
            {
                "type": "section_504",
                "system": "planted: system",
                "external_id": "planted: 504-7",
                "status": "active",
                "begin_on": "2026-08-01",
                "end_on": "2027-07-31",
                "review_on": "2027-03-01",
                "owner": TEACHER,
                "conflict_acknowledged": {"by": TEACHER, "on": "2026-08-27", "note": "planted: none"},
            }
        ],
        "documents": [
            {
                "title": "planted: letter",
                "sha256": "b" * 64,
                "media_type": "application/pdf",
                "section": "family",
                "reference": "planted: shelf",
            }
        ],
        "consultations": [
            {
                "held_on": "2026-08-28",
                "mode": "video",
                "participants": [{"who": MOTHER, "role": "parent", "education_rights": "yes"}],
                "language": "planted: language",
                "interpreter_used": True,
                "interpreter": FRIEND,
                "summary": "planted: summary",
                "family_statement": "planted: their words",
                "outcome": "agreed_with_changes",
                "shown_sha256": "a" * 64,
                "changes": [{"item": "planted: item", "told": "planted: told"}],
                "copy_provided_on": "2026-08-30",
            }
        ],
        "attempts": [
            {
                "contact": MOTHER,
                "channel": "letter",
                "on": "2026-08-01",
                "result": "left_message",
                "by": TEACHER,
                "language": "planted: language",
            }
        ],
        "waiver": {
            "reason": "planted: reason",
            "approved_by": PRINCIPAL,
            "approved_on": "2026-08-29",
            "expires_on": "2026-09-29",
        },
        "reviews": [
            {
                "held_on": "2026-10-27",
                "participants": [MOTHER, TEACHER],
                "decision": "adjust",
                "per_goal": [{"goal": "goal-1", "achievement": "improving", "note": "planted: noted"}],
                "next_review_on": "2026-12-20",
            }
        ],
        "translations": [
            {
                "language": "spa",
                "translator": FRIEND,
                "on": "2026-08-26",
                "items": [{"item": "goal-1", "text": "planted: meta", "of_sha256": "c" * 64}],
            }
        ],
    }


SENT = ("planted: group", "planted: hour")
"""The supports that leave; the second has neither begin, end nor minutes of its own."""


def sent(content: dict[str, Any], profile: EdfiProfile = DEFAULT) -> tuple[list[Document], list[Loss]]:
    return outbound(Plan.model_validate(content), PARTIES, profile, MAPPING.codes())


def leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every stated scalar, by JSON pointer."""
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, f"{pointer}/{name}")
    elif value is not None:
        yield pointer, value


def planted(value: Any) -> set[str]:
    """The free text in there, with what stands around it."""
    return {leaf for _, leaf in leaves(value) if isinstance(leaf, str) and "planted" in leaf}


def changed(content: dict[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    """A copy in which one leaf is another."""
    other: dict[str, Any] = json.loads(json.dumps(content))
    *way, last = pointer.strip("/").split("/")
    place: Any = other
    for name in way:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return other


def bodies(documents: list[Document], resource: str) -> list[dict[str, Any]]:
    return [document.body for document in documents if document.resource == resource]


# --- the sample is what it says ------------------------------------------------------------------------------


def parts(value: Any) -> Iterator[Part]:
    if isinstance(value, Part):
        yield value
        for name in type(value).model_fields:
            yield from parts(getattr(value, name))
    for item in value if isinstance(value, list) else ():
        yield from parts(item)


def test_the_sample_states_every_field_and_plants_every_text() -> None:
    stated = {
        (type(part).__name__, name)
        for part in parts(Plan.model_validate(full()))
        for name in type(part).model_fields
        if getattr(part, name) not in (None, [], {})
    }
    schema = Plan.model_json_schema()
    described = {"Plan": schema, **schema["$defs"]}
    assert stated == {(part, name) for part in described for name in described[part]["properties"]}
    free = {
        (part, name)
        for part in described
        for name, property in described[part]["properties"].items()
        for way in [property, *property.get("anyOf", ())]
        if way.get("type") == "string" and not way.keys() & {"enum", "format", "pattern", "const"}
    }
    assert len(free) >= 20
    assert free == {
        (type(part).__name__, name)
        for part in parts(Plan.model_validate(full()))
        for name in type(part).model_fields
        if str(getattr(part, name)).startswith("planted")
    }


# --- the published contract ----------------------------------------------------------------------------------


@cache
def core_values(path: Path) -> frozenset[str]:
    sets = json.loads(path.read_text())
    return frozenset(f"{one['namespace']}#{one['codeValue']}" for codes in sets.values() for one in codes)


@pytest.mark.parametrize("standard", STANDARDS)
@pytest.mark.parametrize("profile", [DEFAULT, WIDEST], ids=["default", "widest"])
def test_every_body_is_one_the_standard_describes(contracts: Path, standard: str, profile: EdfiProfile) -> None:
    document = closed(f"edfi-openapi/resources-ds-{standard}.yaml")
    pulled = frozenset({"students", "parents" if standard < "5" else "contacts"})
    over = changed(full(), "/supports/1/status", "completed")
    over = changed(over, "/supports/0/status", "stopped")
    documents = [
        one
        for content in (full(), over)
        for one in outbound(
            Plan.model_validate(content), replace(PARTIES, collections=pulled), profile, MAPPING.codes()
        )[0]
    ]
    assert {one.resource for one in documents} == set(COMPONENTS) - set(() if profile.include_team else TEAM)
    single = [one for one in documents if "participationStatus" in one.body]
    assert bool(single) is (standard < "5" and profile.participation_status is not None)
    for one in documents:
        schema = {"$ref": f"#/components/schemas/{COMPONENTS[one.resource]}", "components": document["components"]}
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(one.body)


@pytest.mark.parametrize("standard", STANDARDS)
def test_every_code_that_is_sent_by_default_ships_with_the_standard(contracts: Path, standard: str) -> None:
    core = core_values(contracts / "edfi" / "derived" / f"descriptors-{STANDARDS[standard]}.json")
    targets = {
        row.target
        for name, table in MAPPING.codes().tables.items()
        if name.startswith("out_") and not name.startswith("out_ssp_")
        for row in table.values()
        if row.target
    }
    chosen = {value for value in DEFAULT.model_dump().values() if str(value).startswith("uri://")}
    used = {value for one in sent(full())[0] for at, value in leaves(one.body) if at.endswith("Descriptor")}
    assert len(targets) >= 6 and len(chosen) == 5 and used <= targets | chosen
    assert targets | chosen <= core


# --- nothing lost in silence ---------------------------------------------------------------------------------

ANOTHER = {
    "period_start": "2026-09-02",
    "period_end": "2027-05-27",
    "kind": "other",
    "delivery_method": "whole_class",
    "duration_minutes": 31,
    "begin_on": "2026-09-08",
    "end_on": "2027-01-30",
    "owner": None,
    "statement": "planted: another need",
    "domain": "academic",
}
"""What is sent, when it is: another value of it must make another document."""


def is_bookkeeping(pointer: str) -> bool:
    """Names of items and their counters, and the student, whom the destination knows by a number of its own."""
    return pointer == "/student" or pointer.endswith("/id") or pointer.startswith("/numbered/")


@pytest.mark.parametrize("on", list(product([False, True], repeat=len(OPTIONS))), ids=str)
def test_what_is_stated_is_sent_or_reported(on: tuple[bool, ...]) -> None:
    profile = EdfiProfile.model_validate(dict(zip(OPTIONS, on, strict=True)))
    content = json.loads(Plan.model_validate(full()).model_dump_json())
    documents, losses = sent(content, profile)
    lost = [loss.pointer for loss in losses]
    assert len(set(lost)) == len(lost)
    here = {pointer for pointer, _ in leaves(content) if not is_bookkeeping(pointer)}
    for pointer in lost:
        assert any(leaf == pointer or leaf.startswith(f"{pointer}/") for leaf in here), f"{pointer} is not stated"
    reported = {leaf for leaf in here for pointer in lost if leaf == pointer or leaf.startswith(f"{pointer}/")}
    assert {leaf.rpartition("/")[2] for leaf in here - reported} <= ANOTHER.keys()
    for leaf in here - reported:
        other, _ = sent(changed(content, leaf, ANOTHER[leaf.rpartition("/")[2]]), profile)
        assert other != documents, f"{leaf} is neither sent nor reported"


def test_a_loss_says_whether_it_could_have_been_sent() -> None:
    kinds = {loss.pointer: loss.kind for loss in sent(full())[1]}
    withheld = {pointer for pointer, kind in kinds.items() if kind == "withheld"}
    assert withheld == {
        *(f"/needs/{n}/{part}" for n in range(4) for part in ("statement", "domain")),
        *(f"/supports/{n}/{part}" for n in range(2) for part in ("name", "owner")),
        *(f"/supports/{n}" for n in range(2, 6)),
        "/team/0",
    }
    widest = {loss.pointer: loss.kind for loss in sent(full(), WIDEST)[1]}
    assert "/needs/0/statement" not in widest and "/supports/0/owner" not in widest
    assert widest["/needs/1/statement"] == widest["/supports/1/owner"] == widest["/goals/0"] == "cannot"


def test_a_reason_quotes_nothing_of_the_plan() -> None:
    for profile in (DEFAULT, WIDEST):
        for loss in sent(full(), profile)[1]:
            assert loss.reason and "planted" not in loss.reason


# --- no word too many ----------------------------------------------------------------------------------------

PLAIN = {
    "programs": {"educationOrganizationReference", "programName", "programTypeDescriptor"},
    "studentProgramAssociations": {
        "studentReference",
        "educationOrganizationReference",
        "programReference",
        "beginDate",
        "endDate",
        "services",
    },
    "interventions": {
        "interventionIdentificationCode",
        "educationOrganizationReference",
        "beginDate",
        "endDate",
        "deliveryMethodDescriptor",
        "interventionClassDescriptor",
        "minDosage",
        "maxDosage",
    },
    "studentInterventionAssociations": {"interventionReference", "studentReference", "dosage"},
}
"""Participation, type of support, dates and minutes: what leaves when nobody chose more."""


def test_by_default_no_free_text_leaves_and_each_is_reported() -> None:
    content = full()
    documents, losses = sent(content)
    assert planted(content) and not planted([[one.key, one.body] for one in documents])
    for resource, names in PLAIN.items():
        assert {name for body in bodies(documents, resource) for name in body} == names
    lost = tuple(loss.pointer for loss in losses)
    for pointer, value in leaves(content):
        if isinstance(value, str) and value in planted(content):
            assert any(pointer == one or pointer.startswith(f"{one}/") for one in lost), pointer
    assert MOTHER not in str(documents) and TEACHER not in str(documents) and "T-4471" not in str(documents)


def added(profile: EdfiProfile) -> dict[str, Any]:
    """What a profile adds to the documents of the default one, by resource, place and property; not the team's own."""
    before, after = sent(full())[0], [one for one in sent(full(), profile)[0] if one.resource not in TEAM]
    assert [(one.resource, one.key) for one in before] == [(one.resource, one.key) for one in after]
    found: dict[str, Any] = {}
    for n, (one, other) in enumerate(zip(before, after, strict=True)):
        assert one.body.items() <= other.body.items()
        found |= {f"{one.resource}/{n}/{name}": other.body[name] for name in other.body.keys() - one.body.keys()}
    return found


def test_an_option_adds_what_it_names_and_nothing_else() -> None:
    # 0 the program, 1 the participation, then each support's intervention and the student's part in it
    status, low = WIDEST.participation_status, f"{CORE}/DiagnosisDescriptor#Low Attendance"
    staff = {"interventions/2/staffs": [{"staffReference": {"staffUniqueId": "T-4471"}}]}
    diagnoses = {f"interventions/{n}/diagnoses": [{"diagnosisDescriptor": low}] for n in (2, 4)}
    words = "planted: first need"
    statements = {f"studentInterventionAssociations/{n}/diagnosticStatement": words for n in (3, 5)}
    begun = {
        "participationStatusDescriptor": status,
        "statusBeginDate": "2026-09-01",
        "designatedBy": "Planbridge",
    }
    taking_part = {"studentProgramAssociations/1/programParticipationStatuses": [begun]}
    assert added(EdfiProfile(include_staff=True)) == staff
    assert added(EdfiProfile(include_diagnoses=True)) == diagnoses
    assert added(EdfiProfile(include_need_statements=True)) == statements
    assert added(EdfiProfile(participation_status=status)) == taking_part
    assert added(WIDEST) == staff | diagnoses | statements | taking_part
    assert planted([one.body for one in sent(full(), WIDEST)[0]]) == {words}


def test_the_program_is_made_where_missing_only_if_that_is_wanted() -> None:
    first, *others = sent(full())[0]
    assert (first.resource, first.create_only) == ("programs", True)
    participation, *rest = sent(full(), EdfiProfile(create_program=False))[0]
    assert participation.after == () and others[0].after == (first.name,)
    assert [participation.body, *rest] == [others[0].body, *others[1:]]
    assert not any(one.create_only for one in others)


def test_a_text_over_the_limit_is_a_loss_and_never_cut() -> None:
    profile = EdfiProfile(include_need_statements=True)
    for length, fits in ((STATEMENT_LIMIT, True), (STATEMENT_LIMIT + 1, False)):
        content = changed(full(), "/needs/0/statement", "n" * length)
        documents, losses = sent(content, profile)
        there = [body.get("diagnosticStatement") for body in bodies(documents, "studentInterventionAssociations")]
        assert there == (["n" * length] * 2 if fits else [None, None])
        assert ("/needs/0/statement" in {loss.pointer for loss in losses}) is not fits


def test_needs_that_fit_one_by_one_but_not_together_are_a_loss_too() -> None:
    content = changed(full(), "/goals/0/addresses", ["need-1", "need-2"])
    for n in (0, 1):
        content = changed(content, f"/needs/{n}/statement", "n" * (STATEMENT_LIMIT // 2))
    documents, losses = sent(content, EdfiProfile(include_need_statements=True))
    assert not [one for one in documents if "diagnosticStatement" in one.body]
    assert {"/needs/0/statement", "/needs/1/statement"} <= {loss.pointer for loss in losses}


# --- the team and the end ---------------------------------------------------------------------------------------


def test_a_team_is_a_cohort_of_one_student_with_the_staff_of_it() -> None:
    content = full()
    content["team"] += [
        {"who": TEACHER, "role": "teacher"},
        {"who": PRINCIPAL, "role": "administrator"},
        {"who": STUDENT, "role": "student"},
    ]
    parties = replace(PARTIES, staff={TEACHER: "T-4471", PRINCIPAL: "T-1", STUDENT: "0012001"})
    plan, profile = Plan.model_validate(content), EdfiProfile(include_team=True)
    documents, losses = outbound(plan, parties, profile, MAPPING.codes())
    [cohort], [student] = bodies(documents, "cohorts"), bodies(documents, "studentCohortAssociations")
    # 20 characters are what Data Standards 3.3 and 4.0 take.
    assert len(cohort["cohortIdentifier"]) == 20 and entity(77) not in str(documents)
    assert (student["beginDate"], student["endDate"]) == ("2026-09-01", "2027-05-28")
    staff = bodies(documents, "staffCohortAssociations")
    assert [one["staffReference"]["staffUniqueId"] for one in staff] == ["T-4471", "T-1"]
    told = {loss.pointer: loss.kind for loss in losses if loss.pointer.startswith("/team")}
    assert told == {"/team/0": "cannot", "/team/1/role": "cannot", "/team/2/role": "cannot", "/team/3": "cannot"}


def test_a_plan_that_is_over_ends_with_a_reason_and_so_does_all_of_it() -> None:
    content = full() | {"period_end": "2026-12-18"}
    participation, *_ = bodies(sent(content, WIDEST)[0], "studentProgramAssociations")
    assert participation["endDate"] == "2026-12-18" and "reasonExitedDescriptor" not in participation
    for support in content["supports"]:
        support["status"] = "completed"
    documents = sent(content, WIDEST)[0]
    participation, *_ = bodies(documents, "studentProgramAssociations")
    assert participation["reasonExitedDescriptor"] == f"{CORE}/ReasonExitedDescriptor#Other"
    assert participation["programParticipationStatuses"][0]["statusEndDate"] == "2026-12-18"
    assert {one["serviceEndDate"] for one in participation["services"]} == {"2026-12-18"}
    assert {one["endDate"] for one in bodies(documents, "interventions")} == {"2026-12-18"}
    without = sent(content, EdfiProfile(reason_exited=None))[0]
    assert "reasonExitedDescriptor" not in str([one.body for one in without])


# --- the same object for ever --------------------------------------------------------------------------------


def names(documents: list[Document]) -> list[tuple[str, str]]:
    return [(one.resource, one.identity) for one in documents]


@pytest.mark.parametrize("profile", [DEFAULT, WIDEST], ids=["default", "widest"])
def test_the_same_plan_gives_the_same_documents(profile: EdfiProfile) -> None:
    plan = Plan.model_validate(full())
    again = json.loads(canonical(plan))
    backwards = {name: again[name] for name in reversed(list(again))}
    assert sent(full(), profile) == sent(again, profile) == sent(backwards, profile)


def test_keys_hold_nothing_of_what_the_plan_says() -> None:
    documents = sent(full(), WIDEST)[0]
    assert not planted([one.key for one in documents])
    reworded = json.loads(json.dumps(full()).replace("planted: ", "quite another "))
    assert names(sent(reworded, WIDEST)[0]) == names(documents)
    codes = [body["interventionIdentificationCode"] for body in bodies(documents, "interventions")]
    assert len(set(codes)) == len(SENT) and all(len(code) <= 60 for code in codes)
    assert not any(known in code for code in codes for known in (PARTIES.plan, PARTIES.student, STUDENT))


def test_a_support_keeps_its_key_whatever_happens_to_the_others() -> None:
    content = json.loads(Plan.model_validate(full()).model_dump_json())
    first, second = bodies(sent(content)[0], "interventions")
    content["supports"] = [content["supports"][1]]
    assert bodies(sent(content)[0], "interventions") == [second]
    content["supports"].append({"name": "planted: new", "kind": "tutoring", "goals": ["goal-1"]})
    _, new = (body["interventionIdentificationCode"] for body in bodies(sent(content)[0], "interventions"))
    assert new not in (first["interventionIdentificationCode"], second["interventionIdentificationCode"])


def test_another_plan_has_other_keys() -> None:
    other = Parties(entity(78), PARTIES.student, PARTIES.staff, PARTIES.settings)
    documents, _ = outbound(Plan.model_validate(full()), other, DEFAULT, MAPPING.codes())
    codes = [{body["interventionIdentificationCode"] for body in bodies(one, "interventions")}
             for one in (documents, sent(full())[0])]  # fmt: skip
    assert codes[0].isdisjoint(codes[1])


# --- what a support says -------------------------------------------------------------------------------------


def test_dates_minutes_and_method_are_the_supports_own_or_the_plans() -> None:
    first, second = bodies(sent(full())[0], "interventions")
    assert (first["beginDate"], first["endDate"]) == ("2026-09-07", "2027-01-29")
    assert (second["beginDate"], second["endDate"]) == ("2026-09-01", "2027-05-28")
    assert (first["minDosage"], first["maxDosage"]) == (30, 30) and "minDosage" not in second
    methods = [body["deliveryMethodDescriptor"].rpartition("#")[2] for body in (first, second)]
    assert methods == ["Small Group", "Individual"]


def test_each_service_is_named_once_from_its_first_day() -> None:
    content = full()
    content["supports"].append({"name": "planted: more", "kind": "counseling", "begin_on": "2026-09-03"})
    [participation] = bodies(sent(content)[0], "studentProgramAssociations")
    service = f"{CORE}/ServiceDescriptor#Counseling services"
    assert participation["services"] == [{"serviceDescriptor": service, "serviceBeginDate": "2026-09-03"}]


@pytest.mark.parametrize("setting", ["in_school", "virtual", "hospital_homebound"])
def test_what_the_school_gives_is_sent_wherever_it_is_given(setting: str) -> None:
    assert len(bodies(sent(changed(full(), "/supports/0/setting", setting))[0], "interventions")) == 2


@pytest.mark.parametrize("setting", ["out_of_school_program", "home", "community"])
def test_what_others_give_outside_school_stays_here(setting: str) -> None:
    documents, losses = sent(changed(full(), "/supports/0/setting", setting))
    assert len(bodies(documents, "interventions")) == 1
    assert ("/supports/0", "withheld") in {(loss.pointer, loss.kind) for loss in losses}


def test_a_cancelled_support_with_a_last_day_is_ended_at_the_destination() -> None:
    content = changed(full(), "/supports/5/end_on", "2026-10-01")
    *_, last = bodies(sent(content)[0], "interventions")
    assert last["endDate"] == "2026-10-01"


# --- who they are, and the mark ------------------------------------------------------------------------------


def test_people_are_named_by_the_number_in_the_destinations_own_key() -> None:
    keyed = replace(PARTIES, student=r"student/00\|12", staff={TEACHER: r"staff/T\\44"})
    documents, _ = outbound(Plan.model_validate(full()), keyed, EdfiProfile(include_team=True), MAPPING.codes())
    [participation] = bodies(documents, "studentProgramAssociations")
    assert participation["studentReference"] == {"studentUniqueId": "00|12"}
    [of_staff] = bodies(documents, "staffCohortAssociations")
    assert of_staff["staffReference"] == {"staffUniqueId": "T\\44"}


def marked(today: str, **parties: Any) -> tuple[Document, list[Document]]:
    """The mark of the plan on a day, and what is sent with it."""
    seen = replace(PARTIES, today=date.fromisoformat(today), **parties)
    documents, _ = outbound(Plan.model_validate(full()), seen, EdfiProfile(mark_enrollment=True), MAPPING.codes())
    [mark] = [one for one in documents if one.resource == "studentSchoolAssociations"]
    return mark, [one for one in documents if one is not mark]


def test_the_mark_is_merged_last_and_only_while_the_plan_lasts() -> None:
    value = {"educationPlanDescriptor": f"{CORE}/EducationPlanDescriptor#Student Success Plan"}
    mark, others = marked("2027-05-27", school="990101")
    assert mark.merge and mark.after == tuple(one.name for one in others), "it says that the rest is there"
    assert mark.body == {
        "studentReference": {"studentUniqueId": PARTIES.student},
        "schoolReference": {"schoolId": 990101},
        "educationPlans": [value],
    }
    over, _ = marked("2027-05-28", school="990101")
    assert over.body == mark.body | {"educationPlans": []} and over.identity == mark.identity
    assert "schoolReference" not in marked("2027-05-27", school="a school")[0].body
    assert marked("2027-05-27", plan=entity(78))[0].identity != mark.identity, "each plan of a student has its own"
    assert not [one for one in sent(full(), WIDEST)[0] if one.resource == "studentSchoolAssociations"]
