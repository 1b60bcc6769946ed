"""Who may see what: the whole table against every tie, the policy in sentences, and what is left of a plan."""

import itertools
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest

from gateway import access, sections
from gateway.access import CLIENTS, ROLES, SECTIONS, TABLE, Consent, Facts, May, Role, Section, Who, decide
from gateway.plan_guards import RelationshipFacts
from gateway.schema import KINDS, codes
from gateway.schema import record as documents
from gateway.schema.plan import PREFIX, Plan
from tests.house.tree import ROOT

TODAY = date(2026, 3, 2)
CHILD, ADULT = date(2015, 5, 1), date(2008, 3, 2)
STUDENT, SOMEBODY = "student", "somebody"


def related(rights: str = "yes", *, parent: bool = True, restricted: bool = False) -> RelationshipFacts:
    return RelationshipFacts(SOMEBODY, rights, parent, restricted)  # type: ignore[arg-type]


def consent(*named: Section, permit: bool = True, **other: Any) -> Consent:
    days: dict[str, Any] = {"begin": TODAY - timedelta(days=9), "until": TODAY + timedelta(days=9)}
    return Consent("person:somebody", frozenset(named), permit, **days | other)


ALL = consent(*SECTIONS)
TIES: dict[str, tuple[Who, Facts, Role | None]] = {
    "coordinator": (Who(SOMEBODY), Facts(born=CHILD, staff=True, coordinates=True), "coordinator"),
    "teacher of record": (Who(SOMEBODY), Facts(born=CHILD, staff=True, teaches=True), "teacher"),
    "trusted adult": (Who(SOMEBODY), Facts(born=CHILD, staff=True, team=frozenset({"trusted_adult"})), "teacher"),
    "counselor at the school": (Who(SOMEBODY), Facts(staff=True, at_school=frozenset({"counselor"})), "specialist"),
    "nurse on the team": (Who(SOMEBODY), Facts(staff=True, team=frozenset({"nurse"})), "nurse"),
    "principal": (Who(SOMEBODY), Facts(staff=True, at_school=frozenset({"principal"})), "administrator"),
    "administrator in OneRoster 1.1": (
        Who(SOMEBODY),
        Facts(staff=True, at_school=frozenset({"administrator"})),
        "administrator",
    ),
    "mother": (Who(SOMEBODY), Facts(born=CHILD, relationships=[related()]), "guardian"),
    "parent, rights unknown": (Who(SOMEBODY), Facts(born=CHILD, relationships=[related("unknown")]), "guardian"),
    "student": (Who(STUDENT), Facts(born=CHILD), "student"),
    "student of age": (Who(STUDENT), Facts(born=ADULT), "student"),
    "mentor with consent": (Who(SOMEBODY), Facts(born=CHILD, consents=[ALL]), "partner"),
    "IT": (Who(says="it"), Facts(born=CHILD), "it"),
    "auditor": (Who(says="auditor"), Facts(born=CHILD), "auditor"),
    "sis": (Who(says="sis"), Facts(born=CHILD), "sis"),
    "lms, granted": (Who(says="lms"), Facts(born=CHILD, granted=frozenset(SECTIONS)), "lms"),
    "vendor": (Who(says="vendor"), Facts(born=CHILD), "vendor"),
    "vendor, granted": (Who(says="vendor"), Facts(born=CHILD, granted=frozenset(SECTIONS)), "vendor"),
    # ... and those who are nobody, or may not
    "stranger on the staff": (Who(SOMEBODY), Facts(born=CHILD, staff=True), None),
    "teacher elsewhere": (Who(SOMEBODY), Facts(staff=True, at_school=frozenset({"teacher"})), None),
    "teacher who left": (Who(SOMEBODY), Facts(born=CHILD, teaches=True, coordinates=True), None),
    "parent on the team": (Who(SOMEBODY), Facts(born=CHILD, team=frozenset({"guardian", "partner"})), None),
    "father without rights": (Who(SOMEBODY), Facts(born=CHILD, relationships=[related("no")]), None),
    "restricted mother": (Who(SOMEBODY), Facts(born=CHILD, relationships=[related(restricted=True)]), None),
    "restricted who teaches": (
        Who(SOMEBODY),
        Facts(born=CHILD, staff=True, teaches=True, relationships=[related(restricted=True)]),
        None,
    ),
    "one no among two": (Who(SOMEBODY), Facts(born=CHILD, relationships=[related(), related("no")]), None),
    "aunt, rights unknown": (Who(SOMEBODY), Facts(born=CHILD, relationships=[related("unknown", parent=False)]), None),
    "mother of an adult": (Who(SOMEBODY), Facts(born=ADULT, relationships=[related()]), None),
    "mentor, consent over": (
        Who(SOMEBODY),
        Facts(born=CHILD, consents=[consent(*SECTIONS, until=TODAY - timedelta(days=1))]),
        None,
    ),
    "mentor, consent revoked": (Who(SOMEBODY), Facts(born=CHILD, consents=[consent(*SECTIONS, revoked=True)]), None),
}


def expected(role: Role | None, section: Section, facts: Facts) -> tuple[bool, May]:
    """The same in other words than the product's."""
    if role is None:
        return False, "none"
    cell = TABLE[section][role]
    if cell in ("full", "add", "read", "own", "masked"):
        return True, cell
    opens = {
        "of_age": facts.born == ADULT,
        "consent": any(section in one.sections for one in facts.consents),
        "grant": section in facts.granted,
    }
    return (True, "read") if opens.get(cell) else (False, "request" if cell == "request" else "none")


@pytest.mark.parametrize(("tie", "section"), [*itertools.product(TIES, SECTIONS)])
def test_every_section_and_every_tie(tie: str, section: Section) -> None:
    who, facts, role = TIES[tie]
    decision = decide(who, STUDENT, section, facts, TODAY)
    assert (decision.allowed, decision.how) == expected(role, section, facts)
    assert decision.reason.endswith(".") and len(decision.reason) > 20
    assert decision.role == role


def test_the_table_is_whole_and_every_role_is_tried() -> None:
    assert set(TABLE) == set(SECTIONS) and all(set(line) == set(ROLES) for line in TABLE.values())
    assert {role for _, _, role in TIES.values()} == {*ROLES, None}
    assert {cell for line in TABLE.values() for cell in line.values()} == set(get_args(May))


def test_of_several_roles_the_one_counts_that_allows_most() -> None:
    both = Facts(born=CHILD, staff=True, teaches=True, team=frozenset({"nurse"}))
    assert decide(Who(SOMEBODY), STUDENT, "health", both, TODAY).role == "nurse"
    assert decide(Who(SOMEBODY), STUDENT, "academic", both, TODAY).role == "teacher"


def may(tie: str, section: Section) -> str:
    who, facts, _ = TIES[tie]
    return decide(who, STUDENT, section, facts, TODAY).how


def test_the_policy_in_sentences() -> None:
    assert may("mentor with consent", "health") == "none", "a mentor never sees health notes"
    assert may("mentor with consent", "restricted_notes") == may("mentor with consent", "notes") == "none"
    words = set(SECTIONS) - {"identity", "contacts", "disclosures"}
    assert {may("IT", section) for section in words} == {"request", "none"}, "IT sees no words of a plan"
    assert may("IT", "identity") == may("IT", "contacts") == "masked", "... and works on masked people"
    assert may("teacher of record", "restricted_notes") == may("teacher of record", "family_needs") == "none"
    assert may("principal", "restricted_notes") == "request", "restricted notes open to a principal only with a reason"
    assert may("mother", "disclosures") == may("student", "disclosures") == "read", "a family sees who was shown what"
    assert {may(c, s) for c in ("sis", "vendor, granted", "lms, granted") for s in ("health", "notes")} == {"none"}
    assert {may("vendor", section) for section in SECTIONS} == {"none"}, "a vendor gets nothing that was not granted"
    assert may("student", "health") == "none" and may("student of age", "health") == "read"
    assert {may("auditor", s) for s in words - {"consultation"}} == {"none"}, "an auditor reads the log, not the child"


def test_what_somebody_opened_with_a_reason_is_theirs_to_read_and_nothing_else() -> None:
    opened = Facts(opened=frozenset({"health", "identity", "restricted_notes"}))
    assert decide(Who(says="it"), STUDENT, "health", opened, TODAY).how == "read"
    assert decide(Who(says="it"), STUDENT, "identity", opened, TODAY).how == "read"
    assert decide(Who(says="it"), STUDENT, "restricted_notes", opened, TODAY).how == "none", "never by IT"
    assert decide(Who(says="it"), STUDENT, "goals", opened, TODAY).how == "request"
    assert decide(Who(says="teacher"), STUDENT, "health", opened, TODAY).how == "masked", "nor by a teacher"
    assert decide(Who(says="administrator"), STUDENT, "restricted_notes", opened, TODAY).how == "read"


def test_a_consent_covers_what_it_names_and_one_that_forbids_wins() -> None:
    some = Facts(consents=[consent("goals")])
    assert decide(Who(SOMEBODY), STUDENT, "goals", some, TODAY).allowed
    assert not decide(Who(SOMEBODY), STUDENT, "academic", some, TODAY).allowed
    against = Facts(consents=[consent("goals", "academic"), consent("goals", permit=False)])
    assert not decide(Who(SOMEBODY), STUDENT, "goals", against, TODAY).allowed
    assert decide(Who(SOMEBODY), STUDENT, "academic", against, TODAY).allowed


@pytest.mark.parametrize(
    ("agreed", "needs", "given", "gets"),
    [
        (None, False, [], set(SECTIONS)),
        (frozenset({"identity", "goals"}), False, [], {"identity", "goals"}),
        (None, True, [], set()),
        (None, True, [consent("identity", "goals")], {"identity", "goals"}),
        (frozenset({"identity"}), True, [consent("identity", "goals")], {"identity"}),
        (None, False, [consent("health", permit=False)], set(SECTIONS) - {"health"}),
        (None, False, [consent("identity", "goals", revoked=True)], set()),
        (None, False, [consent("identity", until=TODAY - timedelta(days=1))], set()),
        (None, False, [consent("goals", permit=False, revoked=True)], set(SECTIONS)),
    ],
)
def test_agreements_and_consents_make_one_filter(
    agreed: frozenset[Section] | None, needs: bool, given: list[Consent], gets: set[Section]
) -> None:
    found = access.receiver(agreed, needs, given, TODAY)
    assert found.sections == gets
    assert set(found.withheld) == set(SECTIONS) - gets and all(found.withheld.values())


# --- fields and sections -----------------------------------------------------------------------------------


def test_every_field_of_a_plan_and_of_the_common_schema_has_a_section() -> None:
    assert set(sections.PLAN_FIELDS) == set(Plan.model_fields), "say in gateway/sections.py to which section it belongs"
    for kind in KINDS.values():
        for field in kind.merge:
            assert sections.section_of(kind.name, field) in SECTIONS, "say it in gateway/sections.py"
    assert set(sections.KIND_SECTIONS) == set(KINDS)
    assert {kind for kind, field in sections.FIELD_SECTIONS if field not in KINDS[kind].merge} == set()
    assert set(sections.BY_DOMAIN) == set(get_args(codes.Domain))
    assert set(sections.BY_DOCUMENT) == set(get_args(codes.Section))
    assert set(sections.BY_KIND) <= set(get_args(codes.SupportKind))
    assert set(access.ON_TEAM) <= set(get_args(codes.TeamRole))


def plan() -> dict[str, Any]:
    """A plan with something in every section that a plan has."""
    return {
        "title": "Ahead",
        "student": STUDENT,
        "school": "school",
        "strengths": [{"id": "strength-1", "statement": "planted strength"}],
        "needs": [
            {"id": f"need-{n}", "domain": domain, "statement": f"planted {domain}", "evidence": [{"observation": "x"}]}
            for n, domain in enumerate(("academic", "social_emotional", "physical_health", "family_basic_needs"), 1)
        ],
        "goals": [
            {"id": "goal-1", "domain": "academic", "statement": "planted read", "addresses": ["need-1"]},
            {"id": "goal-2", "domain": "physical_health", "statement": "planted sleep", "addresses": ["need-3"]},
        ],
        "supports": [
            {"id": "support-1", "name": "Reading", "kind": "tutoring", "goals": ["goal-1", "goal-2"]},
            {"id": "support-2", "name": "Club", "kind": "mentoring", "setting": "community", "owner": SOMEBODY},
            {"id": "support-3", "name": "Nurse", "kind": "health_service", "goals": ["goal-2"]},
        ],
        "consultations": [
            {
                "id": "consultation-1", "held_on": "2026-02-01", "summary": "planted talk",
                "changes": [{"item": "need-3", "told": "planted told"}, {"item": "goal-1", "told": "fine"}],
            }
        ],
        "reviews": [{"id": "review-1", "per_goal": [{"goal": "goal-1"}, {"goal": "goal-2", "note": "planted note"}]}],
        "translations": [
            {"id": "translation-1", "items": [{"item": "need-3", "text": "sueno"}, {"item": "goal-1", "text": "leer"}]}
        ],
        "external_plans": [{"id": "external-1", "type": "iep"}],
        "documents": [{"id": "document-1", "section": "health", "title": "planted paper"}],
    }  # fmt: skip


def as_seen(role: Role) -> dict[str, Any]:
    facts = Facts(consents=[ALL] if role == "partner" else [])
    decided = {s: decide(Who(says=role), STUDENT, s, facts, TODAY) for s in SECTIONS}
    how = {section: one.how for section, one in decided.items() if one.allowed}
    return sections.seen(plan(), how, lambda item: item.get("owner") == SOMEBODY)[0]


def test_whoever_may_see_all_sees_it_as_it_is() -> None:
    shown, left = sections.seen(plan(), dict.fromkeys(SECTIONS, "read"))
    assert (shown, left) == (plan(), [])


def test_it_sees_no_words_of_a_plan() -> None:
    assert as_seen("it") == {"student": STUDENT, "school": "school", "translations": [{"id": "translation-1"}]}


def test_a_teacher_sees_of_a_social_need_the_need_and_of_health_that_there_is_something() -> None:
    shown = as_seen("teacher")
    assert shown["needs"] == [
        plan()["needs"][0],
        {"id": "need-2", "domain": "social_emotional", "statement": "planted social_emotional"},
        {"id": "need-3", "domain": "physical_health"},
    ]
    assert shown["consultations"] == [{"id": "consultation-1", "held_on": "2026-02-01"}]
    assert "planted family_basic_needs" not in str(shown)


def test_a_mentor_reads_of_health_nothing_anywhere() -> None:
    shown = as_seen("partner")
    assert [one["id"] for one in shown["goals"]] == ["goal-1"]
    assert [one["id"] for one in shown["supports"]] == ["support-2"], "of supports outside school their own"
    said = str(shown)
    for word in ("planted physical_health", "planted sleep", "planted told", "planted note", "planted paper", "sueno"):
        assert word not in said
    assert "leer" in said, "words of what they may see they do see"


def test_references_to_what_is_not_shown_are_not_shown() -> None:
    shown, left = sections.seen(plan(), dict.fromkeys(set(SECTIONS) - {"health"}, "read"))
    assert shown["supports"][0]["goals"] == ["goal-1"]
    assert {one.pointer for one in left} == {"/needs/2", "/goals/1", "/supports/2", "/documents/0"}
    assert {one.section for one in left} == {"health"}


def test_a_field_that_nobody_gave_a_section_is_shown_to_nobody() -> None:
    shown, left = sections.seen(
        {**plan(), "new_thing": [{"id": "new-1"}], "other": "x"}, dict.fromkeys(SECTIONS, "full")
    )
    assert "new_thing" not in shown and "other" not in shown
    assert {one.pointer for one in left} == {"/new_thing/0", "/other"}
    assert "new_thing" not in PREFIX


def test_every_kind_of_entry_and_every_field_of_it_has_a_section() -> None:
    assert set(sections.ENTRY_SECTIONS) == set(get_args(documents.EntryKind))
    assert set(sections.BODY_FIELDS) == set(documents.Body.model_fields)
    assert {*sections.ENTRY_HEAD, "body"} == set(documents.Written.model_fields)
    assert {*sections.ENTRY_SECTIONS.values(), *sections.BODY_FIELDS.values()} <= set(SECTIONS)


def entry(kind: str, domain: str | None = None, *, restricted: bool = False, **body: Any) -> documents.Entry:
    said = documents.Body.model_validate({"text": "planted words", **body})
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return documents.Entry(
        "e", STUDENT, 1, kind, domain, restricted, at, at, {"name": "Wren"}, None, (None, None, None),
        documents.written(said), "salt", "", "", "",
    )  # fmt: skip


DELIVERY = {"plan": "0" * 8 + "-0000-4000-8000-" + "0" * 12, "support": "support-1", "minutes": 30}
DELIVERY["session"] = DELIVERY["plan"]


def test_of_a_record_each_role_reads_what_its_sections_say() -> None:
    given = entry("support_delivery", delivery=DELIVERY)
    every = {
        "observation": entry("observation"),
        "health": entry("observation", "physical_health"),
        "family": entry("observation", "family_basic_needs"),
        "behavior": entry("behavior_signal"),
        "restricted": entry("observation", restricted=True),
        "given": given,
    }

    def reads(role: Role, *, mine: bool = False) -> set[str]:
        decided = {s: decide(Who(says=role), STUDENT, s, Facts(), TODAY) for s in SECTIONS}
        how = {section: one.how for section, one in decided.items() if one.allowed}
        return {name for name, one in every.items() if "text" in sections.entry_seen(one, how, mine=mine)[0]}

    assert reads("nurse") == set(every)
    assert reads("coordinator") == set(every) - {"health"}
    assert reads("specialist") == set(every) - {"health"}
    assert reads("administrator") == {"observation", "behavior", "given"}
    assert reads("teacher") == set() and reads("teacher", mine=True) == set(every) - {"restricted"}
    assert reads("guardian") == set(every) - {"restricted"}
    for role in ("it", "student", "partner", "auditor", *CLIENTS):
        assert reads(role) == set(), role
    shown, left = sections.entry_seen(given, {"school_supports": "read"}, mine=False)
    assert (set(shown), left) == ({"delivery"}, ["text"])


def test_why_something_does_not_stand_tells_no_more_than_that_would() -> None:
    withdrawn = entry("correction")
    nurses = entry("observation", "physical_health")
    how: dict[Section, May] = {"notes": "read", "health": "masked"}
    assert sections.entry_seen(withdrawn, how, mine=False)[0]
    assert sections.entry_seen(withdrawn, how, mine=False, about=nurses)[0] == {}
    assert sections.entry_seen(withdrawn, how, mine=False, about=entry("observation", restricted=True))[0] == {}


def test_the_page_of_the_manual_shows_the_table() -> None:
    page = (ROOT / "docs/access.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"<!-- table -->\n(.*?)<!-- end of table -->", page, re.DOTALL)
    assert shown.strip() == access.page().strip(), "copy it from gateway.access.page()"
