"""The life of a plan: which step is allowed when, and exactly what is missing when it is not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

from gateway.errors import Refused
from gateway.schema.plan import (
    CitedResult,
    Consultation,
    Named,
    Participant,
    Plan,
    canonical,
    sha256,
    shown_items,
)

State = Literal["draft", "consultation", "finalized"]
Step = Literal["consult", "reopen", "finalize"]

STEPS: dict[Step, tuple[State, State]] = {
    "consult": ("draft", "consultation"),
    "reopen": ("consultation", "draft"),
    "finalize": ("consultation", "finalized"),
}
"""Step -> from which state to which. An edit of a finalized plan begins a new draft that amends it."""

LONGEST_REVIEW = timedelta(days=366)
ATTEMPTS, CHANNELS, ATTEMPT_DAYS = 3, 2, 10
ADULT = 18
OVER = ("cancelled", "stopped", "completed", "entered_in_error")


@dataclass(frozen=True)
class PersonFacts:
    """What the roster says of one person today."""

    population: str
    active: bool
    educator: bool
    administrator: bool
    born: date | None = None


@dataclass(frozen=True)
class RelationshipFacts:
    """What the sources and the district say of one contact's relationship to the student."""

    contact: str
    education_rights: Literal["yes", "no", "unknown"]
    parent_or_guardian: bool
    restricted: bool


@dataclass(frozen=True)
class Facts:
    """What must be known to judge a plan; all of it is about the plan's student and the people it names."""

    today: date
    enrolled_at: frozenset[str]
    open_identity: bool
    people: Mapping[str, PersonFacts]
    relationships: Sequence[RelationshipFacts]
    results: frozenset[str]
    shown: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What was put before the family, by its sha256: the fingerprint of each item. The latest comes last."""


@dataclass(frozen=True)
class GuardResult:
    """One guard's verdict: its code, a plain sentence, and what is missing as JSON pointers into the plan."""

    code: str
    ok: bool
    text: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Version:
    """A finalized version. `content` are the canonical bytes that `sha256` is of."""

    content: bytes
    sha256: str
    finalized_at: datetime
    finalized_by: dict[str, Any]
    guard_report: list[dict[str, Any]] = field(default_factory=list)


def step(state: State, plan: Plan, wanted: Step, facts: Facts) -> tuple[State, list[GuardResult]]:
    """Take a step. Refused names every guard that fails and everything that is missing."""
    origin, target = STEPS[wanted]
    if state != origin:
        raise Refused(
            "plan-wrong-state",
            f"A plan in state {state} cannot take the step {wanted!r}.",
            f"It must be in state {origin}.",
        )
    report = check(plan, wanted, facts)
    failed = [result for result in report if not result.ok]
    if failed:
        raise Refused(
            failed[0].code,
            " ".join(f"{result.code}: {result.text}" for result in failed),
            "Complete what is missing and try again.",
            missing=[pointer for result in failed for pointer in result.missing],
        )
    return target, report


def check(plan: Plan, wanted: Step, facts: Facts) -> list[GuardResult]:
    """Ask every guard of a step; changes nothing."""
    report = []
    for code, guard, rule in GUARDS[wanted]:
        missing = tuple(guard(plan, facts))
        report.append(GuardResult(code, not missing, rule, missing))
    return report


def finalized(plan: Plan, at: datetime, by: dict[str, Any], report: Sequence[GuardResult]) -> Version:
    """The version that stands from now on."""
    content = canonical(plan)
    return Version(content, sha256(content), at, by, [asdict(result) for result in report])


# --- the guards: each yields what is missing; reference: success-plan guards G1 and G2a to G2e ---------------


def _whole_child(plan: Plan, facts: Facts) -> Iterator[str]:
    """G1: not a list of deficits, and every piece rests on another."""
    if not plan.strengths:
        yield "/strengths"
    if not plan.needs and not plan.interests:
        yield "/needs"
    known = {need.id for need in plan.needs} | {interest.id for interest in plan.interests}
    for n, goal in enumerate(plan.goals):
        if not known.intersection(goal.addresses) or not known.issuperset(goal.addresses):
            yield f"/goals/{n}/addresses"
    for n, need in enumerate(plan.needs):
        if not need.evidence:
            yield f"/needs/{n}/evidence"
        for m, evidence in enumerate(need.evidence):
            if isinstance(evidence, CitedResult) and evidence.assessment_result not in facts.results:
                yield f"/needs/{n}/evidence/{m}"


def _complete(plan: Plan, facts: Facts) -> Iterator[str]:
    """G1, at the end: goals say where from and where to, supports serve goals (E8, E11)."""
    yield from _whole_child(plan, facts)
    goals = {goal.id for goal in plan.goals}
    for n, goal in enumerate(plan.goals):
        if goal.baseline is None and goal.baseline_unknown_until is None:
            yield f"/goals/{n}/baseline"
        if not goal.targets:
            yield f"/goals/{n}/targets"
    for n, support in enumerate(plan.supports):
        if not goals.intersection(support.goals) or not goals.issuperset(support.goals):
            yield f"/supports/{n}/goals"


def _consulted(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2a: the family or the eligible student was consulted on what was shown, or a waiver stands."""
    if plan.waiver is not None and not any(_wrong_with_waiver(plan, facts)):
        return
    if any(not any(_wrong_with(consultation, plan, facts)) for consultation in plan.consultations):
        return
    if plan.waiver is not None:
        yield from _wrong_with_waiver(plan, facts)
    elif not plan.consultations:
        yield "/consultations"
    for n, consultation in enumerate(plan.consultations):
        yield from (f"/consultations/{n}/{part}" for part in _wrong_with(consultation, plan, facts))


def _wrong_with(consultation: Consultation, plan: Plan, facts: Facts) -> Iterator[str]:
    if consultation.held_on > facts.today:
        yield "held_on"
    if _refuses(consultation, facts) or not any(
        _may_be_consulted(participant, plan, facts) for participant in consultation.participants
    ):
        yield "participants"
    if not _on_what_was_shown(consultation, plan, facts):
        yield "changes"


def _refuses(consultation: Consultation, facts: Facts) -> bool:
    """Somebody without education rights took part as if they had them."""
    return any(
        participant.education_rights == "no" or _rights(participant, facts) == "no"
        for participant in consultation.participants
        if participant.role in (None, "parent", "guardian")
    )


def _rights(participant: Participant, facts: Facts) -> str | None:
    """`no` from any source wins; then `yes` from any; None for somebody who is in no source."""
    stated = {r.education_rights for r in facts.relationships if r.contact == participant.who}
    return next((word for word in ("no", "yes", "unknown") if word in stated), None)


def _may_be_consulted(participant: Participant, plan: Plan, facts: Facts) -> bool:
    if participant.who == plan.student:
        person = facts.people.get(plan.student)
        return person is not None and person.born is not None and _age(person.born, facts.today) >= ADULT
    rights = _rights(participant, facts)
    if rights is None:  # in no feed: the record says who it was and as what
        return (
            isinstance(participant.who, Named)
            and participant.who.side == "family"
            and participant.role in ("parent", "guardian")
        )
    guardian = participant.role in ("parent", "guardian") or any(
        r.contact == participant.who and r.parent_or_guardian for r in facts.relationships
    )
    return "yes" in (rights, participant.education_rights) or guardian


def _age(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _on_what_was_shown(consultation: Consultation, plan: Plan, facts: Facts) -> bool:
    """The plan is what was shown, or whatever differs is on the list of changes that was named to the family."""
    latest = list(facts.shown)[-1:]
    before = facts.shown.get(consultation.shown_sha256 or "".join(latest))
    if before is None:
        return False
    now = shown_items(plan)
    different = {item for item in before.keys() | now.keys() if before.get(item) != now.get(item)}
    return different <= {change.item for change in consultation.changes}


def _wrong_with_waiver(plan: Plan, facts: Facts) -> Iterator[str]:
    assert plan.waiver is not None
    days = [attempt.on for attempt in plan.attempts if attempt.on <= facts.today]
    if len(days) < ATTEMPTS:
        yield "/attempts"
    elif len({attempt.channel for attempt in plan.attempts}) < CHANNELS:
        yield "/attempts/channel"
    elif (max(days) - min(days)).days < ATTEMPT_DAYS:
        yield "/attempts/on"
    approver = facts.people.get(plan.waiver.approved_by)
    if approver is None or not approver.administrator or plan.waiver.approved_by == plan.coordinator:
        yield "/waiver/approved_by"
    if not plan.waiver.approved_on <= facts.today <= plan.waiver.expires_on:
        yield "/waiver/expires_on"


def _owned(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2b: everybody knows who answers for each support."""
    for n, support in enumerate(plan.supports):
        if support.status in OVER:
            continue
        if isinstance(support.owner, Named):
            known = support.owner.side == "family" or support.owner.agreement is not None
        else:
            person = facts.people.get(support.owner or "")
            known = person is not None and person.active
        if not known:
            yield f"/supports/{n}/owner"


def _reviewed(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2c: somebody will look again, within a year."""
    due = plan.next_review_on
    if due is None or not facts.today < due <= facts.today + LONGEST_REVIEW:
        yield "/next_review_on"


def _coordinated(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2d: an educator who is here keeps it together; nobody on the team is kept from the student."""
    coordinator = facts.people.get(plan.coordinator or "")
    if coordinator is None or not coordinator.active or not coordinator.educator:
        yield "/coordinator"
    barred = {r.contact for r in facts.relationships if r.restricted or r.education_rights == "no"}
    for n, member in enumerate(plan.team):
        if member.who in barred:
            yield f"/team/{n}/who"


def _certain(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2e: it is certain who the student is, and that they are enrolled at this school."""
    if facts.open_identity or plan.student not in facts.people:
        yield "/student"
    if plan.school not in facts.enrolled_at:
        yield "/school"


Guard = Callable[[Plan, Facts], Iterator[str]]
GUARDS: dict[Step, tuple[tuple[str, Guard, str], ...]] = {
    "consult": (
        (
            "G1",
            _whole_child,
            "A plan begins with a strength and a need or interest; each need has evidence, each goal answers one.",
        ),
    ),
    "reopen": (),
    "finalize": (
        (
            "G1",
            _complete,
            "A strength, a need or interest, evidence for each need; each goal answers one, with baseline and target; "
            "each support serves a goal.",
        ),
        (
            "G2a",
            _consulted,
            "The family, or the student of age, was consulted on what was shown; or an administrator other than the "
            "coordinator waived it after three attempts on two channels over ten days.",
        ),
        ("G2b", _owned, "Each support that is not over has exactly one owner who is here today."),
        ("G2c", _reviewed, "The next review is in the future, at most 366 days from today."),
        ("G2d", _coordinated, "An active educator coordinates, and nobody on the team is kept from the student."),
        ("G2e", _certain, "It is certain who the student is, and the student is enrolled at the plan's school."),
    ),
}
"""Step -> its guards: code, rule as a function, rule as a plain sentence."""
