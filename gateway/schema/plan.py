"""The success plan as a document: what it may say, how its items are named, and the bytes its hash stands for."""

import hashlib
import json
from datetime import date
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from gateway.schema import codes


def canonical(plan: "Plan") -> bytes:
    """The plan as JSON in one spelling: sorted keys, UTF-8, no spaces, nothing that is not stated.

    Leaving out what is not stated keeps the hash of a plan when a later version of this schema adds a field.
    """
    return _bytes(plan.model_dump(mode="json", by_alias=True))


def sha256(content: bytes) -> str:
    """The fingerprint of canonical bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


RECORD_OF_FAMILY = ("consultations", "attempts", "waiver")
"""What is written about the consultation is not what the family was shown."""


def shown(plan: "Plan") -> bytes:
    """The canonical bytes of what is put before the family: the plan without the record of the consultation."""
    return _bytes(plan.model_dump(mode="json", by_alias=True, exclude={*RECORD_OF_FAMILY, "numbered"}))


def shown_items(plan: "Plan") -> dict[str, str]:
    """Fingerprint of each piece that is put before the family: items by id, the rest by JSON pointer."""
    found: dict[str, str] = {}
    for name, value in json.loads(shown(plan)).items():
        if name in PREFIX:
            found |= {item["id"]: sha256(_bytes(item)) for item in value}
        else:
            found[f"/{name}"] = sha256(json.dumps(value, sort_keys=True).encode())
    return found


def _bytes(document: dict[str, Any]) -> bytes:
    stated = json.dumps(_stated(document), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return stated.encode()


def _stated(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _stated(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in (None, [], {})}
    return [_stated(part) for part in value] if isinstance(value, list) else value


class Part(BaseModel):
    """Every piece of a plan: unknown fields are refused, so that a misspelt one is not lost in silence."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, allow_inf_nan=False, frozen=True)


EntityId = Annotated[
    str,
    Field(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", json_schema_extra={"format": "uuid"}),
    AfterValidator(lambda text: str(UUID(text))),
]
"""The id of an entity of the common schema."""

Text = Annotated[str, Field(min_length=1, max_length=20_000)]
Verbatim = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=20_000)]
Value = Annotated[int | float | str, Field(description="A number, or a level in words.")]


def _id(prefix: str) -> Any:
    # Only a number, so that nobody's words get into a key or an address at another system.
    note = f"Stable name of the item in this plan, {prefix}-1 and so on; given when it is left out."
    return Field(pattern=rf"^{prefix}-[1-9][0-9]{{0,5}}$", description=note)


class Named(Part):
    """Somebody who is not on the roster."""

    name: Annotated[Text, Field(description="Name.")]
    side: Annotated[
        Literal["family", "partner"], Field(description="Belongs to the family or to a partner organization.")
    ]
    organization: Annotated[Text | None, Field(description="The partner organization.")] = None
    agreement: Annotated[Text | None, Field(description="Which agreement binds the partner.")] = None


Who = EntityId | Named
"""A person on the roster by entity id, or somebody named."""


class CitedResult(Part):
    """Evidence that was pulled."""

    assessment_result: Annotated[EntityId, Field(description="Entity id of the assessment result.")]


class Observation(Part):
    """Evidence that somebody saw."""

    observation: Annotated[Text, Field(description="What was seen.")]
    on: Annotated[date | None, Field(description="Day.")] = None
    by: Annotated[Who | None, Field(description="Who saw it.")] = None


Evidence = CitedResult | Observation


class Strength(Part):
    """What the student can build on."""

    id: Annotated[str | None, _id("strength")] = None
    domain: Annotated[codes.Domain | None, Field(description="Domain.")] = None
    statement: Annotated[Text, Field(description="In plain words.")]
    said_by: Annotated[codes.SaidBy | None, Field(description="Whose view it is.")] = None
    as_of: Annotated[date | None, Field(description="Day it was said.")] = None
    evidence: Annotated[list[Evidence], Field(description="What it rests on.")] = []


class Interest(Part):
    """What the student cares about."""

    id: Annotated[str | None, _id("interest")] = None
    statement: Annotated[Text, Field(description="In plain words.")]
    said_by: Annotated[codes.SaidBy | None, Field(description="Who said so.")] = None
    as_of: Annotated[date | None, Field(description="Day it was said.")] = None


class Need(Part):
    """What the student needs; without evidence the plan does not leave draft."""

    id: Annotated[str | None, _id("need")] = None
    domain: Annotated[codes.Domain, Field(description="Domain.")]
    statement: Annotated[Text, Field(description="In plain words.")]
    severity: Annotated[codes.Severity, Field(description="How pressing.")] = "moderate"
    status: Annotated[codes.NeedStatus, Field(description="Status.")] = "open"
    evidence: Annotated[list[Evidence], Field(description="Results and observations it rests on.")] = []


class Baseline(Part):
    """Where the student stands before the work begins."""

    measure: Annotated[Text, Field(description="What is measured.")]
    value: Value
    on: Annotated[date, Field(description="Day it was measured.")]


class Target(Part):
    """How far by when."""

    measure: Annotated[Text, Field(description="What is measured.")]
    comparator: Annotated[codes.Comparator, Field(description="How the value is to be read.")] = "at_least"
    value: Value
    unit: Annotated[Text | None, Field(description="Unit.")] = None
    due_on: Annotated[date, Field(description="Day by which.")]


class Goal(Part):
    """What is to become true, and which needs or interests it answers."""

    id: Annotated[str | None, _id("goal")] = None
    domain: Annotated[codes.Domain, Field(description="Domain.")]
    statement: Annotated[Text, Field(description="In plain words.")]
    addresses: Annotated[list[str], Field(description="Ids of needs and interests of this plan.")] = []
    baseline: Annotated[Baseline | None, Field(description="Where things stand.")] = None
    baseline_unknown_until: Annotated[
        date | None, Field(description="Not measured yet: the day by which it will be.")
    ] = None
    targets: Annotated[list[Target], Field(description="Targets.")] = []
    lifecycle: Annotated[codes.Lifecycle, Field(description="Lifecycle.")] = "proposed"
    achievement: Annotated[codes.Achievement, Field(description="Achievement.")] = "not_started"

    @model_validator(mode="after")
    def _one_baseline(self) -> Self:
        if self.baseline and self.baseline_unknown_until:
            raise ValueError("give a baseline or the day until which it is unknown, not both")
        return self


class Support(Part):
    """What is done, how often, how long, by whom. One field holds the owner, so there are never two."""

    id: Annotated[str | None, _id("support")] = None
    name: Annotated[Text, Field(description="Name.")]
    kind: Annotated[codes.SupportKind, Field(description="Kind.")]
    goals: Annotated[list[str], Field(description="Ids of goals of this plan.")] = []
    setting: Annotated[codes.Setting, Field(description="Where, in or out of school.")] = "in_school"
    delivery_method: Annotated[codes.DeliveryMethod, Field(description="To how many at once.")] = "individual"
    intensity: Annotated[codes.Intensity | None, Field(description="Intensity.")] = None
    frequency: Annotated[int | None, Field(description="How many times in an interval.", ge=1, le=1000)] = None
    frequency_interval: Annotated[codes.Interval | None, Field(description="The interval.")] = None
    duration_minutes: Annotated[int | None, Field(description="Minutes each time.", ge=1, le=100_000)] = None
    begin_on: Annotated[date | None, Field(description="First day; else the plan's.")] = None
    end_on: Annotated[date | None, Field(description="Last day.")] = None
    owner: Annotated[Who | None, Field(description="The one who answers for it.")] = None
    status: Annotated[codes.SupportStatus, Field(description="Status.")] = "not_started"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.frequency is None) != (self.frequency_interval is None):
            raise ValueError("give frequency and frequency_interval together")
        if self.begin_on and self.end_on and self.end_on < self.begin_on:
            raise ValueError("end_on is before begin_on")
        return self


class TeamMember(Part):
    """Somebody who works on the plan and sees it."""

    id: Annotated[str | None, _id("member")] = None
    who: Annotated[Who, Field(description="Person.")]
    role: Annotated[codes.TeamRole, Field(description="Role on the team.")]


class Participant(Part):
    """Somebody who took part in a consultation."""

    who: Annotated[Who, Field(description="A contact or the student by entity id, or somebody named.")]
    role: Annotated[codes.ParticipantRole | None, Field(description="As what they took part.")] = None
    education_rights: Annotated[
        codes.EducationRights, Field(description="What the district itself has on record about their rights.")
    ] = "unknown"


class Change(Part):
    """One change to what had been shown, as it was named to the family."""

    item: Annotated[Text, Field(description="Id of the item, or JSON pointer into the plan.")]
    told: Annotated[Text | None, Field(description="The words used.")] = None


class Consultation(Part):
    """A meeting with the family or the eligible student about what they were shown."""

    id: Annotated[str | None, _id("consultation")] = None
    held_on: Annotated[date, Field(description="Day.")]
    mode: Annotated[codes.Mode, Field(description="How.")] = "in_person"
    participants: Annotated[list[Participant], Field(description="Who took part.")] = []
    language: Annotated[Text | None, Field(description="Language, ISO 639-3.")] = None
    interpreter_used: Annotated[bool | None, Field(description="An interpreter took part.")] = None
    summary: Annotated[Text | None, Field(description="What was said.")] = None
    family_statement: Annotated[Verbatim | None, Field(description="The family's own words, verbatim.")] = None
    outcome: Annotated[codes.Outcome, Field(description="Outcome.")]
    shown_sha256: Annotated[
        str | None, Field(description="Fingerprint of what was shown.", pattern=r"^[0-9a-f]{64}$")
    ] = None
    changes: Annotated[list[Change], Field(description="Changes since, as named to the family.")] = []
    copy_provided_on: Annotated[date | None, Field(description="Day the family got a copy.")] = None


class Attempt(Part):
    """One attempt to reach the family."""

    id: Annotated[str | None, _id("attempt")] = None
    contact: Annotated[Who, Field(description="Whom.")]
    channel: Annotated[codes.Channel, Field(description="How.")]
    on: Annotated[date, Field(description="Day.")]
    result: Annotated[codes.AttemptResult, Field(description="What came of it.")]
    by: Annotated[EntityId | None, Field(description="Who tried.")] = None
    language: Annotated[Text | None, Field(description="Language, ISO 639-3.")] = None


class Waiver(Part):
    """The decision to go on without a consultation, after the attempts recorded in the plan."""

    reason: Annotated[Text, Field(description="Why.")]
    approved_by: Annotated[EntityId, Field(description="The administrator who decided.")]
    approved_on: Annotated[date, Field(description="Day.")]
    expires_on: Annotated[date, Field(description="Last day on which it holds.")]


class Plan(Part):
    """A student success plan. What only a complete plan has is asked for by the guards, not here: a draft may
    be saved at any time. Ids of items are given when they are left out and never given twice."""

    title: Annotated[Text, Field(description="Title.")] = "Student success plan"
    student: Annotated[EntityId, Field(description="The student.")]
    school: Annotated[EntityId, Field(description="The school (organization).")]
    coordinator: Annotated[EntityId | None, Field(description="Who keeps the plan together.")] = None
    period_start: Annotated[date, Field(description="First day.")]
    period_end: Annotated[date | None, Field(description="Last day.")] = None
    next_review_on: Annotated[date | None, Field(description="Day of the next review.")] = None
    tier: Annotated[codes.Tier | None, Field(description="Tier.")] = None
    strengths: Annotated[list[Strength], Field(description="Strengths.")] = []
    interests: Annotated[list[Interest], Field(description="Interests.")] = []
    needs: Annotated[list[Need], Field(description="Needs.")] = []
    goals: Annotated[list[Goal], Field(description="Goals.")] = []
    supports: Annotated[list[Support], Field(description="Supports.")] = []
    team: Annotated[list[TeamMember], Field(description="Team.")] = []
    consultations: Annotated[list[Consultation], Field(description="Consultations held.")] = []
    attempts: Annotated[list[Attempt], Field(description="Attempts to reach the family.")] = []
    waiver: Annotated[Waiver | None, Field(description="Decision to go on without consultation.")] = None
    numbered: Annotated[
        dict[str, Annotated[int, Field(ge=0)]], Field(description="Highest number given so far, per kind of item.")
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
