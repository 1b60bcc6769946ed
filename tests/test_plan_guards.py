"""The guards against the rules, written down a second time: of any plan and any roster both say the same."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import plans
from gateway.plan_guards import ConsentFacts
from gateway.plans import Facts, RelationshipFacts
from gateway.schema.plan import Plan, canonical, sha256, shown, shown_items
from tests.test_plans import (
    AUNT,
    AWAY,
    FATHER,
    FINALIZING,
    GONE,
    MOTHER,
    NAMED,
    PARTNER,
    PRINCIPAL,
    RESULT,
    SCHOOL,
    STRANGER,
    STUDENT,
    TEACHER,
    TODAY,
    entity,
    known,
    whole,
)

T = TypeVar("T")
Json = dict[str, Any]
UNBOUND = {**PARTNER, "agreement": None}


def day(offset: int) -> str:
    return (TODAY + timedelta(days=offset)).isoformat()


# --- any plan, any roster ------------------------------------------------------------------------------------


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """The usual value three times in four, so that plans with one fault are as likely as plans with many."""
    return st.sampled_from([usual] * (3 * len(others)) + list(others))


def some(items: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(items), max_size=2, unique_by=repr)


def few(item: st.SearchStrategy[Json], least: int = 0) -> st.SearchStrategy[list[Json]]:
    return st.lists(item, min_size=least, max_size=2)


def having(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(fields)


SEEN, CITED, LOST = {"observation": "Hums."}, {"assessment_result": RESULT}, {"assessment_result": entity(99)}
TARGET = {"measure": "level", "value": 3, "due_on": day(90)}
ITEMS = ["need-1", "goal-1", "support-1", "strength-1", "/title", "/next_review_on", "member-1"]
PEOPLE = [MOTHER, FATHER, AUNT, STRANGER, STUDENT, TEACHER, NAMED, PARTNER]
PARTICIPANT = having(
    who=mostly(MOTHER, *PEOPLE),
    role=st.sampled_from([None, "parent", "guardian", "relative", "educator", "interpreter", "partner", "student"]),
    education_rights=mostly("unknown", "yes", "no"),
)
CONSULTATION = having(
    held_on=mostly(day(-3), day(0), day(1)),
    outcome=mostly("agreed", "agreed_with_changes", "disagreed", "declined_to_participate"),
    participants=few(PARTICIPANT, 1) | st.just([]),
    changes=st.just([{"item": item} for item in ITEMS]) | some([{"item": item} for item in ITEMS]),
    shown_sha256=st.sampled_from([0, 1, None, "f" * 64]),
    language=mostly(None, "eng", "es"),
    interpreter_used=st.sampled_from([None, True]),
)
SUPPORT = having(
    name=st.just("Reading hour"),
    kind=st.just("tutoring"),
    goals=mostly(["goal-1"], [], ["goal-1", "goal-7"], ["goal-7"]),
    owner=mostly(TEACHER, GONE, MOTHER, FATHER, NAMED, PARTNER, UNBOUND, entity(99), None),
    setting=mostly("in_school", "virtual", "home", "community"),
    status=mostly("not_started", "cancelled", "stopped", "completed", "on_hold"),
    consent=mostly("form", None, "old form"),
    provider_organization=mostly(None, "Lantern Club"),
    providers=mostly([], [PARTNER], [UNBOUND], [TEACHER]),
    external_plan=mostly(None, "external-1", "external-2"),
    template=mostly(None, None, "Pack"),
)
NEED = having(
    domain=st.just("academic"),
    statement=st.just("Reads slowly."),
    evidence=mostly([SEEN], [CITED], [SEEN, LOST], []),
    status=mostly("open", "resolved", "entered_in_error"),
)
GOAL = having(
    domain=st.just("academic"),
    statement=st.just("Reads."),
    addresses=mostly(["need-1"], ["interest-1"], ["need-1", "interest-1"], []),
    baseline_unknown_until=mostly(day(14), None),
    targets=mostly([TARGET], []),
    template=mostly(None, None, "Pack"),
)
ELSEWHERE = having(
    type=mostly("iep", "section_504", "learning_plan"),
    system=st.just("SEIS"),
    external_id=st.just("77"),
    status=mostly("active", "ended"),
    owner=mostly(TEACHER, PRINCIPAL, None),
    conflict_acknowledged=mostly({"by": TEACHER, "on": day(-1)}, None),
)
CLUB = ConsentFacts("organization:lantern club", frozenset({"identity", "school_supports", "outside_supports"}))
CLUB_ALONE = ConsentFacts("organization:Lantern Club", frozenset({"identity", "school_supports"}))
HELD = {"form": [CLUB, ConsentFacts("program:planner", frozenset({"identity"}))]}
INES = {"name": "Ines", "side": "partner"}
SPANISH = [
    {"language": "spa", "translator": INES, "on": day(-4), "items": [
        {"item": item, "text": "Palabras.", "of_sha256": sha256(words.encode())} for item, words in lines.items()
    ]}
    for lines in (
        {"goal-1": "Reads.", "goal-2": said, "support-1": "Reading hour", "support-2": "Reading hour"}
        for said in ("Reads.", "Read.")
    )
]  # fmt: skip
ATTEMPT = having(
    contact=st.just(MOTHER),
    channel=mostly("phone", "letter"),
    on=st.sampled_from([day(-12), day(-11), day(-10), day(-2), day(-1), day(0), day(1)]),
    result=st.just("no_answer"),
)
WAIVER = having(
    reason=st.just("Nobody answers."),
    approved_by=mostly(PRINCIPAL, TEACHER, GONE, MOTHER, entity(99)),
    approved_on=mostly(day(-1), day(0), day(1)),
    expires_on=mostly(day(30), day(0), day(-1)),
)
PLAN = having(
    student=st.just(STUDENT),
    school=st.just(SCHOOL),
    period_start=st.just(day(7)),
    coordinator=mostly(TEACHER, PRINCIPAL, AWAY, GONE, MOTHER, None),
    next_review_on=mostly(day(56), day(0), day(1), day(366), day(367), None),
    strengths=mostly([{"statement": "Sings."}], []),
    interests=mostly([{"statement": "Boats."}], []),
    needs=few(NEED),
    goals=few(GOAL),
    supports=few(SUPPORT),
    team=few(having(who=mostly(TEACHER, MOTHER, FATHER, AUNT, NAMED), role=st.just("trusted_adult"))),
    consultations=few(CONSULTATION),
    attempts=st.lists(ATTEMPT, max_size=5),
    waiver=st.none() | WAIVER,
    external_plans=few(ELSEWHERE),
    translations=st.sampled_from([[], SPANISH[:1], SPANISH[1:]]),
)
TIE = st.builds(
    RelationshipFacts,
    contact=mostly(MOTHER, FATHER, AUNT, STRANGER),
    education_rights=mostly("unknown", "yes", "no"),
    parent_or_guardian=st.booleans(),
    restricted=mostly(False, True),
)
BEFORE: list[Callable[[Json], Any]] = [
    lambda plan: plan,
    lambda plan: plan.update(title="What it was called before"),
    lambda plan: plan.update(period_end=day(200)),
    lambda plan: plan.update(strengths=[*plan["strengths"], {"statement": "Kind."}]),
    lambda plan: plan.update(interests=[]),
    lambda plan: plan.update(next_review_on=day(20)),
]
"""How the plan that was shown may differ from the plan as it stands."""


@st.composite
def situations(draw: st.DrawFn) -> tuple[Plan, Facts, list[Json]]:
    """A plan, what the roster says, and what was put before the family, oldest first, as JSON."""
    content = draw(PLAN)
    seen = []
    for change in draw(st.lists(st.sampled_from(BEFORE), max_size=2, unique=True)):
        seen.append(json.loads(json.dumps(content)))
        change(seen[-1])
        seen[-1]["consultations"] = []
    before = [Plan.model_validate(one) for one in seen]
    prints = [sha256(shown(one)) for one in before]
    for meeting in content["consultations"]:
        if isinstance(place := meeting["shown_sha256"], int):
            meeting["shown_sha256"] = prints[place] if place < len(prints) else None
    plan = Plan.model_validate(content)
    born = draw(mostly(date(2014, 5, 1), date(2008, 2, 27), date(2008, 2, 28), None))
    facts = known(plan)
    return (
        plan,
        replace(
            facts,
            enrolled_at=draw(mostly(facts.enrolled_at, frozenset())),
            open_identity=draw(mostly(False, True)),
            people={
                **facts.people,
                STUDENT: replace(facts.people[STUDENT], born=born),
                MOTHER: replace(facts.people[MOTHER], languages=draw(mostly((), ("spa",), ("spa", "eng")))),
            },
            consents=draw(mostly(HELD, {}, {"form": [CLUB_ALONE]})),
            programs=draw(mostly(frozenset(), frozenset({"disability"}), frozenset({"section_504", "gifted"}))),
            flagged=draw(mostly(frozenset(), frozenset({STUDENT}), frozenset({MOTHER}))),
            relationships=draw(mostly(facts.relationships, []) | st.lists(TIE, max_size=3)),
            shown=dict(zip(prints, map(shown_items, before), strict=True)),
            authors=draw(mostly(frozenset(), frozenset({PRINCIPAL}))),
        ),
        [json.loads(canonical(one)) for one in before],
    )


@st.composite
def meetings_held(draw: st.DrawFn) -> tuple[Plan, Facts, list[Json]]:
    """A plan that lacks nothing but perhaps the right people at its one consultation."""
    content = whole()
    meeting = having(
        held_on=mostly(day(-3), day(0), day(1)),
        outcome=mostly("agreed", "disagreed", "declined_to_participate"),
        participants=few(PARTICIPANT, 1),
    )
    content["consultations"][0] |= draw(meeting)
    plan = Plan.model_validate(content)
    facts = known(plan, relationships=draw(st.lists(TIE, max_size=3)))
    born = draw(st.sampled_from([TODAY.replace(year=2008), TODAY.replace(year=2008) - timedelta(3), date(2014, 5, 1)]))
    people = {**facts.people, STUDENT: replace(facts.people[STUDENT], born=born)}
    return plan, replace(facts, people=people), [json.loads(canonical(plan))]


@st.composite
def waivers(draw: st.DrawFn) -> tuple[Plan, Facts, list[Json]]:
    """A plan that lacks nothing but a consultation, with a waiver that may stand."""
    made = [{"contact": MOTHER, "channel": how, "on": day(n), "result": "no_answer"} for how, n in TRIED]
    attempts = mostly(made, made[:3], made[1:], made[:2], made[::2])
    given = having(coordinator=mostly(TEACHER, PRINCIPAL), waiver=WAIVER, attempts=attempts)
    plan = Plan.model_validate({**whole(), "consultations": [], **draw(given)})
    return plan, known(plan, authors=draw(mostly(frozenset(), frozenset({PRINCIPAL})))), [json.loads(canonical(plan))]


TRIED = (("phone", -11), ("letter", -1), ("phone", -3), ("phone", -2))


# --- the rules a second time, over JSON ----------------------------------------------------------------------


def broken(plan: Json, facts: Facts, seen: list[Json], *, finalizing: bool) -> set[str]:
    """The guards that must refuse this plan."""
    rules: dict[str, bool] = {"G1": balanced(plan, facts) and (whole_chain(plan) or not finalizing)}
    if finalizing:
        barred = {tie.contact for tie in facts.relationships if tie.restricted or tie.education_rights == "no"}
        at_work = [one["who"] for one in plan.get("team", [])] + [s.get("owner") for s in plan.get("supports", [])]
        lead = facts.people.get(plan.get("coordinator", ""))
        due = plan.get("next_review_on", "")
        rules |= {
            "G2a": waiver_stands(plan, facts) or any(counts(one, plan, facts, seen) for one in meetings(plan)),
            "G2b": all(answered_for(support, facts) for support in plan.get("supports", [])),
            "G2c": day(1) <= due <= day(366),
            "G2d": bool(lead and lead.active and lead.educator and lead is not facts.people[AWAY])
            and not any(isinstance(who, str) and who in barred for who in at_work),
            "G2e": not facts.open_identity and plan["school"] in facts.enrolled_at,
            "G2f": all(consented(support, facts) for support in plan.get("supports", [])),
            "G2g": compared(plan, facts),
            "G2h": STUDENT not in facts.flagged
            and not any(one.get("template") for name in ("goals", "supports") for one in plan.get(name, [])),
        }
    return {code for code, holds in rules.items() if not holds}


def meetings(plan: Json) -> list[Json]:
    return list(plan.get("consultations", []))


def balanced(plan: Json, facts: Facts) -> bool:
    needs = [need for need in plan.get("needs", []) if need["status"] != "entered_in_error"]
    answerable = {one["id"] for one in needs + plan.get("interests", [])}
    cited = [e["assessment_result"] for need in needs for e in need.get("evidence", []) if "assessment_result" in e]
    return (
        bool(plan.get("strengths"))
        and bool(answerable)
        and all(need.get("evidence") for need in needs)
        and facts.results.issuperset(cited)
        and all(goal.get("addresses") and set(goal["addresses"]) <= answerable for goal in plan.get("goals", []))
    )


def whole_chain(plan: Json) -> bool:
    goals = {goal["id"] for goal in plan.get("goals", [])}
    return all(
        ("baseline" in goal or "baseline_unknown_until" in goal) and goal.get("targets")
        for goal in plan.get("goals", [])
    ) and all(support.get("goals") and set(support["goals"]) <= goals for support in plan.get("supports", []))


def answered_for(support: Json, facts: Facts) -> bool:
    if support["status"] in ("cancelled", "stopped", "completed", "entered_in_error"):
        return True
    match support.get("owner"):
        case {"side": "family"} | {"side": "partner", "agreement": str()}:
            return True
        case str() as who if who in facts.people and facts.people[who].active:
            outside = support["setting"] in ("home", "community", "out_of_school_program")
            return not outside or facts.people[who].population == "contact"
    return False


def consented(support: Json, facts: Facts) -> bool:
    if support["status"] in ("cancelled", "stopped", "completed", "entered_in_error"):
        return True
    outside = [one for one in [support.get("owner"), *support.get("providers", [])] if isinstance(one, dict)]
    outside = [one for one in outside if one["side"] == "partner"]
    bound = all("agreement" in one for one in support.get("providers", []) if isinstance(one, dict))
    named = {one["organization"] for one in outside} | {support.get("provider_organization", "Lantern Club")}
    assert named == {"Lantern Club"}
    if not outside and "provider_organization" not in support:
        return bound
    away = support["setting"] in ("home", "community", "out_of_school_program")
    held = facts.consents.get(support.get("consent", ""), [])
    return bound and bool(held) and (held[0] is CLUB or not away)


def compared(plan: Json, facts: Facts) -> bool:
    there = plan.get("external_plans", [])
    active = {one["id"]: one for one in there if one["status"] == "active"}
    wanted = {"disability": "iep", "section_504": "section_504"}
    asked = {id for id, one in active.items() if one["type"] in ("iep", "section_504")}
    for support in plan.get("supports", []):
        to = support.get("external_plan")
        if to is not None and to not in [one["id"] for one in there]:
            return False
        over = support["status"] in ("cancelled", "stopped", "completed", "entered_in_error")
        if to in active and "owner" in active[to] and "owner" in support and not over:
            asked |= {to} if support["owner"] != active[to]["owner"] else set()
    return all("conflict_acknowledged" in active[id] for id in asked) and all(
        wanted[status] in {one["type"] for one in active.values()} for status in facts.programs if status in wanted
    )


def understood(meeting: Json, plan: Json, facts: Facts) -> bool:
    roles = [one.get("role") for one in meeting.get("participants", [])]
    if meeting.get("interpreter_used") or "interpreter" in roles:
        return True
    words = {one["id"]: one.get("statement", one.get("name")) for n in ("goals", "supports") for one in plan.get(n, [])}
    told = {change["item"] for change in meeting.get("changes", [])}
    spanish = {line["item"]: line["of_sha256"] for one in plan.get("translations", []) for line in one.get("items", [])}
    has_spanish = bool(plan.get("translations")) and all(
        spanish.get(item) == sha256(said.encode()) for item, said in words.items() if item not in told
    )
    for one in meeting.get("participants", []):
        if one.get("role") in ("educator", "partner") or one["who"] == STUDENT:
            continue
        spoken = facts.people[one["who"]].languages if one["who"] == MOTHER else ()
        spoken = spoken or {"es": ("spa",), "eng": ("eng",)}.get(meeting.get("language", ""), ())
        if spoken and "eng" not in spoken and not has_spanish:
            return False
    return True


def counts(meeting: Json, plan: Json, facts: Facts, seen: list[Json]) -> bool:
    """A consultation held, with somebody who has a say and nobody who has none, on what had been shown."""
    with_whom = meeting.get("participants", [])
    return (
        meeting["held_on"] <= day(0)
        and meeting["outcome"] != "declined_to_participate"
        and any(has_a_say(one, meeting["held_on"], facts) for one in with_whom)
        and not any(has_none(one, facts) for one in with_whom)
        and knew_it_all(meeting, plan, seen)
        and understood(meeting, plan, facts)
    )


def words_on(participant: Json, facts: Facts) -> set[str]:
    """What the sources say of somebody's rights."""
    return {tie.education_rights for tie in facts.relationships if tie.contact == participant["who"]}


def has_none(participant: Json, facts: Facts) -> bool:
    from_a_source = words_on(participant, facts)
    professional = participant.get("role") in ("educator", "interpreter", "partner") and not from_a_source
    return "no" in from_a_source or (participant["education_rights"] == "no" and not professional)


def has_a_say(participant: Json, held_on: str, facts: Facts) -> bool:
    who = participant["who"]
    if who == STUDENT:
        born = facts.people[STUDENT].born
        return born is not None and f"{born.year + 18}{born.isoformat()[4:]}" <= held_on
    from_a_source = words_on(participant, facts)
    words = from_a_source | {participant["education_rights"]}
    born = facts.people[STUDENT].born if STUDENT in facts.people else None
    grown = born is not None and f"{born.year + 18}{born.isoformat()[4:]}" <= held_on
    if grown and participant["education_rights"] != "yes":
        return False
    if "no" in words or not (from_a_source or (isinstance(who, dict) and who["side"] == "family")):
        return False
    guards = any(tie.parent_or_guardian for tie in facts.relationships if tie.contact == who)
    return "yes" in words or guards or participant.get("role") in ("parent", "guardian")


def knew_it_all(meeting: Json, plan: Json, seen: list[Json]) -> bool:
    prints = {sha256(shown(Plan.model_validate(one))): one for one in seen}
    named = meeting.get("shown_sha256") or (next(iter(prints)) if len(prints) == 1 else "")
    if named not in prints:
        return False
    then, now = pieces(prints[named]), pieces(plan)
    told = {change["item"] for change in meeting.get("changes", [])}
    return all(then.get(name) == now.get(name) for name in (then.keys() | now.keys()) - told)


def pieces(plan: Json) -> Json:
    """What a family sees of a plan, piece by piece."""
    found: Json = {}
    for name, value in plan.items():
        if name in ("strengths", "interests", "needs", "goals", "supports", "team", "external_plans"):
            own = ("template", "conflict_acknowledged")
            found |= {item["id"]: {n: v for n, v in item.items() if n not in own} for item in value}
        elif name not in ("consultations", "attempts", "waiver", "numbered", "translations"):
            found[f"/{name}"] = value
    return found


def waiver_stands(plan: Json, facts: Facts) -> bool:
    waiver = plan.get("waiver")
    made = sorted((one["on"], one["channel"]) for one in plan.get("attempts", []) if one["on"] <= day(0))
    if waiver is None or len(made) < 3 or len({channel for _, channel in made}) < 2:
        return False
    first, last = (date.fromisoformat(on) for on in (made[0][0], made[-1][0]))
    approver = facts.people.get(waiver["approved_by"])
    return (
        (last - first).days >= 10
        and approver is not None
        and approver.active
        and approver.administrator
        and waiver["approved_by"] != plan.get("coordinator")
        and waiver["approved_by"] not in facts.authors
        and waiver["approved_on"] <= day(0) <= waiver["expires_on"]
    )


# --- both say the same ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tried", "codes"),
    [
        (situations(), tuple(FINALIZING)),
        (meetings_held(), ("G2a",)),
        (waivers(), ("G2a",)),
    ],
    ids=["anything", "meetings", "waivers"],
)
def test_each_guard_says_of_any_plan_what_its_rule_says(
    tried: st.SearchStrategy[tuple[Plan, Facts, list[Json]]], codes: tuple[str, ...]
) -> None:
    verdicts: Counter[tuple[str, bool]] = Counter()

    @settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
    @given(tried)
    def judged(situation: tuple[Plan, Facts, list[Json]]) -> None:
        plan, facts, seen = situation
        as_json = json.loads(canonical(plan))
        steps: tuple[plans.Step, ...] = ("consult", "finalize")
        for step in steps:
            report = plans.check(plan, step, facts)
            verdicts.update((result.code, result.ok) for result in report)
            refused = {result.code for result in report if not result.ok}
            assert refused == broken(as_json, facts, seen, finalizing=step == "finalize")
            assert all(bool(result.missing) is not result.ok for result in report)

    judged()
    rare = {(code, ok): verdicts[code, ok] for code in codes for ok in (True, False) if verdicts[code, ok] < 30}
    assert rare == {}, "what was tried hardly tries these"


def test_the_rules_pass_a_whole_plan() -> None:
    plan = Plan.model_validate(whole())
    as_json = json.loads(canonical(plan))
    assert broken(as_json, known(plan), [as_json], finalizing=True) == set()
