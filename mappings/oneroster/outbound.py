"""How a finalized plan reads in a OneRoster gradebook: one line item for a class, one exempt result for its student."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.connector import Document, Loss
from gateway.mapping import Attended, Crosswalks, Parties
from gateway.schema.codes import OUT_OF_SCHOOL
from gateway.schema.plan import Goal, Plan, Strength, Support
from gateway.sections import BY_DOMAIN
from gateway.summary import SERVES_WITHHELD

CATEGORY = "planbridge-plans"
"""The category of the gateway's line items. Whoever reads a class reads its categories, line items and their ids."""

Sentence = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\r\n<>]*$")]


class GradebookProfile(BaseModel):
    """What a gradebook gets to see. A line item is read by the whole class, a result by its student, the family and
    the teachers of the class; a plan's words stand in the result's comment or nowhere."""

    model_config = ConfigDict(extra="forbid")

    classes: list[str] = Field(
        default=[],
        title="Classes",
        description="sourcedIds of the classes in whose gradebooks plans may stand. In no other class is anything "
        "written. Parted by commas.",
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _typed(cls, value: Any) -> Any:
        """As somebody types them, parted by commas."""
        return [id.strip() for id in value.split(",") if id.strip()] if isinstance(value, str) else value

    title: Sentence = Field(
        default="Student success plan", title="Title", description="Of the line item: the same for every student."
    )
    category: str = Field(
        default="",
        max_length=255,
        title="Category",
        description="sourcedId of a category that the gradebook has. Left out, one of our own is made.",
    )
    comment: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        default="There is a success plan. The team has it in Planbridge.",
        title="Comment",
        description="How the comment begins.",
    )
    include_strengths: bool = Field(default=False, title="Send strengths", description="Word for word.")
    include_goals: bool = Field(default=False, title="Send goals", description="Word for word, with their targets.")
    include_supports: bool = Field(
        default=False, title="Send supports", description="In-school supports by name, without their owners."
    )
    include_review: bool = Field(default=False, title="Send the review date", description="Day of the next review.")


def outbound(
    plan: Plan, parties: Parties, profile: GradebookProfile, codes: Crosswalks
) -> tuple[list[Document], list[Loss]]:
    """Category, line item and result for each class that is switched on, and everything that stays here, and why."""
    classes = _classes(parties, profile)
    documents = [] if profile.category or not classes else [_category(profile)]
    for one in classes:
        documents.append(_line_item(plan, one, profile))
        documents.append(_result(plan, one, parties, profile))
    return documents, list(_losses(plan, parties, profile, bool(classes)))


def _classes(parties: Parties, profile: GradebookProfile) -> list[Attended]:
    # A line item must say in which school it is. # OneRoster 1.2 Gradebook, LineItem
    return [one for one in parties.classes if one.key in profile.classes and one.school]


def _category(profile: GradebookProfile) -> Document:
    return Document("categories", _key(CATEGORY), _key(CATEGORY) | {"title": profile.title}, create_only=True)


def _line_item(plan: Plan, one: Attended, profile: GradebookProfile) -> Document:
    """Shared by all plans of a class and a school year: nothing in it, its id least of all, comes from a plan but the
    year. # OneRoster 1.2 Gradebook, LineItem"""
    first, last = _school_year(plan.period_start)
    id = _line_item_id(plan, one)
    body: dict[str, Any] = _key(id) | {
        "title": profile.title,
        "assignDate": f"{first}T00:00:00.000Z",
        "dueDate": f"{last}T00:00:00.000Z",
        "class": _ref(one.key, "class"),
        "school": _ref(one.school, "org"),
        "category": _ref(profile.category or CATEGORY, "category"),
    }
    if one.sessions:
        body["academicSession"] = _ref(one.sessions[0], "academicSession")
    return Document("lineItems", _key(id), body, create_only=True)


def _result(plan: Plan, one: Attended, parties: Parties, profile: GradebookProfile) -> Document:
    """Exempt and without a score, so that no grade moves. # OneRoster 1.2 Gradebook, Result"""
    id = f"planbridge-{_digest(parties.plan, one.key)}"
    body = _key(id) | {
        "lineItem": _ref(_line_item_id(plan, one), "lineItem"),
        "student": _ref(parties.student, "user"),
        "class": _ref(one.key, "class"),
        "scoreStatus": "exempt",
        "scoreDate": plan.period_start.isoformat(),
        "comment": " ".join(_comment(plan, profile)),
    }
    return Document("results", _key(id), body)


def _comment(plan: Plan, profile: GradebookProfile) -> Iterator[str]:
    yield profile.comment
    if profile.include_strengths:
        yield from (f"Strength: {_sentence(one.statement)}" for one in _shown(plan.strengths))
    if profile.include_goals:
        yield from (f"Goal: {_goal(one)}" for one in _shown(plan.goals))
    if profile.include_supports:
        yield from (f"Support: {_sentence(one.name)}" for one in plan.supports if not _stays(one, plan))
    if profile.include_review and plan.next_review_on:
        yield f"Next review: {plan.next_review_on.isoformat()}."


def _shown(items: list[Any]) -> list[Any]:
    return [one for one in items if not _unshown(one)]


def _unshown(one: Strength | Goal) -> str:
    """Why it is never told to a gradebook; empty where it may be."""
    if one.domain in _NEVER:
        return _PRIVATE
    return _NOT_SHAREABLE if isinstance(one, Goal) and one.shareable is False else ""


_NEVER = frozenset(domain for domain, told in BY_DOMAIN.items() if told != "academic")
_NEVER_GIVEN = (
    *("counseling", "behavior_support", "health_service", "basic_needs", "family_support", "crisis_response"),
    *("special_education_service_ref", "section_504_accommodation_ref"),
)


def _stays(support: Support, plan: Plan) -> str:
    """Why a support is not told; empty when it is."""
    if support.kind in _NEVER_GIVEN:
        return _PRIVATE
    if support.setting in OUT_OF_SCHOOL:
        return "It is given outside school; only in-school supports are sent."
    if support.goals and {one.id for one in plan.goals if _unshown(one)}.issuperset(support.goals):
        return SERVES_WITHHELD
    return "It is not given." if support.status in ("cancelled", "entered_in_error") else ""


def _goal(goal: Goal) -> str:
    said = _sentence(goal.statement)
    for target in goal.targets:
        unit = f" {target.unit}" if target.unit else ""
        said += f" {target.measure}: {target.value}{unit} by {target.due_on.isoformat()}."
    return said


def _sentence(words: str) -> str:
    plain = " ".join(words.split())
    return plain if plain.endswith((".", "!", "?")) else f"{plain}."


def _line_item_id(plan: Plan, one: Attended) -> str:
    return f"planbridge-{_digest(one.key, _school_year(plan.period_start)[0])}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _school_year(day: date) -> tuple[str, str]:
    began = day.year if day.month >= 7 else day.year - 1
    return f"{began}-07-01", f"{began + 1}-06-30"


def _key(id: str) -> dict[str, Any]:
    return {"sourcedId": id}


def _ref(id: str, type: str) -> dict[str, str]:
    return {"sourcedId": id, "type": type}


_CANNOT = "A gradebook has no place for it."
_WITHHELD = "Switched off for this destination."
_NOT_SHAREABLE = "Its words must not be shown in a learning platform."
_PRIVATE = "Feelings, behavior, health and basic needs are never told to a gradebook."


def _losses(plan: Plan, parties: Parties, profile: GradebookProfile, sent: bool) -> Iterator[Loss]:
    if not sent:
        there = "the student is in none of the classes that are" if profile.classes else "no class is"
        yield Loss("", "withheld", f"Nothing is sent: {there} switched on for this destination.")
        return
    for field in _NO_PLACE:
        if getattr(plan, field) not in (None, []):
            yield Loss(
                f"/{field}", "cannot" if field != "needs" else "withheld", _NEEDS if field == "needs" else _CANNOT
            )
    yield from _worded("strengths", plan.strengths, profile.include_strengths)
    yield from _worded("goals", plan.goals, profile.include_goals)
    for n, goal in enumerate(plan.goals):
        if profile.include_goals and not _unshown(goal):
            for field in type(goal).model_fields:
                if field not in ("id", "domain", "statement", "targets", "shareable") and getattr(goal, field) not in (
                    None,
                    [],
                ):
                    yield Loss(f"/goals/{n}/{field}", "cannot", _CANNOT)
    for n, support in enumerate(plan.supports):
        yield from _support(n, support, plan, profile)
    if plan.next_review_on and not profile.include_review:
        yield Loss("/next_review_on", "withheld", _WITHHELD)
    if plan.period_end:
        yield Loss("/period_end", "cannot", _CANNOT)


_NO_PLACE = (
    *("title", "language", "tier", "coordinator", "needs", "interests", "team", "external_plans", "documents"),
    *("consultations", "attempts", "waiver", "reviews", "translations"),
)
_NEEDS = "Needs are never told to a gradebook."


def _worded(section: str, items: Sequence[Strength | Goal], included: bool) -> Iterator[Loss]:
    for n, one in enumerate(items):
        if not included:
            yield Loss(f"/{section}/{n}", "withheld", _WITHHELD)
        elif why := _unshown(one):
            yield Loss(f"/{section}/{n}", "withheld", why)


def _support(n: int, support: Support, plan: Plan, profile: GradebookProfile) -> Iterator[Loss]:
    if not profile.include_supports:
        yield Loss(f"/supports/{n}", "withheld", _WITHHELD)
    elif why := _stays(support, plan):
        yield Loss(f"/supports/{n}", "withheld", why)
    else:
        for field in type(support).model_fields:
            if field not in ("id", "name") and getattr(support, field) not in (None, []):
                yield Loss(f"/supports/{n}/{field}", "cannot", _CANNOT)
