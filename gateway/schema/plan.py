"""The success plan as a document: what it may say, how its items are named, and the bytes its hash stands for."""

import hashlib
import json
from datetime import date
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from gateway.schema import codes
from gateway.schema.family import (
    Attempt,
    Consultation,
    GoalReview,
    Participant,
    Review,
    TranslatedItem,
    Translation,
    Waiver,
)
from gateway.schema.part import EntityId, Language, Named, Part, Text, Who, says
from gateway.schema.work import (
    CitedResult,
    Document,
    ExternalPlan,
    Goal,
    Interest,
    Need,
    Strength,
    Support,
    TeamMember,
    last_urgent_day,
)

__all__ = [
    "PREFIX",
    "VERSION",
    "CitedResult",
    "Consultation",
    "Document",
    "ExternalPlan",
    "Goal",
    "GoalReview",
    "Named",
    "Part",
    "Participant",
    "Plan",
    "Review",
    "Strength",
    "Support",
    "TranslatedItem",
    "Translation",
    "Waiver",
    "Who",
    "canonical",
    "last_urgent_day",
    "published",
    "sha256",
    "shown",
    "shown_items",
    "texts",
]

VERSION = "2.0"
"""Of the published schema. The first number changes where a document that fitted does not fit any more."""


def published() -> dict[str, Any]:
    """The JSON Schema of a plan as others may rely on it: named with its version, each field with its meaning and the
    source of its term."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:planbridge:schema:success-plan:{VERSION}",
        **Plan.model_json_schema(),
    }


def canonical(plan: "Plan") -> bytes:
    """The plan as JSON in one spelling: sorted keys, UTF-8, no spaces, nothing that is not stated.

    Leaving out what is not stated keeps the hash of a plan when a later version of this schema adds a field.
    """
    return _bytes(plan.model_dump(mode="json", by_alias=True))


def sha256(content: bytes) -> str:
    """The fingerprint of canonical bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


RECORD_OF_FAMILY = ("consultations", "attempts", "waiver", "reviews", "translations")
"""What is written about the consultation, and after it, is not what the family was shown; a translation says nothing
that the plan does not say."""


def shown(plan: "Plan") -> bytes:
    """The canonical bytes of what is put before the family: the plan without the record of the consultation."""
    said = plan.model_dump(mode="json", by_alias=True, exclude={*RECORD_OF_FAMILY, "numbered"})
    for section in PREFIX:
        for item in said.get(section) or ():
            for mark in ("template", "conflict_acknowledged"):  # that the school has done its own work
                item.pop(mark, None)
    return _bytes(said)


def shown_items(plan: "Plan") -> dict[str, str]:
    """Fingerprint of each piece that is put before the family: items by id, the rest by JSON pointer."""
    found: dict[str, str] = {}
    for name, value in json.loads(shown(plan)).items():
        if name in PREFIX:
            found |= {item["id"]: sha256(_bytes(item)) for item in value}
        else:
            found[f"/{name}"] = sha256(json.dumps(value, sort_keys=True).encode())
    return found


def texts(plan: "Plan") -> dict[str, str]:
    """The words of a plan that a translation can give: item -> text. A line of a translation is stale when
    `sha256(text.encode())` is another than its `of_sha256`."""
    found = {"/title": plan.title}
    for items in (plan.strengths, plan.interests, plan.needs, plan.goals):
        found |= {item.id or "": item.statement for item in items}
    found |= {support.id or "": support.name for support in plan.supports}
    return found | {f"{held.id}/summary": held.summary for held in plan.consultations if held.summary}


def _bytes(document: dict[str, Any]) -> bytes:
    stated = json.dumps(_stated(document), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return stated.encode()


def _stated(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _stated(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in (None, [], {})}
    return [_stated(part) for part in value] if isinstance(value, list) else value


class Plan(Part):
    """A student success plan. What only a complete plan has is asked for by the guards, not here: a draft may
    be saved at any time. Ids of items are given when they are left out and never given twice."""

    title: Annotated[Text, says("Title.", "FHIR CarePlan.title")] = "Student success plan"
    language: Annotated[Language | None, says("Language it is written in, ISO 639-3; else English.", "ISO 639-3")] = (
        None
    )
    student: Annotated[EntityId, says("The student.", "FHIR CarePlan.subject")]
    school: Annotated[EntityId, says("The school (organization).", "Ed-Fi School; OneRoster 1.2 Org")]
    coordinator: Annotated[EntityId | None, says("Who keeps the plan together.", "FHIR CarePlan.author")] = None
    period_start: Annotated[date, says("First day.", "FHIR CarePlan.period")]
    period_end: Annotated[date | None, says("Last day.", "FHIR CarePlan.period")] = None
    next_review_on: Annotated[date | None, says("Day of the next review.", "MTSS review cycle")] = None
    tier: Annotated[codes.Tier | None, says("Tier.", "MTSS")] = None
    strengths: Annotated[list[Strength], says("Strengths.", "City Connects")] = []
    interests: Annotated[list[Interest], says("Interests.", "MyCAP")] = []
    needs: Annotated[list[Need], says("Needs.", "FHIR CarePlan.addresses")] = []
    goals: Annotated[list[Goal], says("Goals.", "FHIR CarePlan.goal")] = []
    supports: Annotated[list[Support], says("Supports.", "FHIR CarePlan.activity")] = []
    team: Annotated[list[TeamMember], says("Team.", "FHIR CarePlan.careTeam")] = []
    external_plans: Annotated[
        list[ExternalPlan], says("Plans kept elsewhere: pointers, no content.", "Ed-Fi EducationPlanDescriptor")
    ] = []
    documents: Annotated[list[Document], says("Pointers to documents.", "FHIR CarePlan.supportingInfo")] = []
    consultations: Annotated[list[Consultation], says("Consultations held.", "34 CFR 300.322 as a discipline")] = []
    attempts: Annotated[list[Attempt], says("Attempts to reach the family.", "34 CFR 300.322(d) as a discipline")] = []
    waiver: Annotated[
        Waiver | None, says("Decision to go on without consultation.", "34 CFR 300.322(d) as a discipline")
    ] = None
    reviews: Annotated[list[Review], says("Reviews held.", "MTSS review cycle")] = []
    translations: Annotated[list[Translation], says("The plan's words in other languages.")] = []
    numbered: Annotated[
        dict[str, Annotated[int, Field(ge=0)]], says("Highest number given so far, per kind of item.")
    ] = {}

    @model_validator(mode="before")
    @classmethod
    def _number(cls, given: Any) -> Any:
        return _with_ids(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.period_end and self.period_end < self.period_start:
            raise ValueError("period_end is before period_start")
        for section in PREFIX:
            ids = [item.id for item in getattr(self, section)]
            if len(set(ids)) < len(ids):
                raise ValueError(f"two {section} have the same id")
        languages = [one.language for one in self.translations]
        if len(set(languages)) < len(languages):
            raise ValueError("two translations are in the same language")
        return self


PREFIX = {
    "strengths": "strength",
    "interests": "interest",
    "needs": "need",
    "goals": "goal",
    "supports": "support",
    "team": "member",
    "consultations": "consultation",
    "attempts": "attempt",
    "external_plans": "external",
    "documents": "document",
    "reviews": "review",
    "translations": "translation",
}
"""What the ids of a section's items begin with."""


def _with_ids(given: dict[str, Any]) -> dict[str, Any]:
    """The same plan with an id on every item; what is malformed stays as it is, for the schema to name."""
    plan = dict(given)
    numbered = plan.get("numbered") or {}
    if not isinstance(numbered, dict):
        return plan
    plan["numbered"] = numbered = dict(numbered)
    for section, prefix in PREFIX.items():
        if not isinstance(items := plan.get(section), list):
            continue
        known = [_number_in(_id_of(item), prefix) for item in items]
        highest = max([*known, *(n for n in [numbered.get(prefix)] if isinstance(n, int))], default=0)
        plan[section] = items = list(items)
        for place, item in enumerate(items):
            if isinstance(item, dict | Part) and _id_of(item) is None:
                highest += 1
                name = {"id": f"{prefix}-{highest}"}
                items[place] = item.model_copy(update=name) if isinstance(item, Part) else {**item, **name}
        if highest:
            numbered[prefix] = highest
    return plan


def _id_of(item: Any) -> Any:
    return item.get("id") if isinstance(item, dict) else getattr(item, "id", None)


def _number_in(name: Any, prefix: str) -> int:
    digits = name.removeprefix(f"{prefix}-") if isinstance(name, str) else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 6 else 0
