"""The guards of a plan's life: each rule over a plan and what is known of its people yields what is missing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal, get_args

from gateway.schema.codes import OUT_OF_SCHOOL, ClosingOutcome, iso
from gateway.schema.plan import (
    CitedResult,
    Consultation,
    Named,
    Participant,
    Plan,
    Translation,
    Waiver,
    sha256,
    shown_items,
    texts,
)

LONGEST_REVIEW = timedelta(days=366)
ATTEMPTS, CHANNELS, ATTEMPT_DAYS = 3, 2, 10
ADULT = 18
OVER = ("cancelled", "stopped", "completed", "entered_in_error")
BY_PROFESSION = ("educator", "interpreter", "partner")
KEPT_ELSEWHERE = {"disability": "iep", "section_504": "section_504"}
"""Program status -> the plan that goes with it, which is kept elsewhere."""
TEMPLATED = ("strengths", "interests", "needs", "goals", "supports")
WORKED_ON = ("proposed", "accepted", "active")
GIVEN_UP = ("cancelled", "rejected", "entered_in_error")
FINAL = ("achieved", "sustaining", "not_achieved", "not_attainable")


@dataclass(frozen=True)
class Given:
    """What somebody states with a step: why, with which outcome, and what whoever comes next must know."""

    because: str = ""
    outcome: str = ""
    note: str = ""


@dataclass(frozen=True)
class PersonFacts:
    """What the roster says of one person today."""

    population: str
    active: bool
    educator: bool
    administrator: bool
    born: date | None = None
    languages: tuple[str, ...] = ()
    """ISO 639-3, of their home, where a source says so."""
    at: frozenset[str] = frozenset()
    """Where they have a role today."""


@dataclass(frozen=True)
class RelationshipFacts:
    """What the sources and the district say of one contact's relationship to the student."""

    contact: str
    education_rights: Literal["yes", "no", "unknown"]
    parent_or_guardian: bool
    restricted: bool


@dataclass(frozen=True)
class ConsentFacts:
    """A consent that holds today for the student: to whom, and the sections that it permits and none forbids them."""

    recipient: str
    sections: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """What must be known to judge a plan; all of it is about the plan's student and the people it names."""

    today: date
    enrolled_at: frozenset[str]
    reach: frozenset[str]
    """The plan's school, and all that is above it."""
    open_identity: bool
    people: Mapping[str, PersonFacts]
    relationships: Sequence[RelationshipFacts]
    results: frozenset[str]
    shown: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What was put before the family, by its sha256: the fingerprint of each item."""
    authors: frozenset[str] = frozenset()
    """Persons who wrote the plan; none of them may waive the consultation."""
    consents: Mapping[str, Sequence[ConsentFacts]] = field(default_factory=dict)
    """Reference (the number, or where the paper is) -> the consents it names that hold today for this student."""
    programs: frozenset[str] = frozenset()
    """What the sources say today of the student's program status, as codes of the common schema."""
    flagged: frozenset[str] = frozenset()
    """People of whom the newest check of a source says that something of theirs is missing here, or stands for two."""
    in_review_since: date | None = None
    given: Given = Given()


Guard = Callable[[Plan, Facts], Iterator[str]]
Rule = tuple[str, Guard, str]

# --- the guards; reference: success-plan guards G1 to G8 and G10 ----------------------------------------------


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
    if _not_understood(consultation, plan, facts):
        yield "interpreter"
    if any(_barred(participant, facts) for participant in with_whom) or not any(
        _may_be_consulted(participant, consultation.held_on, plan, facts) for participant in with_whom
    ):
        yield "participants"
    yield from _not_on_what_was_shown(consultation, plan, facts)


def _barred(participant: Participant, facts: Facts) -> bool:
    """Somebody whose rights are `no`; for those who come by profession the word means only that they have none."""
    by_profession = participant.role in BY_PROFESSION
    tied = any(r.contact == participant.who for r in facts.relationships)
    return _rights(participant, facts) == "no" and (tied or not by_profession)


def _rights(participant: Participant, facts: Facts) -> str:
    """`no` from any source or in the district's own entry wins; then `yes` from any."""
    stated = {r.education_rights for r in facts.relationships if r.contact == participant.who}
    stated.add(participant.education_rights)
    return next(word for word in ("no", "yes", "unknown") if word in stated)


def _may_be_consulted(participant: Participant, held_on: date, plan: Plan, facts: Facts) -> bool:
    person = facts.people.get(plan.student)
    of_age = person is not None and person.born is not None and _age(person.born, held_on) >= ADULT
    if participant.who == plan.student:
        return of_age
    if of_age and participant.education_rights != "yes":
        return False  # the rights are the student's now, unless the district itself has it on record otherwise
    ties = [r for r in facts.relationships if r.contact == participant.who]
    # Somebody named is in no feed: the record says who it was and as what.
    family = participant.who.side == "family" if isinstance(participant.who, Named) else bool(ties)
    recorded = participant.role in ("parent", "guardian") or any(r.parent_or_guardian for r in ties)
    return family and (_rights(participant, facts) == "yes" or recorded)


def _not_understood(consultation: Consultation, plan: Plan, facts: Facts) -> bool:
    """Whether somebody of the family has another language than the plan, and neither an interpreter nor a translation
    of what stands in it was there."""
    if consultation.interpreter or consultation.interpreter_used:
        return False
    if any(participant.role == "interpreter" for participant in consultation.participants):
        return False
    for participant in consultation.participants:
        if participant.role in BY_PROFESSION or participant.who == plan.student:
            continue
        person = facts.people.get(participant.who) if isinstance(participant.who, str) else None
        known = person.languages if person else ()
        spoken = {iso(word) for word in known or filter(None, [consultation.language])}
        if spoken and iso(plan.language or "eng") not in spoken:
            told = {change.item for change in consultation.changes}
            if not any(_translated(plan, one, told) for one in plan.translations if iso(one.language) in spoken):
                return True
    return False


def _translated(plan: Plan, translation: Translation, told: set[str]) -> bool:
    """Whether each goal and support is there in the words that stand; what changed at the meeting was told there."""
    made = {line.item: line.of_sha256 for line in translation.items}
    return all(
        item in told or made.get(item) == sha256(words.encode())
        for item, words in texts(plan).items()
        if item.startswith(("goal-", "support-"))
    )


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


def consulted_unknown(plan: Plan, facts: Facts) -> Iterator[str]:
    """Who was consulted without anybody knowing of their education rights, as JSON pointers: it may be so, and stands
    with the version."""
    for n, consultation in enumerate(plan.consultations):
        for m, participant in enumerate(consultation.participants):
            counts = _may_be_consulted(participant, consultation.held_on, plan, facts)
            if counts and participant.who != plan.student and _rights(participant, facts) == "unknown":
                yield f"/consultations/{n}/participants/{m}/education_rights"


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
    """G2d: an educator of the school keeps it together; nobody who works on it is kept from the student."""
    coordinator = facts.people.get(plan.coordinator or "")
    if coordinator is None or not coordinator.active or not coordinator.educator or not coordinator.at & facts.reach:
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


def _permitted(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2f: whoever gives a support from outside the district is bound by an agreement, and a consent that holds today
    lets them know whom they support, and the support."""
    for n, support in enumerate(plan.supports):
        if support.status in OVER:
            continue
        named = [one for one in (support.owner, *support.providers) if isinstance(one, Named) and one.side == "partner"]
        needed = {"identity", "outside_supports" if support.setting in OUT_OF_SCHOOL else "school_supports"}
        given = facts.consents.get(support.consent or "", ())
        names = {one.organization or one.name for one in named} | {support.provider_organization or ""} - {""}
        if not all(needed <= _permitted_to(f"organization:{name}", given) for name in names):
            yield f"/supports/{n}/consent"
        for m, one in enumerate(support.providers):
            if isinstance(one, Named) and one.side == "partner" and one.agreement is None:
                yield f"/supports/{n}/providers/{m}/agreement"


def _permitted_to(recipient: str, given: Sequence[ConsentFacts]) -> frozenset[str]:
    return frozenset[str]().union(*(one.sections for one in given if one.recipient.lower() == recipient.lower()))


def _without_conflict(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2g: an IEP or 504 plan in force is pointed to, and somebody has compared the two."""
    in_force = {one.type for one in plan.external_plans if one.status == "active"}
    if any(status in facts.programs and type not in in_force for status, type in KEPT_ELSEWHERE.items()):
        yield "/external_plans"
    differing = {one for _, one in conflicts(plan)}
    for n, one in enumerate(plan.external_plans):
        asked = one.status == "active" and (one.type in KEPT_ELSEWHERE.values() or one.id in differing)
        if asked and one.conflict_acknowledged is None:
            yield f"/external_plans/{n}/conflict_acknowledged"
    known = {one.id for one in plan.external_plans}
    for n, support in enumerate(plan.supports):
        if support.external_plan is not None and support.external_plan not in known:
            yield f"/supports/{n}/external_plan"


def conflicts(plan: Plan) -> list[tuple[str, str]]:
    """(support, external plan) where two plans name different owners for the same service (E13)."""
    owners = {one.id: one.owner for one in plan.external_plans if one.owner is not None and one.status == "active"}
    return [
        (support.id or "", support.external_plan)
        for support in plan.supports
        if support.external_plan in owners
        and support.external_plan is not None
        and support.status not in OVER
        and support.owner is not None
        and support.owner != owners[support.external_plan]
    ]


def _made_for_this_child(plan: Plan, facts: Facts) -> Iterator[str]:
    """G2h: no item of a template that nobody has looked at (E12); nothing amiss with what the sources say."""
    for section in TEMPLATED:
        for n, item in enumerate(getattr(plan, section)):
            if item.template is not None:
                yield f"/{section}/{n}/template"
    if plan.student in facts.flagged:
        yield "/student"


def _begun(plan: Plan, facts: Facts) -> Iterator[str]:
    """G3: its first day has come."""
    if plan.period_start > facts.today:
        yield "/period_start"


def _due(plan: Plan, facts: Facts) -> Iterator[str]:
    """G5: the day of the review has come."""
    if plan.next_review_on is None or plan.next_review_on > facts.today:
        yield "/next_review_on"


def _looked_at(plan: Plan, facts: Facts) -> Iterator[str]:
    """G6: a review was held, and says of each goal that is worked on how far it has come."""
    since = facts.in_review_since or date.min
    if not any(since <= review.held_on <= facts.today for review in plan.reviews):
        yield "/reviews"
    for n, goal in enumerate(plan.goals):
        if goal.lifecycle in WORKED_ON and goal.achievement == "not_started":
            yield f"/goals/{n}/achievement"
    yield from _reviewed(plan, facts)


def _concluded(plan: Plan, facts: Facts) -> Iterator[str]:
    """G7: each goal has come to something, and whoever comes next can read what."""
    for n, goal in enumerate(plan.goals):
        if goal.lifecycle not in GIVEN_UP and goal.achievement not in FINAL:
            yield f"/goals/{n}/achievement"
    if facts.given.outcome not in get_args(ClosingOutcome):
        yield "/outcome"
    if not facts.given.note.strip():
        yield "/note"


def _reasoned(plan: Plan, facts: Facts) -> Iterator[str]:
    """G8, G10: it is on record why."""
    if not facts.given.because.strip():
        yield "/because"


_WHOLE_CHILD: Rule = (
    "G1",
    _whole_child,
    "A plan begins with a strength and a need or interest; each need has evidence, each goal answers one.",
)
_DUE_LATER: Rule = (
    "G2c",
    _reviewed,
    "The next review is in the future, at most 366 days from today.",
)
TO_CONSULT = (_WHOLE_CHILD,)
TO_FINALIZE: tuple[Rule, ...] = (
    (
        "G1",
        _complete,
        "A strength, a need or interest, evidence for each need; each goal answers one, with baseline and target; "
        "each support serves a goal.",
    ),
    (
        "G2a",
        _consulted,
        "The family, or the student of age, was consulted on what was shown, in words they understand; or an "
        "administrator other than its authors waived it after three attempts on two channels over ten days.",
    ),
    (
        "G2b",
        _owned,
        "Each support that is not over has exactly one owner who is here today; outside school that is the family "
        "or a partner with an agreement.",
    ),
    _DUE_LATER,
    (
        "G2d",
        _coordinated,
        "An active educator of the plan's school, or of what is above it, coordinates; nobody on the team and no owner "
        "is kept from the student.",
    ),
    ("G2e", _certain, "It is certain who the student is, and the student is enrolled at the plan's school."),
    (
        "G2f",
        _permitted,
        "Whoever gives a support from outside the district has an agreement, and a consent on record that holds today "
        "names them and lets them see identity and that part of the plan.",
    ),
    (
        "G2g",
        _without_conflict,
        "An IEP or 504 plan in force is pointed to, and somebody has compared it with this plan.",
    ),
    (
        "G2h",
        _made_for_this_child,
        "Each item that came from a template was changed or confirmed, and nothing is amiss with the student's data.",
    ),
)
TO_BEGIN: tuple[Rule, ...] = (("G3", _begun, "The plan's first day has come."),)
TO_REVIEW: tuple[Rule, ...] = (("G5", _due, "The day of the review has come."),)
TO_GO_ON: tuple[Rule, ...] = (
    (
        "G6",
        _looked_at,
        "A review was held since it was due; each goal that is worked on has an achievement, and the next review has "
        "a day in the future.",
    ),
)
TO_CLOSE: tuple[Rule, ...] = (
    ("G7", _concluded, "Each goal has a final achievement; the outcome and a note for whoever comes next are given."),
)
TO_TAKE_BACK: tuple[Rule, ...] = (("G8", _reasoned, "It is on record why."),)
TO_HOLD: tuple[Rule, ...] = (("G10", _reasoned, "It is on record why."),)
