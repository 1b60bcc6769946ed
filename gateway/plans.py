"""The life of a plan: which step is allowed when, and exactly what is missing when it is not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, get_args

from gateway import plan_guards
from gateway.errors import Refused
from gateway.plan_guards import Facts, Given, Guard, PersonFacts, RelationshipFacts, conflicts
from gateway.schema.plan import Plan, canonical, sha256

__all__ = ["Facts", "Given", "PersonFacts", "RelationshipFacts", "conflicts"]

State = Literal[
    "gathering",
    "draft",
    "consultation",
    "finalized",
    "active",
    "in_review",
    "on_hold",
    "closed",
    "revoked",
    "entered_in_error",
    "archived",
]
"""`superseded` is the state of a version whose successor was finalized before it began, not of a plan; of what is
`purged` no row is left but the proof."""
Step = Literal[
    "draft",
    "consult",
    "reopen",
    "finalize",
    "activate",
    "review",
    "continue",
    "hold",
    "resume",
    "close",
    "revoke",
    "void",
    "archive",
]

WRITTEN: tuple[State, ...] = ("gathering", "draft", "consultation")
"""While it is being written: nothing of it is in force."""
IN_FORCE: tuple[State, ...] = ("finalized", "active", "in_review", "on_hold")
TAKEN_BACK: tuple[State, ...] = ("revoked", "entered_in_error")
OVER: tuple[State, ...] = ("closed", "revoked", "entered_in_error", "archived")
RUNNING: tuple[State, ...] = ("active", "in_review", "on_hold")

STEPS: dict[Step, tuple[tuple[State, ...], State]] = {
    "draft": (("gathering",), "draft"),
    "consult": (("draft",), "consultation"),
    "reopen": (("consultation",), "draft"),
    "finalize": (("consultation",), "finalized"),
    "activate": (("finalized",), "active"),
    "review": (("active",), "in_review"),
    "continue": (("in_review",), "active"),
    "hold": (("active",), "on_hold"),
    "resume": (("on_hold",), "active"),
    "close": (RUNNING, "closed"),
    "revoke": ((*WRITTEN, *IN_FORCE), "revoked"),
    "void": ((*WRITTEN, *IN_FORCE), "entered_in_error"),
    "archive": (("closed", "revoked", "entered_in_error"), "archived"),
}
"""Step -> from which states to which. An edit of a plan in force begins a new draft that amends it; meanwhile its
newest version stands in the state that it has."""

OF_VERSION: frozenset[Step] = frozenset({"activate", "review", "continue", "hold", "resume", "close"})
"""Steps of the newest finalized version, whether or not the next one is being written. The first three are also taken
by time alone."""
ESCALATED_AFTER = timedelta(days=14)
"""So long after its day a review is overdue, and an administrator hears of it."""


@dataclass(frozen=True)
class GuardResult:
    """One guard's verdict: its code, a plain sentence, and what is missing as JSON pointers into the plan, or into
    what was given with the step. `notes` point to what is allowed and stands on record."""

    code: str
    ok: bool
    text: str
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Version:
    """A finalized version. `content` are the canonical bytes that `sha256` is of."""

    content: bytes
    sha256: str
    finalized_at: datetime
    finalized_by: dict[str, Any]
    guard_report: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Life:
    """Where a plan is: the state of what is being written, and that of its newest finalized version, if it has one.
    Both are the same unless a next version is being written."""

    state: State
    standing: State | None = None

    def after(self, wanted: Step) -> "Life":
        """Where it is once the step is taken."""
        target = STEPS[wanted][1]
        if wanted in OF_VERSION and target not in OVER and self.state != self.standing:
            return replace(self, standing=target)
        if target in WRITTEN:
            return replace(self, state=target)
        if wanted == "finalize" or self.standing is not None or wanted in OF_VERSION:
            return Life(target, target)
        return Life(target)

    def edited(self) -> "Life":
        """Where it is once somebody changed its content. Refused when it is over."""
        if self.state in OVER:
            raise Refused(
                "plan-over",
                f"A plan in state {self.state} is not changed any more.",
                "Begin a new plan for the student.",
            )
        return self if self.state in WRITTEN else replace(self, state="draft")

    def at(self, wanted: Step) -> State:
        """The state from which a step would be taken."""
        return self.standing if wanted in OF_VERSION and self.standing else self.state


def step(state: State, plan: Plan, wanted: Step, facts: Facts) -> tuple[State, list[GuardResult]]:
    """Take a step. Refused names every guard that fails and everything that is missing."""
    refuse_from(state, wanted)
    report = check(plan, wanted, facts)
    failed = [result for result in report if not result.ok]
    if failed:
        raise Refused(
            failed[0].code,
            " ".join(f"{result.code}: {result.text}" for result in failed),
            "Complete what is missing and try again.",
            missing=[pointer for result in failed for pointer in result.missing],
        )
    return STEPS[wanted][1], report


def refuse_from(state: State, wanted: Step) -> None:
    """Refused where a step does not lead on from this state."""
    origins = STEPS[wanted][0]
    if state not in origins:
        raise Refused(
            "plan-wrong-state",
            f"A plan in state {state} cannot take the step {wanted!r}.",
            f"It must be in state {' or '.join(origins)}.",
        )


def check(plan: Plan, wanted: Step, facts: Facts) -> list[GuardResult]:
    """Ask every guard of a step; changes nothing."""
    report = []
    for code, guard, rule in GUARDS[wanted]:
        missing = tuple(guard(plan, facts))
        notes = tuple(plan_guards.consulted_unknown(plan, facts)) if code == "G2a" else ()
        report.append(GuardResult(code, not missing, rule, missing, notes))
    return report


def finalized(plan: Plan, at: datetime, by: dict[str, Any], report: Sequence[GuardResult]) -> Version:
    """The version that stands from now on."""
    content = canonical(plan)
    return Version(content, sha256(content), at, by, [asdict(result) for result in report])


def standing(version: Plan, working: Plan) -> Plan:
    """A finalized version as it stands today: with how far its goals have come, and the reviews held since. The last
    of these says when the next one is."""
    known = {review.id for review in version.reviews}
    since = [review for review in working.reviews if review.id not in known]
    now = {goal.id: goal for goal in working.goals}
    goals = [
        goal.model_copy(update={"lifecycle": now[goal.id].lifecycle, "achievement": now[goal.id].achievement})
        if goal.id in now
        else goal
        for goal in version.goals
    ]
    days = [review.next_review_on for review in since if review.next_review_on]
    due = days[-1] if days else version.next_review_on
    return version.model_copy(update={"reviews": [*version.reviews, *since], "goals": goals, "next_review_on": due})


def due_on(state: State | None, plan: Plan) -> date | None:
    """On which day time alone moves a version that stands in this state."""
    if state == "finalized":
        return plan.period_start
    if state == "active":
        return plan.next_review_on
    if state == "in_review" and plan.next_review_on:
        return plan.next_review_on + ESCALATED_AFTER + timedelta(days=1)
    return None


def by_time(state: State | None, plan: Plan, today: date) -> Step | None:
    """The step that time takes today, if any."""
    due = due_on(state, plan)
    if due is None or due > today:
        return None
    return "activate" if state == "finalized" else "review" if state == "active" else None


def is_overdue(state: State | None, plan: Plan, today: date) -> bool:
    """Whether a review was due more than 14 days ago and is not done."""
    due = due_on(state, plan)
    return state == "in_review" and due is not None and due <= today


GUARDS: Mapping[Step, tuple[tuple[str, Guard, str], ...]] = {
    **dict.fromkeys(get_args(Step), ()),
    "consult": plan_guards.TO_CONSULT,
    "finalize": plan_guards.TO_FINALIZE,
    "activate": plan_guards.TO_BEGIN,
    "review": plan_guards.TO_REVIEW,
    "continue": plan_guards.TO_GO_ON,
    "hold": plan_guards.TO_HOLD,
    "close": plan_guards.TO_CLOSE,
    "revoke": plan_guards.TO_TAKE_BACK,
    "void": plan_guards.TO_TAKE_BACK,
}
"""Step -> its guards: code, rule as a function, rule as a plain sentence."""
