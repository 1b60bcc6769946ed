"""Any steps in any order on any day: no version lacks what the rules ask for, and the acts tell of the plan."""

import copy
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import ValidationError

from gateway import plan_events, plans
from gateway.errors import Refused
from gateway.plans import Given, Life, Step
from gateway.schema.plan import Plan, canonical, sha256, shown, shown_items
from tests.test_plans import FATHER, MOTHER, PARTNER, RED, SCHOOL, TEACHER, TODAY, known, put, whole

FAULTS = [(pointer, value) for pointer, value, _, _ in RED] + [
    ("/consultations/0/participants", [{"who": FATHER, "role": "relative"}]),
    ("/consultations/0/held_on", "2026-12-09"),
    ("/consultations/0/outcome", "declined_to_participate"),
    ("/title", "Another title"),
]
SOUND: dict[str, Any] = json.loads(canonical(Plan.model_validate(whole())))
ONWARD: dict[str, list[Step]] = {
    "gathering": ["draft"],
    "draft": ["consult"],
    "consultation": ["finalize", "finalize", "reopen"],
    "finalized": ["activate", "activate", "void", "revoke"],
    "active": ["review", "review", "hold", "close"],
    "in_review": ["continue", "close"],
    "on_hold": ["resume"],
    "closed": ["archive"],
    "revoked": ["archive"],
    "entered_in_error": ["archive"],
}
REASONED = Given("A reason.", "goals_met", "Goes on well.")


class AnyLife(RuleBasedStateMachine):
    """One plan. Anybody may edit it, review it, wait, and try any step with or without what it asks for; what an act
    does to it is what gateway.planning does in the store."""

    def __init__(self, taken: set[Step]) -> None:
        super().__init__()
        self.taken = taken
        self.today = TODAY
        self.life = Life("gathering")
        self.content: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.moments: list[tuple[Life, dict[str, Any]]] = []
        self.shown: dict[str, dict[str, str]] = {}
        self.came_into_review: date | None = None
        self.versions: list[tuple[plans.Version, date, dict[str, dict[str, str]]]] = []

    @initialize(gathering=st.booleans())
    def begin(self, gathering: bool) -> None:
        self.keep("created", Life("gathering" if gathering else "draft"), whole())

    def keep(self, act: str, life: Life, content: dict[str, Any], **detail: Any) -> None:
        after = json.loads(canonical(Plan.model_validate(content)))
        stands = {"standing": life.standing} if life.standing else {}
        told = {"to": life.state, **stands, "revision": len(self.events), **plan_events.change(self.content, after)}
        self.events.append({"act": act, "detail": copy.deepcopy(told | detail)})
        self.life, self.content = life, after
        self.moments.append((life, copy.deepcopy(after)))

    def edit(self, content: dict[str, Any]) -> None:
        try:
            self.keep("edited", self.life.edited(), content)
        except Refused as refused:
            assert refused.code == "plan-over" and self.life.state in plans.OVER

    @rule(fault=st.sampled_from(FAULTS))
    def spoil(self, fault: tuple[str, Any]) -> None:
        edited = copy.deepcopy(self.content)
        try:
            put(edited, *copy.deepcopy(fault))
            Plan.model_validate(edited)
        except (IndexError, KeyError, TypeError, ValidationError):
            return
        self.edit(edited)

    @rule(part=st.sampled_from(sorted(whole())))
    def mend(self, part: str) -> None:
        self.edit({**self.content, part: self.sound()[part]})

    @rule()
    def mend_all(self) -> None:
        self.edit({**self.content, **self.sound(), "external_plans": []})

    def sound(self) -> dict[str, Any]:
        """A whole plan, each item under its id."""
        return SOUND | {"next_review_on": (self.today + timedelta(days=40)).isoformat()}

    @rule(item=st.sampled_from(["goal-1", "need-1", "/title", "support-1", "strength-1", "/next_review_on"]))
    def tell(self, item: str) -> None:
        edited = copy.deepcopy(self.content)
        for meeting in edited.get("consultations", ()):
            meeting.setdefault("changes", []).append({"item": item})
        self.edit(edited)

    @rule(fault=st.sampled_from(FAULTS))
    def finalize_with(self, fault: tuple[str, Any]) -> None:
        """Nothing but the one fault stands in the way: all that changed in the room was named to the family."""
        if self.life.state not in plans.WRITTEN:
            return
        for wanted in ("draft", "reopen", "consult"):
            self.mend_all()
            self.take(wanted, REASONED)
        edited = copy.deepcopy(self.content)
        told = [{"item": item} for item in shown_items(Plan.model_validate(edited))]
        edited["consultations"][0]["changes"] = [*told, {"item": "/external_plans"}, {"item": "external-1"}]
        put(edited, *copy.deepcopy(fault))
        self.edit(edited)
        self.take("finalize", REASONED)

    @rule(days=st.sampled_from([1, 7, 40]))
    def wait(self, days: int) -> None:
        self.today += timedelta(days=days)

    @rule(achievement=st.sampled_from(["improving", "achieved"]))
    def review(self, achievement: str) -> None:
        if self.life.standing not in plans.RUNNING:
            return
        goals = [goal | {"achievement": achievement} for goal in self.content.get("goals", ())]
        due = (self.today + timedelta(days=40)).isoformat()
        held = {"held_on": self.today.isoformat(), "decision": "continue", "next_review_on": due}
        more = {"next_review_on": due} if self.life.state == self.life.standing else {}
        reviews = [*self.content.get("reviews", ()), held]
        self.keep("reviewed", self.life, {**self.content, "goals": goals, "reviews": reviews, **more})

    @rule(wanted=st.sampled_from(get_args(Step)), given=st.sampled_from([REASONED, REASONED, Given()]))
    def try_any(self, wanted: Step, given: Given) -> None:
        self.take(wanted, given)

    @rule(data=st.data(), steps=st.integers(3, 9))
    def go_well(self, data: st.DataObject, steps: int) -> None:
        """Some steps as people take them: else no walk came far."""
        for _ in range(steps):
            state = self.life.state if self.life.state in plans.WRITTEN else self.life.standing or self.life.state
            if state == "archived":
                return
            self.well(data.draw(st.sampled_from(ONWARD[state])))

    def well(self, wanted: Step) -> None:
        """A step on its day, with what it asks for."""
        plan = Plan.model_validate(self.content)
        if wanted == "consult":
            self.mend_all()
        if wanted == "activate":
            self.today = max(self.today, plan.period_start)
        if wanted == "review" and plan.next_review_on:
            self.today = max(self.today, plan.next_review_on)
        if wanted in ("continue", "close"):
            self.review("achieved")
        self.take(wanted, REASONED)

    def take(self, wanted: Step, given: Given) -> None:
        plan = Plan.model_validate(self.content)
        judged = plan
        if wanted in plans.OF_VERSION and self.versions:
            judged = plans.standing(Plan.model_validate_json(self.versions[-1][0].content), plan)
        facts = known(judged, shown=dict(self.shown), given=given, today=self.today)
        facts = replace(facts, in_review_since=self.came_into_review)
        try:
            _, report = plans.step(self.life.at(wanted), judged, wanted, facts)
        except Refused as refused:
            assert refused.missing or refused.code == "plan-wrong-state"
            return
        self.taken.add(wanted)
        number = {"version": len(self.versions) + 1} if wanted == "finalize" else {}
        self.keep(wanted, self.life.after(wanted), self.content, **number)
        if wanted == "review" and judged.next_review_on:
            self.came_into_review = min(self.today, judged.next_review_on)
        if wanted == "consult":
            self.shown[sha256(shown(plan))] = shown_items(plan)
        if wanted == "finalize":
            made = plans.finalized(plan, datetime(2026, 3, 2, tzinfo=UTC), {}, report)
            self.versions.append((made, self.today, dict(self.shown)))

    @invariant()
    def versions_hold(self) -> None:
        for version, day, shown_then in self.versions[-1:]:
            assert version.sha256 == sha256(version.content)
            lawful(json.loads(version.content), day, shown_then)

    @invariant()
    def what_is_in_force_was_finalized(self) -> None:
        assert bool(self.versions) == (self.life.standing is not None)
        if self.life.state in (*plans.IN_FORCE, "closed"):
            assert self.versions and self.life.state == self.life.standing

    @invariant()
    def what_is_in_force_is_what_was_finalized(self) -> None:
        if self.life.state in plans.IN_FORCE:
            working = Plan.model_validate(self.content)
            version = Plan.model_validate_json(self.versions[-1][0].content)
            assert shown_items(plans.standing(version, working)) == shown_items(working)

    @invariant()
    def the_acts_tell_of_it(self) -> None:
        if self.events:
            told = plan_events.told(self.events)
            assert (told.state, told.standing) == (self.life.state, self.life.standing)
            assert told.content == self.content
            assert sorted(told.versions) == list(range(1, len(self.versions) + 1))
            if told.versions:
                assert told.versions[len(self.versions)] == self.life.standing
                assert {told.versions[n] for n in range(1, len(self.versions))} <= {
                    "superseded", "closed", "active", "in_review", "on_hold"
                }  # fmt: skip

    def teardown(self) -> None:
        """Every earlier moment, too."""
        for n, (life, content) in enumerate(self.moments):
            told = plan_events.told(self.events[: n + 1])
            assert (told.state, told.standing, told.content) == (life.state, life.standing, content)


def lawful(plan: dict[str, Any], day: date, shown_then: dict[str, dict[str, str]]) -> None:
    """The rules once more, written down apart from the guards."""
    assert plan["strengths"]
    live = {need["id"] for need in plan["needs"] if need["status"] != "entered_in_error"}
    assert all(need.get("evidence") for need in plan["needs"] if need["id"] in live)
    assert all(goal["addresses"] and set(goal["addresses"]) <= live for goal in plan["goals"])
    assert all(goal["targets"] and goal["baseline"] for goal in plan["goals"])
    for support in plan["supports"]:
        assert support["owner"] == TEACHER or (support["owner"] == PARTNER and support["consent"])
        assert support["setting"] == "in_school" or support["owner"] == PARTNER
        assert "external_plan" not in support
    marked = [one for name in ("strengths", "needs", "goals", "supports") for one in plan[name] if "template" in one]
    assert not marked and not plan.get("external_plans")
    assert day < date.fromisoformat(plan["next_review_on"]) <= day + timedelta(366)
    assert plan["coordinator"] == TEACHER
    assert FATHER not in [member["who"] for member in plan["team"]]
    assert plan["school"] == SCHOOL
    now = shown_items(Plan.model_validate(plan))
    [meeting] = plan["consultations"]
    before = shown_then[meeting.get("shown_sha256") or next(iter(shown_then))]
    told = {change["item"] for change in meeting.get("changes", [])}
    assert meeting["held_on"] <= day.isoformat() and meeting["outcome"] == "agreed"
    assert [one["who"] for one in meeting["participants"]] == [MOTHER]
    assert {item for item in before.keys() | now.keys() if before.get(item) != now.get(item)} <= told


PATHS: list[list[Step]] = [
    ["draft", "consult", "reopen", "consult", "finalize", "activate", "hold", "resume", "review", "continue", "close",
     "archive"],
    ["revoke"],
    ["draft", "void"],
]  # fmt: skip


def test_the_walks_know_how_each_step_is_taken() -> None:
    """Else the test below would prove less than it says."""
    taken: set[Step] = set()
    for path in PATHS:
        walk = AnyLife(taken)
        walk.begin(gathering=True)
        for wanted in path:
            walk.well(wanted)
            assert walk.life.state == plans.STEPS[wanted][1], wanted
        walk.teardown()
    assert taken == set(get_args(Step))


def test_an_edit_of_what_is_in_force_begins_its_next_version() -> None:
    walk = AnyLife(set())
    walk.begin(gathering=False)
    for wanted in ("consult", "finalize", "activate"):
        walk.well(wanted)
    walk.spoil(("/title", "Another title"))
    assert walk.life == Life("draft", "active")
    walk.what_is_in_force_is_what_was_finalized()


def test_no_steps_in_any_order_lead_round_the_guards() -> None:
    """E4."""
    run_state_machine_as_test(
        lambda: AnyLife(set()), settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
