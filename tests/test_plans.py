"""Plans: what a document may say, which step its guards allow, and that no path leads round them."""

import copy
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from gateway import plans
from gateway.errors import Refused
from gateway.plan_guards import ConsentFacts
from gateway.plans import Facts, PersonFacts, RelationshipFacts, State
from gateway.schema.plan import VERSION, Plan, canonical, published, sha256, shown, shown_items, texts

TODAY = date(2026, 3, 2)
FINALIZING = ["G1", "G2a", "G2b", "G2c", "G2d", "G2e", "G2f", "G2g", "G2h"]


def entity(n: int) -> str:
    return f"00000000-0000-4000-8000-{n:012d}"


STUDENT, SCHOOL, TEACHER, PRINCIPAL, GONE, MOTHER, FATHER, AUNT, STRANGER, RESULT = map(entity, range(1, 11))
AWAY, DISTRICT = entity(11), entity(12)


def whole() -> dict[str, Any]:
    """A plan that may be finalized, as JSON; the consultation says nothing of fingerprints or changes."""
    return {
        "student": STUDENT,
        "school": SCHOOL,
        "coordinator": TEACHER,
        "period_start": "2026-03-09",
        "next_review_on": "2026-04-27",
        "strengths": [{"statement": "Explains mazes to others."}],
        "needs": [
            {"domain": "academic", "statement": "Reads slowly.", "evidence": [{"assessment_result": RESULT}]},
            {"domain": "enrichment", "statement": "Wants a stage.", "evidence": [{"observation": "Sings."}]},
        ],
        "goals": [
            {
                "domain": "academic",
                "statement": "Reads 90 words a minute.",
                "addresses": ["need-1"],
                "baseline": {"measure": "words a minute", "value": 61, "on": "2026-02-20"},
                "targets": [{"measure": "words a minute", "value": 90, "due_on": "2026-06-01"}],
            }
        ],
        "supports": [{"name": "Reading hour", "kind": "tutoring", "goals": ["goal-1"], "owner": TEACHER}],
        "team": [{"who": TEACHER, "role": "teacher"}, {"who": MOTHER, "role": "guardian"}],
        "consultations": [{"held_on": "2026-02-27", "participants": [{"who": MOTHER}], "outcome": "agreed"}],
    }


def known(plan: Plan, **other: Any) -> Facts:
    """What the roster says, and that the plan as it is was put before the family."""
    facts = Facts(
        today=TODAY,
        enrolled_at=frozenset({SCHOOL}),
        reach=frozenset({SCHOOL, DISTRICT}),
        open_identity=False,
        people={
            STUDENT: PersonFacts("student", True, False, False, date(2014, 5, 1)),
            TEACHER: PersonFacts("staff", True, True, False, at=frozenset({SCHOOL})),
            PRINCIPAL: PersonFacts("staff", True, True, True, at=frozenset({DISTRICT})),
            AWAY: PersonFacts("staff", True, True, True, at=frozenset({entity(98)})),
            GONE: PersonFacts("staff", False, True, True, at=frozenset({SCHOOL})),
            MOTHER: PersonFacts("contact", True, False, False),
            AUNT: PersonFacts("contact", True, False, False),
            STRANGER: PersonFacts("contact", True, False, False),
        },
        relationships=[
            RelationshipFacts(MOTHER, "yes", True, False),
            RelationshipFacts(FATHER, "no", True, True),
            RelationshipFacts(FATHER, "yes", True, False),  # another source says otherwise
            RelationshipFacts(AUNT, "unknown", False, False),
        ],
        results=frozenset({RESULT}),
        shown={sha256(shown(plan)): shown_items(plan)},
        consents=permitted("identity", "school_supports", "outside_supports"),
    )
    return replace(facts, **other)


CONSENT = "Form of 2 March"


def permitted(*sections: str, to: str = "organization:Lantern Club") -> dict[str, list[ConsentFacts]]:
    """A consent that holds today."""
    return {CONSENT: [ConsentFacts(to, frozenset(sections))]}


def put(content: dict[str, Any], pointer: str, value: Any) -> None:
    """Set what a JSON pointer names; a list takes a new item at `-`."""
    *way, last = pointer.strip("/").split("/")
    place: Any = content
    for name in way:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if isinstance(place, list):
        place.append(value) if last == "-" else place.__setitem__(int(last), value)
    else:
        place[last] = value


def missing(content: dict[str, Any], wanted: plans.Step = "finalize", **other: Any) -> dict[str, tuple[str, ...]]:
    """The guards that fail, and where."""
    plan = Plan.model_validate(content)
    return {r.code: r.missing for r in plans.check(plan, wanted, known(plan, **other)) if not r.ok}


def test_a_whole_plan_passes_every_guard() -> None:
    assert missing(whole(), "consult") == {}
    assert missing(whole()) == {}
    plan = Plan.model_validate(whole())
    assert [r.code for r in plans.check(plan, "finalize", known(plan))] == FINALIZING


PARTNER = {"name": "Odalys Fernweh", "side": "partner", "organization": "Lantern Club", "agreement": "2026/14"}
RED: list[tuple[str, Any, str, tuple[str, ...]]] = [
    ("/strengths", [], "G1", ("/strengths",)),
    ("/needs/0/evidence", [], "G1", ("/needs/0/evidence",)),
    ("/needs/0/evidence/0/assessment_result", entity(99), "G1", ("/needs/0/evidence/0",)),
    ("/needs/0/status", "entered_in_error", "G1", ("/goals/0/addresses",)),
    ("/goals/0/addresses", [], "G1", ("/goals/0/addresses",)),
    ("/goals/0/addresses", ["need-1", "need-9"], "G1", ("/goals/0/addresses",)),
    ("/goals/0/baseline", None, "G1", ("/goals/0/baseline",)),
    ("/goals/0/targets", [], "G1", ("/goals/0/targets",)),
    ("/supports/0/goals", [], "G1", ("/supports/0/goals",)),
    ("/supports/0/goals", ["goal-2"], "G1", ("/supports/0/goals",)),
    ("/supports/0/goals", ["goal-1", "goal-2"], "G1", ("/supports/0/goals",)),
    ("/consultations", [], "G2a", ("/consultations",)),
    ("/supports/0/owner", None, "G2b", ("/supports/0/owner",)),
    ("/supports/0/owner", GONE, "G2b", ("/supports/0/owner",)),
    ("/supports/0/owner", entity(99), "G2b", ("/supports/0/owner",)),
    ("/supports/0/setting", "community", "G2b", ("/supports/0/owner",)),
    ("/next_review_on", None, "G2c", ("/next_review_on",)),
    ("/next_review_on", "2026-03-02", "G2c", ("/next_review_on",)),
    ("/next_review_on", "2027-03-04", "G2c", ("/next_review_on",)),
    ("/coordinator", None, "G2d", ("/coordinator",)),
    ("/coordinator", GONE, "G2d", ("/coordinator",)),
    ("/coordinator", MOTHER, "G2d", ("/coordinator",)),
    ("/coordinator", AWAY, "G2d", ("/coordinator",)),
    ("/team/-", {"who": FATHER, "role": "guardian"}, "G2d", ("/team/2/who",)),
    ("/school", entity(99), "G2e", ("/school",)),
    ("/supports/0/provider_organization", "Lantern Club", "G2f", ("/supports/0/consent",)),
    ("/supports/0/providers", [{"name": "Odalys Fernweh", "side": "partner", "agreement": "2026/14"}], "G2f",
     ("/supports/0/consent",)),
    ("/supports/0/external_plan", "external-9", "G2g", ("/supports/0/external_plan",)),
    ("/external_plans", [{"type": "iep", "system": "SEIS", "external_id": "77"}], "G2g",
     ("/external_plans/0/conflict_acknowledged",)),
    ("/strengths/0/template", "Reading pack", "G2h", ("/strengths/0/template",)),
    ("/goals/0/template", "Reading pack", "G2h", ("/goals/0/template",)),
    ("/supports/0/template", "Reading pack", "G2h", ("/supports/0/template",)),
]  # fmt: skip


@pytest.mark.parametrize(("pointer", "value", "code", "where"), RED, ids=[f"{c}{p}={v}"[:60] for p, v, c, _ in RED])
def test_a_guard_names_what_is_missing(pointer: str, value: Any, code: str, where: tuple[str, ...]) -> None:
    content = whole()
    put(content, pointer, value)
    assert missing(content) == {code: where}


GREEN: list[tuple[str, Any]] = [
    ("/supports/0/owner", {"name": "Nana Quill", "side": "family"}),
    ("/supports/0/owner", MOTHER),
    ("/coordinator", PRINCIPAL),
    ("/supports/-", {"name": "Old", "kind": "tutoring", "goals": ["goal-1"], "status": "cancelled"}),
    ("/next_review_on", "2026-03-03"),
    ("/next_review_on", "2027-03-03"),
    ("/needs/1/status", "entered_in_error"),
    ("/goals/0", {"domain": "academic", "statement": "Reads.", "addresses": ["need-1"], "baseline_unknown_until":
                  "2026-04-01", "targets": [{"measure": "level", "value": "fluent", "due_on": "2026-06-01"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("pointer", "value"), GREEN)
def test_a_guard_asks_no_more_than_its_rule(pointer: str, value: Any) -> None:
    content = whole()
    put(content, pointer, value)
    assert missing(content) == {}


def test_a_plan_of_deficits_does_not_leave_draft_and_an_interest_will_do() -> None:
    content = whole() | {"strengths": [], "needs": [], "goals": [], "supports": []}
    assert missing(content, "consult") == {"G1": ("/strengths", "/needs")}
    content |= {"strengths": [{"statement": "Sings."}], "interests": [{"statement": "Boats."}]}
    assert missing(content, "consult") == {}


def test_outside_school_the_family_or_a_bound_partner_answers() -> None:
    family = {"name": "Nana", "side": "family"}
    unbound = PARTNER | {"agreement": None}
    for owner, ok in ((TEACHER, False), (unbound, False), (MOTHER, True), (PARTNER, True), (family, True)):
        content = whole()
        put(content, "/supports/0/setting", "home")
        put(content, "/supports/0/owner", owner)
        put(content, "/supports/0/consent", CONSENT)
        assert (missing(content) == {}) is ok, owner


def test_a_partner_gives_a_support_with_a_consent_that_holds() -> None:
    content = whole()
    content["supports"][0] |= {"owner": PARTNER}
    lacking = {"G2f": ("/supports/0/consent",)}
    assert missing(content) == lacking
    content["supports"][0] |= {"consent": CONSENT, "providers": [PARTNER | {"agreement": None}]}
    assert missing(content) == {"G2f": ("/supports/0/providers/0/agreement",)}
    content["supports"][0] |= {"providers": [PARTNER, TEACHER, {"name": "Nana", "side": "family"}]}
    assert missing(content) == missing(content, consents=permitted("identity", "school_supports")) == {}
    content["supports"][0] |= {"status": "stopped", "consent": None}
    assert missing(content) == {}


def test_a_consent_names_who_gives_the_support_and_lets_them_see_it() -> None:
    """Not any reference will do: not of nothing, not another's, not one for something else."""
    content, lacking = whole(), {"G2f": ("/supports/0/consent",)}
    content["supports"][0] |= {"owner": PARTNER, "consent": CONSENT}
    whole_of_it = ("identity", "school_supports", "outside_supports")
    for consents in (
        {},
        {"another": permitted(*whole_of_it)[CONSENT]},
        permitted(*whole_of_it, to="organization:Fern Club"),
        permitted(*whole_of_it, to="program:Lantern Club"),
        permitted("school_supports", "goals"),
        permitted("identity", "outside_supports"),
    ):
        assert missing(content, consents=consents) == lacking
    assert missing(content, consents=permitted("identity", "school_supports", to="organization:lantern club")) == {}
    put(content, "/supports/0/setting", "community")
    assert missing(content, consents=permitted("identity", "school_supports")) == lacking
    assert missing(content, consents=permitted("identity", "outside_supports")) == {}
    # Two that give it together are both named, be it on one paper.
    put(content, "/supports/0/provider_organization", "Fern Club")
    assert missing(content) == lacking
    both = permitted(*whole_of_it)[CONSENT] + permitted(*whole_of_it, to="organization:Fern Club")[CONSENT]
    assert missing(content, consents={CONSENT: both}) == {}


def test_a_plan_kept_elsewhere_is_pointed_to_and_compared() -> None:
    """E13: two plans that name different owners for the same service are a conflict."""
    content = whole()
    for status, type in (("disability", "iep"), ("section_504", "section_504")):
        programs = {"programs": frozenset({status, "english_learner"})}
        assert missing(content | {"external_plans": []}, **programs) == {"G2g": ("/external_plans",)}
        kept = {"type": type, "system": "SEIS", "external_id": "77"}
        assert missing(content | {"external_plans": [kept | {"status": "ended"}]}, **programs) == {
            "G2g": ("/external_plans",)
        }
        seen = kept | {"conflict_acknowledged": {"by": TEACHER, "on": "2026-03-01"}}
        assert missing(content | {"external_plans": [seen]}, **programs) == {}
    content["external_plans"] = [{"type": "learning_plan", "system": "MyPath", "external_id": "8", "owner": PRINCIPAL}]
    assert missing(content) == {}
    content["supports"][0]["external_plan"] = "external-1"
    assert plans.conflicts(Plan.model_validate(content)) == [("support-1", "external-1")]
    assert missing(content) == {"G2g": ("/external_plans/0/conflict_acknowledged",)}
    content["external_plans"][0]["owner"] = TEACHER
    assert missing(content) == {}


def test_what_is_amiss_with_the_students_data_is_in_the_way() -> None:
    assert missing(whole(), flagged=frozenset({STUDENT})) == {"G2h": ("/student",)}
    assert missing(whole(), flagged=frozenset({MOTHER})) == {}


def speaking(plan: Plan, *languages: str) -> dict[str, Any]:
    people = known(plan).people
    return {"people": {**people, MOTHER: replace(people[MOTHER], languages=languages)}}


def test_who_has_another_language_is_consulted_with_an_interpreter_or_a_translation() -> None:
    content = whole()
    plan = Plan.model_validate(content)
    lacking = {"G2a": ("/consultations/0/interpreter",)}
    assert missing(content, **speaking(plan, "spa")) == lacking
    assert missing(content, **speaking(plan, "spa", "eng")) == {}
    assert missing(content | {"language": "spa"}, **speaking(plan, "spa")) == {}
    assert missing(content, **speaking(plan)) == {}
    meeting = content["consultations"][0]
    for said, ok in (("es", False), ("spa", False), ("en-US", True), ("eng", True)):
        assert (missing({**content, "consultations": [meeting | {"language": said}]}) == {}) is ok, said
    for there in (
        {"interpreter": {"name": "Ines", "side": "partner"}},
        {"interpreter_used": True},
        {"participants": [{"who": MOTHER}, {"who": PRINCIPAL, "role": "interpreter"}]},
    ):
        assert missing({**content, "consultations": [meeting | there]}, **speaking(plan, "spa")) == {}


def test_a_translation_counts_as_long_as_it_is_of_the_words_that_stand() -> None:
    content = whole()
    words = texts(Plan.model_validate(content))
    lines = [
        {"item": item, "text": "En otras palabras.", "of_sha256": sha256(words[item].encode())}
        for item in ("goal-1", "support-1")
    ]
    made = {"language": "spa", "translator": {"name": "Ines", "side": "partner"}, "on": "2026-02-26", "items": lines}
    content["translations"] = [made]
    plan = Plan.model_validate(content)
    lacking = {"G2a": ("/consultations/0/interpreter",)}
    assert missing(content, **speaking(plan, "spa")) == {}
    assert missing(content, **speaking(plan, "vie")) == lacking
    assert missing({**content, "translations": [made | {"items": lines[:1]}]}, **speaking(plan, "spa")) == lacking
    put(content, "/goals/0/statement", "Reads 95 words a minute.")
    assert missing(content, **speaking(plan, "spa")) == lacking
    put(content, "/consultations/0/changes", [{"item": "goal-1"}])  # told at the meeting
    assert missing(content, **speaking(plan, "spa")) == {}


def test_what_the_school_does_for_itself_is_no_change_to_what_was_shown() -> None:
    content = whole()
    content["goals"][0]["template"] = "Reading pack"
    content["external_plans"] = [{"type": "iep", "system": "SEIS", "external_id": "77"}]
    before = Plan.model_validate(content)
    del content["goals"][0]["template"]
    put(content, "/external_plans/0/conflict_acknowledged", {"by": TEACHER, "on": "2026-03-01"})
    content["reviews"] = [{"held_on": "2026-03-01", "decision": "continue"}]
    content["translations"] = [
        {"language": "spa", "translator": {"name": "Ines", "side": "partner"}, "on": "2026-03-01"}
    ]
    assert missing(content, shown={sha256(shown(before)): shown_items(before)}) == {}


def test_who_is_kept_from_the_student_owns_no_support() -> None:
    content = whole()
    put(content, "/supports/0/owner", FATHER)
    people = known(Plan.model_validate(content)).people
    father = {FATHER: PersonFacts("contact", True, False, False)}
    assert missing(content, people={**people, **father}) == {"G2d": ("/supports/0/owner",)}


def test_the_student_must_be_certain() -> None:
    assert missing(whole(), open_identity=True) == {"G2e": ("/student",)}
    assert missing(whole(), enrolled_at=frozenset()) == {"G2e": ("/school",)}
    assert "/student" in missing(whole(), people={})["G2e"]


# --- G2a: with whom, on what ------------------------------------------------------------------------------------

NAMED = {"name": "Imre Halloway", "side": "family"}
WITH: list[tuple[list[dict[str, Any]], bool]] = [
    ([{"who": MOTHER}], True),
    ([{"who": MOTHER, "education_rights": "no"}], False),  # the district's own entry
    ([{"who": FATHER, "role": "parent"}], False),
    ([{"who": FATHER, "role": "relative"}], False),
    ([{"who": FATHER, "role": "relative", "education_rights": "yes"}], False),
    ([{"who": FATHER, "role": "partner"}], False),
    ([{"who": MOTHER}, {"who": FATHER}], False),
    ([{"who": AUNT}], False),
    ([{"who": AUNT, "role": "guardian"}], True),
    ([{"who": AUNT, "education_rights": "yes"}], True),
    ([{"who": STRANGER, "role": "parent", "education_rights": "yes"}], False),  # no contact of this student
    ([{"who": TEACHER, "role": "parent"}], False),
    ([{"who": NAMED}], False),
    ([{"who": NAMED, "role": "parent"}], True),
    ([{"who": NAMED, "role": "guardian", "education_rights": "no"}], False),
    ([{"who": NAMED, "role": "relative", "education_rights": "yes"}], True),
    ([{"who": PARTNER, "role": "guardian", "education_rights": "yes"}], False),
    ([{"who": STUDENT}], False),
    ([{"who": MOTHER}, {"who": TEACHER, "role": "educator", "education_rights": "no"}], True),
    ([{"who": TEACHER, "role": "educator"}], False),
    ([], False),
]


@pytest.mark.parametrize(("participants", "counts"), WITH)
def test_with_whom_a_consultation_counts(participants: list[dict[str, Any]], counts: bool) -> None:
    content = whole()
    put(content, "/consultations/0/participants", participants)
    assert missing(content) == ({} if counts else {"G2a": ("/consultations/0/participants",)})


def test_an_eligible_student_is_eighteen_on_the_day_of_the_meeting() -> None:
    content = whole()
    put(content, "/consultations/0/participants", [{"who": STUDENT}])
    people = known(Plan.model_validate(content)).people
    for born, ok in ((date(2008, 2, 27), True), (date(2008, 2, 28), False), (None, False)):
        student = PersonFacts("student", True, False, False, born)
        assert (missing(content, people={**people, STUDENT: student}) == {}) is ok


def test_at_eighteen_the_rights_are_the_students_unless_the_district_has_it_otherwise() -> None:
    content = whole()
    people = known(Plan.model_validate(content)).people
    grown = {"people": {**people, STUDENT: replace(people[STUDENT], born=date(2008, 2, 27))}}
    for participants, ok in (
        ([{"who": MOTHER}], False),
        ([{"who": MOTHER, "education_rights": "yes"}], True),
        ([{"who": MOTHER}, {"who": STUDENT}], True),
    ):
        put(content, "/consultations/0/participants", participants)
        assert (missing(content, **grown) == {}) is ok


def test_that_nobody_knew_of_somebodys_rights_stands_with_the_version() -> None:
    content = whole()
    put(content, "/consultations/0/participants", [{"who": MOTHER}, {"who": AUNT, "role": "guardian"}])
    plan = Plan.model_validate(content)
    report = {result.code: result for result in plans.check(plan, "finalize", known(plan))}
    assert report["G2a"].ok and report["G2a"].notes == ("/consultations/0/participants/1/education_rights",)
    version = plans.finalized(plan, datetime(2026, 3, 2, tzinfo=UTC), {}, list(report.values()))
    assert version.guard_report[1]["notes"] == report["G2a"].notes


def test_a_consultation_is_held_and_not_declined_or_to_come() -> None:
    for field, value in (("held_on", "2026-03-03"), ("outcome", "declined_to_participate")):
        content = whole()
        put(content, f"/consultations/0/{field}", value)
        assert missing(content) == {"G2a": (f"/consultations/0/{field}",)}
    for outcome in ("disagreed", "agreed_with_changes"):
        content = whole()
        put(content, "/consultations/0/outcome", outcome)
        assert missing(content) == {}


def changed_since(content: dict[str, Any], change: Callable[[dict[str, Any]], Any], named: list[str]) -> Any:
    """The guard's word on a plan that was shown, then changed, the family being told of `named`."""
    before = Plan.model_validate(content)
    put(content, "/consultations/0/changes", [{"item": item} for item in named])
    change(content)
    return missing(content, shown={sha256(shown(before)): shown_items(before)})


@pytest.mark.parametrize(
    ("change", "item"),
    [
        (lambda c: put(c, "/supports/0/duration_minutes", 30), "support-1"),
        (lambda c: put(c, "/next_review_on", "2026-05-04"), "/next_review_on"),
        (lambda c: c["needs"].pop(), "need-2"),
        (lambda c: put(c, "/strengths/-", {"statement": "Kind."}), "strength-2"),
        (lambda c: put(c, "/title", "Another title"), "/title"),
        (lambda c: put(c, "/team/-", {"who": PRINCIPAL, "role": "administrator"}), "member-3"),
    ],
)
def test_what_changed_after_showing_must_be_named(change: Callable[[dict[str, Any]], Any], item: str) -> None:
    assert changed_since(whole(), change, []) == {"G2a": ("/consultations/0/changes",)}
    assert changed_since(whole(), change, ["goal-1"]) == {"G2a": ("/consultations/0/changes",)}
    assert changed_since(whole(), change, [item]) == {}


def test_the_record_of_the_consultation_is_not_what_was_shown() -> None:
    def record(content: dict[str, Any]) -> None:
        put(content, "/consultations/0/family_statement", "We want more reading.")
        content["attempts"] = [{"contact": MOTHER, "channel": "phone", "on": "2026-02-20", "result": "reached"}]

    assert changed_since(whole(), record, []) == {}


def test_a_meeting_does_not_count_for_what_was_shown_later() -> None:
    first = Plan.model_validate(whole())
    content = whole()
    put(content, "/goals/0/statement", "Reads 200 words a minute.")
    second = Plan.model_validate(content)
    both = {sha256(shown(plan)): shown_items(plan) for plan in (first, second)}
    assert missing(content, shown=both) == {"G2a": ("/consultations/0/shown_sha256",)}
    put(content, "/consultations/0/shown_sha256", sha256(shown(first)))
    assert missing(content, shown=both) == {"G2a": ("/consultations/0/changes",)}
    put(content, "/consultations/0/shown_sha256", sha256(shown(second)))
    assert missing(content, shown=both) == {}
    assert missing(content, shown={}) == {"G2a": ("/consultations/0/shown_sha256",)}


def waived_attempts() -> list[dict[str, Any]]:
    made = (("2026-02-20", "phone"), ("2026-02-10", "letter"), ("2026-02-20", "phone"))
    return [{"contact": MOTHER, "channel": how, "on": day, "result": "no_answer"} for day, how in made]


def waived(**other: Any) -> dict[str, Any]:
    content = whole()
    content["consultations"] = []
    content["attempts"] = waived_attempts()
    content["waiver"] = {
        "reason": "Nobody answers.", "approved_by": PRINCIPAL, "approved_on": "2026-03-01", "expires_on": "2026-03-02"
    }  # fmt: skip
    for pointer, value in other.items():
        put(content, pointer, value)
    return content


@pytest.mark.parametrize(
    ("pointer", "value", "where"),
    [
        ("/attempts", [], "/attempts"),
        ("/attempts", waived_attempts()[:2], "/attempts"),
        ("/attempts/1/channel", "phone", "/attempts"),
        ("/attempts/1/on", "2026-02-11", "/attempts"),
        ("/attempts/2/on", "2026-03-03", "/attempts"),
        ("/waiver/approved_by", TEACHER, "/waiver/approved_by"),
        ("/waiver/approved_by", GONE, "/waiver/approved_by"),
        ("/waiver/approved_by", MOTHER, "/waiver/approved_by"),
        ("/waiver/approved_by", entity(99), "/waiver/approved_by"),
        ("/waiver/approved_on", "2026-03-03", "/waiver/approved_on"),
        ("/waiver/expires_on", "2026-03-01", "/waiver/expires_on"),
    ],
)
def test_a_waiver_rests_on_attempts_and_on_an_administrator(pointer: str, value: Any, where: str) -> None:
    assert missing(waived()) == {}
    assert missing(waived(**{pointer: value})) == {"G2a": (where,)}


def test_nobody_waives_for_a_plan_of_their_own() -> None:
    assert missing(waived(), authors=frozenset({PRINCIPAL})) == {"G2a": ("/waiver/approved_by",)}
    content = waived()
    content["coordinator"] = PRINCIPAL
    assert missing(content) == {"G2a": ("/waiver/approved_by",)}


# --- steps and versions -----------------------------------------------------------------------------------------


def test_a_step_is_taken_from_its_state_only() -> None:
    plan = Plan.model_validate(whole())
    assert plans.step("draft", plan, "consult", known(plan))[0] == "consultation"
    assert plans.step("consultation", plan, "reopen", known(plan))[0] == "draft"
    assert plans.step("consultation", plan, "finalize", known(plan))[0] == "finalized"
    wrong: list[tuple[State, plans.Step]] = [("draft", "finalize"), ("finalized", "consult"), ("finalized", "reopen")]
    for state, wanted in wrong:
        with pytest.raises(Refused) as refused:
            plans.step(state, plan, wanted, known(plan))
        assert refused.value.code == "plan-wrong-state"


def test_a_refusal_names_every_guard_and_everything_missing() -> None:
    content = whole() | {"consultations": [], "coordinator": None, "next_review_on": None}
    plan = Plan.model_validate(content)
    with pytest.raises(Refused) as refused:
        plans.step("consultation", plan, "finalize", known(plan))
    assert refused.value.code == "G2a"
    assert refused.value.missing == ("/consultations", "/next_review_on", "/coordinator")
    assert all(f"{code}:" in refused.value.message for code in ("G2a", "G2c", "G2d"))
    assert "Reads slowly" not in str(refused.value)


def test_a_version_is_the_bytes_its_hash_is_of() -> None:
    plan = Plan.model_validate(whole())
    report = plans.check(plan, "finalize", known(plan))
    version = plans.finalized(plan, datetime(2026, 3, 2, tzinfo=UTC), {"name": "t", "role": "teacher"}, report)
    assert version.sha256 == sha256(version.content)
    assert Plan.model_validate_json(version.content) == plan
    assert [entry["code"] for entry in version.guard_report] == FINALIZING


# --- the document -----------------------------------------------------------------------------------------------


def test_canonical_bytes_say_only_what_is_stated() -> None:
    plan = Plan.model_validate({"student": STUDENT, "school": SCHOOL, "period_start": "2026-03-09", "title": "Zoë"})
    assert canonical(plan).decode() == (
        f'{{"period_start":"2026-03-09","school":"{SCHOOL}","student":"{STUDENT}","title":"Zoë"}}'
    )
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.integers(0, 2**32))
def test_the_hash_does_not_depend_on_how_the_json_was_written(seed: int) -> None:
    order = random.Random(seed)

    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        if not isinstance(value, dict):
            return value
        names = list(value)
        order.shuffle(names)
        return {name: shuffled(value[name]) for name in names}

    plan = Plan.model_validate(whole())
    written = json.dumps(shuffled(json.loads(canonical(plan))), indent=order.choice((None, 2)))
    assert canonical(Plan.model_validate_json(written)) == canonical(plan)
    assert canonical(Plan.model_validate(shuffled(whole()))) == canonical(plan)


def test_ids_are_given_once_and_never_again() -> None:
    plan = Plan.model_validate(whole())
    assert [need.id for need in plan.needs] == ["need-1", "need-2"]
    content = json.loads(canonical(plan))
    content["needs"] = [content["needs"][0], {"domain": "language", "statement": "New."}]
    assert [need.id for need in Plan.model_validate(content).needs] == ["need-1", "need-3"]
    content["needs"][1]["id"] = "need-1"
    with pytest.raises(ValidationError, match="same id"):
        Plan.model_validate(content)
    content["needs"][1]["id"] = "need-of-a-child"
    with pytest.raises(ValidationError, match="pattern"):
        Plan.model_validate(content)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/nickname", "x"),
        ("/needs/0/domian", "x"),
        ("/needs/0/domain", "mood"),
        ("/period_end", "2026-03-08"),
        ("/supports/0/owner", [TEACHER, PRINCIPAL]),
        ("/supports/0/owner", {"name": "Nana"}),
        ("/supports/0/frequency", 2),
        ("/supports/0/duration_minutes", 30.5),
        ("/goals/0/baseline_unknown_until", "2026-05-01"),
        ("/goals/0/baseline/value", float("nan")),
        ("/student", "Mateo"),
        ("/title", "  "),
    ],
)
def test_a_document_that_makes_no_sense_is_no_plan(pointer: str, value: Any) -> None:
    content = whole()
    put(content, pointer, value)
    with pytest.raises(ValidationError):
        Plan.model_validate(content)


def test_the_familys_words_are_kept_to_the_letter() -> None:
    content = whole()
    put(content, "/consultations/0/family_statement", "  We disagree.\n")
    plan = Plan.model_validate(json.loads(canonical(Plan.model_validate(content))))
    assert plan.consultations[0].family_statement == "  We disagree.\n"


def test_the_schema_says_of_every_field_what_it_means_and_where_its_term_comes_from() -> None:
    schema = published()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:planbridge:schema:success-plan:{VERSION}"
    parts = {"Plan": schema, **schema["$defs"]}
    assert len(parts) > 25
    assert [
        (name, field)
        for name, part in parts.items()
        for field, described in part.get("properties", {}).items()
        if not (described.get("description") and described.get("x-source"))
    ] == []
    Draft202012Validator(schema).validate(json.loads(canonical(Plan.model_validate(whole()))))


def test_a_plan_of_the_first_schema_keeps_its_bytes() -> None:
    """Nothing that a later schema adds is stated in a plan that does not state it."""
    kept = (
        '{"consultations":[{"held_on":"2026-02-27","id":"consultation-1","mode":"in_person","outcome":"agreed"}],'
        '"goals":[{"achievement":"not_started","domain":"academic","id":"goal-1","lifecycle":"proposed",'
        '"statement":"Reads."}],"needs":[{"domain":"academic","id":"need-1","severity":"moderate","statement":'
        '"Slow.","status":"open"}],"numbered":{"consultation":1,"goal":1,"member":1,"need":1,"support":1},'
        f'"period_start":"2026-03-09","school":"{SCHOOL}","student":"{STUDENT}","supports":[{{"delivery_method":'
        '"individual","id":"support-1","kind":"tutoring","name":"Hour","setting":"in_school","status":"not_started"}],'
        f'"team":[{{"id":"member-1","role":"teacher","who":"{TEACHER}"}}],"title":"Student success plan"}}'
    )
    assert canonical(Plan.model_validate_json(kept)).decode() == kept


@pytest.mark.parametrize(
    ("last", "ok"), [("2026-03-02", True), ("2026-03-20", True), ("2026-03-21", False), (None, False)]
)
def test_an_urgent_support_has_an_owner_and_ends_within_fifteen_school_days(last: str | None, ok: bool) -> None:
    """E4, before the consultation: from Monday the 2nd that is Friday the 20th."""
    content = whole()
    content["supports"][0] |= {"urgent": {"reason": "No food at home.", "from_on": "2026-03-02"}, "end_on": last}
    if ok:
        assert Plan.model_validate(content)
        content["supports"][0]["owner"] = None
    with pytest.raises(ValidationError, match="urgent support"):
        Plan.model_validate(content)


def test_the_texts_of_a_plan_can_be_translated_and_are_known_by_their_words() -> None:
    content = whole()
    content["consultations"][0]["summary"] = "They like it."
    found = texts(Plan.model_validate(content))
    assert set(found) == {
        "/title", "strength-1", "need-1", "need-2", "goal-1", "support-1", "consultation-1/summary"
    }  # fmt: skip
    assert found["support-1"] == "Reading hour"


def test_a_small_plan_takes_few_typed_values() -> None:
    """E17: at most 12. What the roster knows is filled in; a link to another item is a choice, not typing."""
    typed = {
        "strengths": [{"statement": "Explains mazes."}],
        "needs": [{"domain": "academic", "statement": "Reads slowly.", "evidence": [{"observation": "61 a minute"}]}],
        "supports": [],
        "goals": [],
        "consultations": [{"held_on": "2026-02-27", "participants": [{"who": MOTHER}], "outcome": "agreed"}],
    }
    assert json.dumps(typed).count(":") - len(typed) <= 12
    prefilled = {name: whole()[name] for name in ("student", "school", "coordinator", "period_start", "next_review_on")}
    assert missing(prefilled | typed) == {}


# --- no way round -----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.sets(st.sampled_from(sorted({pointer for pointer, _, _, _ in RED if pointer != "/team/-"})), min_size=1))
def test_mending_one_thing_breaks_no_other(broken: set[str]) -> None:
    """Guards are monotone: each repair leaves a subset of what was missing."""
    faults = {pointer: value for pointer, value, _, _ in RED}
    sound = json.loads(canonical(Plan.model_validate(whole())))
    content = copy.deepcopy(sound)
    for pointer in sorted(broken, reverse=True):  # an item before the list it stands in
        put(content, pointer, copy.deepcopy(faults[pointer]))
    lacking = {where for places in missing(content).values() for where in places}
    assert lacking
    for pointer in sorted(broken):
        put(content, pointer, copy.deepcopy(at(sound, pointer)))  # None where nothing was stated
        now = {where for places in missing(content).values() for where in places}
        assert now <= lacking
        lacking = now
    assert lacking == set()


def at(content: Any, pointer: str) -> Any:
    for name in pointer.strip("/").split("/"):
        content = content[int(name)] if isinstance(content, list) else content.get(name)
    return [] if content is None and pointer in ("/external_plans", "/supports/0/providers") else content
