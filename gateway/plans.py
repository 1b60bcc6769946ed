"""The life of a plan: which step is allowed when, and exactly what is missing when it is not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

from gateway.errors import Refused
from gateway.schema.codes import OUT_OF_SCHOOL
from gateway.schema.plan import (
    CitedResult,
    Consultation,
    Named,
    Participant,
    Plan,
    Waiver,
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
    """What was put before the family, by its sha256: the fingerprint of each item."""
    authors: frozenset[str] = frozenset()
    """Persons who wrote the plan; none of them may waive the consultation."""


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
    needs = [(n, need) for n, need in enumerate(plan.needs) if need.status != "entered_in_error"]
    if not needs and not plan.interests:
        yield "/needs"
    known = {need.id for _, need in needs} | {interest.id for interest in plan.interests}
    for n, goal in enumerate(plan.goals):
        if not known.intersection(goal.addresses) or not known.issuperset(goal.addresses):
            yield f"/goals/{n}/addresses"
    for n, need in needs:
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
    if any(not any(_wrong_with(consultation, plan, facts)) for consultation in plan.consultations):
        return
    waiver = [] if plan.waiver is None else list(_wrong_with_waiver(plan.waiver, plan, facts))
    if plan.waiver is not None and not waiver:
        return
    yield from waiver
    if plan.waiver is None and not plan.consultations:
        yield "/consultations"
    for n, consultation in enumerate(plan.consultations):
        yield from (f"/consultations/{n}/{part}" for part in _wrong_with(consultation, plan, facts))


def _wrong_with(consultation: Consultation, plan: Plan, facts: Facts) -> Iterator[str]:
    if consultation.held_on > facts.today:
        yield "held_on"
    if consultation.outcome == "declined_to_participate":  # then nothing was held: attempts and a waiver remain
        yield "outcome"
    with_whom = consultation.participants
    if any(_barred(participant, facts) for participant in with_whom) or not any(
        _may_be_consulted(participant, consultation.held_on, plan, facts) for participant in with_whom
    ):
        yield "participants"
    yield from _not_on_what_was_shown(consultation, plan, facts)


def _barred(participant: Participant, facts: Facts) -> bool:
    """Somebody whose rights are `no`; for those who come by profession the word means only that they have none."""
    by_profession = participant.role in ("educator", "interpreter", "partner")
    tied = any(r.contact == participant.who for r in facts.relationships)
    return _rights(participant, facts) == "no" and (tied or not by_profession)


def _rights(participant: Participant, facts: Facts) -> str:
    """`no` from any source or in the district's own entry wins; then `yes` from any."""
    stated = {r.education_rights for r in facts.relationships if r.contact == participant.who}
    stated.add(participant.education_rights)
    return next(word for word in ("no", "yes", "unknown") if word in stated)


def _may_be_consulted(participant: Participant, held_on: date, plan: Plan, facts: Facts) -> bool:
    if participant.who == plan.student:
        person = facts.people.get(plan.student)
        return person is not None and person.born is not None and _age(person.born, held_on) >= ADULT
    ties = [r for r in facts.relationships if r.contact == participant.who]
    # Somebody named is in no feed: the record says who it was and as what.
    family = participant.who.side == "family" if isinstance(participant.who, Named) else bool(ties)
    recorded = participant.role in ("parent", "guardian") or any(r.parent_or_guardian for r in ties)
    return family and (_rights(participant, facts) == "yes" or recorded)


def _age(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _not_on_what_was_shown(consultation: Consultation, plan: Plan, facts: Facts) -> Iterator[str]:
    """The plan is what was shown, or whatever differs is on the list of changes that was named to the family."""
    # Left out, it can only mean the one thing that was ever shown.
    only = next(iter(facts.shown)) if len(facts.shown) == 1 else ""
    before = facts.shown.get(consultation.shown_sha256 or only)
    if before is None:
        yield "shown_sha256"
        return
    now = shown_items(plan)
    different = {item for item in before.keys() | now.keys() if before.get(item) != now.get(item)}
    if not different <= {change.item for change in consultation.changes}:
        yield "changes"


def _wrong_with_waiver(waiver: Waiver, plan: Plan, facts: Facts) -> Iterator[str]:
    made = [attempt for attempt in plan.attempts if attempt.on <= facts.today]
    days = [attempt.on for attempt in made]
    if (
        len(made) < ATTEMPTS
        or len({attempt.channel for attempt in made}) < CHANNELS
        or (max(days) - min(days)).days < ATTEMPT_DAYS
    ):
        yield "/attempts"
    approver = facts.people.get(waiver.approved_by)
    if (
        approver is None
        or not (approver.active and approver.administrator)
        or waiver.approved_by in facts.authors | {plan.coordinator}
    ):
        yield "/waiver/approved_by"
    if waiver.approved_on > facts.today:
        yield "/waiver/approved_on"
    if waiver.expires_on < facts.today:
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
            if person is not None and support.setting in OUT_OF_SCHOOL and person.population != "contact":
                known = False  # E9: outside school somebody who is there answers for it
        if not known:
            yield f"/supports/{n}/owner"


def _reviewed(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2c: somebody will look again, within a year."""
    due = plan.next_review_on
    if due is None or not facts.today < due <= facts.today + LONGEST_REVIEW:
        yield "/next_review_on"


def _coordinated(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2d: an educator who is here keeps it together; nobody who works on it is kept from the student."""
    coordinator = facts.people.get(plan.coordinator or "")
    if coordinator is None or not coordinator.active or not coordinator.educator:
        yield "/coordinator"
    barred = {r.contact for r in facts.relationships if r.restricted or r.education_rights == "no"}
    for n, member in enumerate(plan.team):
        if member.who in barred:
            yield f"/team/{n}/who"
    for n, support in enumerate(plan.supports):
        if support.owner in barred:
            yield f"/supports/{n}/owner"


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
            "The family, or the student of age, was consulted on what was shown; or an administrator other than its "
            "authors waived it after three attempts on two channels over ten days.",
        ),
        (
            "G2b",
            _owned,
            "Each support that is not over has exactly one owner who is here today; outside school that is the family "
            "or a partner with an agreement.",
        ),
        ("G2c", _reviewed, "The next review is in the future, at most 366 days from today."),
        (
            "G2d",
            _coordinated,
            "An active educator coordinates; nobody on the team and no owner is kept from the student.",
        ),
        ("G2e", _certain, "It is certain who the student is, and the student is enrolled at the plan's school."),
    ),
}
"""Step -> its guards: code, rule as a function, rule as a plain sentence."""
