"""Which section of a plan each of its items belongs to, and so what is left out of a print for whom."""

from collections.abc import Callable, Mapping

from gateway.schema.codes import OUT_OF_SCHOOL, Domain, SupportKind
from gateway.schema.plan import Goal, Plan, Support
from gateway.schema.work import Interest, Need, Strength

Visible = Callable[[str], bool]
"""Whether the reader may see a section: one of SECTIONS."""

SECTIONS = (
    "strengths",
    "academic",
    "social_emotional",
    "health",
    "family_needs",
    "program_status",
    "goals",
    "in_school",
    "out_of_school",
    "consultation",
)
"""What may be left out of a print; who the plan is for, its team and its days stand on every one."""

BY_DOMAIN: Mapping[Domain, str] = {
    "social_emotional": "social_emotional",
    "behavior": "social_emotional",
    "physical_health": "health",
    "mental_health": "health",
    "family_basic_needs": "family_needs",
}
BY_KIND: Mapping[SupportKind, str] = {
    "counseling": "social_emotional",
    "behavior_support": "social_emotional",
    "crisis_response": "social_emotional",
    "health_service": "health",
    "basic_needs": "family_needs",
    "family_support": "family_needs",
    "special_education_service_ref": "program_status",
    "section_504_accommodation_ref": "program_status",
}


def seen(one: Need | Goal | Strength | Interest, visible: Visible) -> bool:
    """The reader may see a need, a goal, a strength or an interest."""
    if isinstance(one, Strength | Interest):
        return visible("strengths")
    return (visible("goals") or not isinstance(one, Goal)) and visible(_of(one))


def _of(one: Need | Goal) -> str:
    return BY_DOMAIN.get(one.domain, "academic")


def support_seen(support: Support, plan: Plan, visible: Visible) -> bool:
    """A support tells of the needs that its goals answer: the reader may see one of them, or there are none."""
    goals = [goal for goal in plan.goals if goal.id in support.goals]
    kind = BY_KIND.get(support.kind)
    return (
        visible(place(support))
        and (kind is None or visible(kind))
        and (not goals or any(visible(_of(goal)) for goal in goals))
    )


def place(support: Support) -> str:
    """In or out of school: the section it is printed in."""
    return "out_of_school" if support.setting in OUT_OF_SCHOOL else "in_school"


def left_out(plan: Plan, visible: Visible) -> tuple[str, ...]:
    """The sections that the plan has something in and the reader may not see."""
    has = {_of(need) for need in plan.needs} | {_of(goal) for goal in plan.goals}
    has |= {BY_KIND[one.kind] for one in plan.supports if one.kind in BY_KIND}
    has |= {place(one) for one in plan.supports}
    has |= {"strengths"} if plan.strengths or plan.interests else set()
    has |= {"goals"} if plan.goals else set()
    has |= {"program_status"} if plan.external_plans else set()
    has |= {"consultation"} if plan.consultations or plan.attempts or plan.waiver else set()
    return tuple(name for name in SECTIONS if name in has and not visible(name))
