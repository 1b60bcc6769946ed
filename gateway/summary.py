"""A plan in short, as a platform may show it: what of it a delivery profile lets through, and what it keeps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway import sections
from gateway.access import Section
from gateway.connector import Loss
from gateway.schema.plan import Goal, Plan, Support

Sentence = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\r\n<>]*$")]
"""A line of the district's own, the same for every student."""


class PlanProfile(BaseModel):
    """What a platform gets to see of a plan. As it is before anybody chooses: nothing of feelings, behavior, health or
    the family. Consents and agreements are laid over it, whatever it says."""

    model_config = ConfigDict(extra="forbid")

    include_strengths: bool = Field(default=True, title="Send strengths", description="Word for word.")
    include_goals: bool = Field(
        default=True,
        title="Send goals",
        description="Word for word, with where things stand and their targets. Not those that must not be shown in a"
        " learning platform.",
    )
    include_supports: bool = Field(
        default=True,
        title="Send supports",
        description="In-school supports by name, with the role of whoever answers for each.",
    )
    include_review: bool = Field(default=True, title="Send the review date", description="Day of the next review.")
    include_interests: bool = Field(default=False, title="Send interests", description="Word for word.")
    include_needs: bool = Field(default=False, title="Send needs", description="Academic ones, word for word.")
    include_outside_supports: bool = Field(
        default=False,
        title="Send supports outside school",
        description="Those that others give, by name; their organizations are not named.",
    )
    include_social_emotional: bool = Field(
        default=False,
        title="Send what tells of feelings and behavior",
        description="Of all that is switched on above, also what is about feelings and behavior.",
    )
    include_health: bool = Field(
        default=False, title="Send what tells of health", description="The same for what is about health."
    )
    include_family: bool = Field(
        default=False,
        title="Send what tells of the family",
        description="The same for what is about a family's basic needs.",
    )
    title: Sentence = Field(
        default="Student success plan", title="Title", description="The same for every student, so it tells of none."
    )
    doorway: bool = Field(
        default=False,
        title="Send a doorway only",
        description="A link to the plan and nothing of it; whoever follows it signs in and sees what they may.",
    )


@dataclass(frozen=True)
class Item:
    """One thing that the plan says: its words, (label, value) beside them, and where they stand in the plan."""

    text: str
    details: tuple[tuple[str, str], ...]
    pointer: str


Kind = Literal["strengths", "interests", "needs", "goals", "supports"]


@dataclass(frozen=True)
class Part:
    """The items of one kind under a heading. There is none without items."""

    heading: str
    kind: Kind
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Summary:
    """Plain text throughout: whoever renders it escapes it. `link` leads to the plan for those who may see it; `marker`
    is the same for this plan for ever, and nothing else carries it."""

    title: str
    sections: tuple[Part, ...]
    review_on: date | None
    link: str
    marker: str


def summarize(
    plan: Plan, profile: PlanProfile, roles: Mapping[str, str], *, id: str, link: str
) -> tuple[Summary, list[Loss]]:
    """What the profile lets through of a plan, and everything that stays, and why. `roles`: in words, of the people by
    entity id; `id` is the plan's own, `link` its doorway."""
    losses: list[Loss] = []
    # Where no goals are sent at all, a support tells of none by that; by one that is private it does.
    with_goals = profile.model_copy(update={"include_goals": True})
    withheld = {one.id for one in plan.goals if _stays("goals", one, with_goals)}
    parts = []
    for kind, heading in _PARTS:
        items = []
        for n, one in enumerate(getattr(plan, kind)):
            why = _stays(kind, one, profile)
            if not why and kind == "supports" and one.goals and withheld.issuperset(one.goals):
                why = SERVES_WITHHELD
            if why:
                losses.append(Loss(f"/{kind}/{n}", "withheld", why))
                continue
            items.append(Item(one.name if kind == "supports" else one.statement, _details(one, roles), f"/{kind}/{n}"))
            losses += [Loss(f"/{kind}/{n}/{field}", "cannot", _NO_PLACE) for field in _not_told(one)]
        if items:
            parts.append(Part(heading, kind, tuple(items)))
    review = plan.next_review_on if profile.include_review and not profile.doorway else None
    if plan.next_review_on and review is None:
        losses.append(Loss("/next_review_on", "withheld", _DOORWAY if profile.doorway else _OFF))
    losses += [Loss(f"/{field}", "cannot", _NO_PLACE) for field in _NEVER if getattr(plan, field) not in (None, [])]
    return Summary(profile.title, tuple(parts), review, link, f"urn:uuid:{id}"), losses


_PARTS: tuple[tuple[Kind, str], ...] = (
    ("strengths", "Strengths"),
    ("interests", "Interests"),
    ("needs", "Needs"),
    ("goals", "Goals"),
    ("supports", "Supports"),
)
_NEVER = (
    *("title", "language", "tier", "coordinator", "team", "external_plans", "documents", "period_end"),
    *("consultations", "attempts", "waiver", "reviews", "translations"),
)
SERVES_WITHHELD = "It serves only goals that are withheld."
_NO_PLACE = "A summary has no place for it."
_OFF = "Switched off for this destination."
_DOORWAY = "Only a doorway is sent."


def _stays(kind: Kind, one: Any, profile: PlanProfile) -> str:
    """Why an item does not leave; empty where it does."""
    if profile.doorway:
        return _DOORWAY
    told = _told(kind, one)
    if not getattr(profile, "include_outside_supports" if "outside_supports" in told else f"include_{kind}"):
        return _OFF
    for section in told:
        if section not in _SWITCHES and section not in _OPEN:
            return "What tells of it is never sent to a platform."
        if section in _SWITCHES and not getattr(profile, _SWITCHES[section]):
            return _SAYS[section]
    if kind == "goals" and one.shareable is False:
        return "Its words must not be shown in a learning platform."
    state = getattr(one, "lifecycle", getattr(one, "status", ""))
    return "It is not in force." if state in _OVER else ""


_OPEN: frozenset[Section] = frozenset({"strengths", "academic", "goals", "school_supports", "outside_supports"})
_SWITCHES: Mapping[Section, str] = {
    "social_emotional": "include_social_emotional",
    "health": "include_health",
    "family_needs": "include_family",
}
_SAYS: Mapping[Section, str] = {
    "social_emotional": "What tells of feelings or behavior is switched off for this destination.",
    "health": "What tells of health is switched off for this destination.",
    "family_needs": "What tells of the family is switched off for this destination.",
}
_OVER = ("cancelled", "rejected", "entered_in_error", "no_longer_applicable")


def _told(kind: Kind, one: Any) -> tuple[Section, ...]:
    """The sections of which an item tells. To a platform's readers a strength tells of its domain too, and some
    supports by their kind alone: they are no colleagues."""
    more: list[Section] = []
    if kind == "strengths" and one.domain:
        more.append(sections.BY_DOMAIN[one.domain])
    if kind == "supports" and one.kind in _TELLS:
        more.append(_TELLS[one.kind])
    return (*sections.told(kind, one.model_dump(mode="json")), *more)


_TELLS: Mapping[str, Section] = {
    "counseling": "social_emotional",
    "behavior_support": "social_emotional",
    "crisis_response": "social_emotional",
    "family_support": "family_needs",
}


def _details(one: Any, roles: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(_goal(one) if isinstance(one, Goal) else _support(one, roles) if isinstance(one, Support) else ())


def _goal(goal: Goal) -> Iterator[tuple[str, str]]:
    if goal.baseline:
        yield "Where things stand", f"{goal.baseline.measure}: {goal.baseline.value} ({goal.baseline.on.isoformat()})"
    for target in goal.targets:
        unit = f" {target.unit}" if target.unit else ""
        value = f"{_plain(target.comparator)} {target.value}{unit}"
        yield "Target", f"{target.measure}: {value} by {target.due_on.isoformat()}"


def _support(support: Support, roles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    # Never a name: whoever reads it in a platform sees who is in the student's classes anyway, and needs no more.
    if isinstance(support.owner, str) and support.owner in roles:
        yield "Who", roles[support.owner]


def _plain(word: str) -> str:
    return word.replace("_", " ")


def _not_told(one: Any) -> Iterator[str]:
    """What an item says beside, for which a summary has no place."""
    for field in type(one).model_fields:
        if field not in _TOLD and getattr(one, field) not in (None, [], ""):
            yield field


_TOLD = frozenset({"id", "domain", "statement", "name", "kind", "baseline", "targets", "owner", "shareable"})
