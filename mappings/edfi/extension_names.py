"""How an extension calls what we write into it: SSP's own names, and a district's map from them to others."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Kind = Literal["plan", "goal", "observation", "support"]

SSP: Mapping[Kind, str] = {
    "plan": "ssp/studentSuccessPlans",
    "goal": "ssp/studentSuccessPlanGoals",
    "observation": "ssp/studentSuccessPlanGoalObservations",
    "support": "ssp/studentSuccessPlanSupports",
}

OWN = ("studentReference.studentUniqueId", "educationOrganizationReference.educationOrganizationId", "planIdentifier")
PLAN = tuple(f"studentSuccessPlanReference.{name.rpartition('.')[2]}" for name in OWN)
GOAL = tuple(f"studentSuccessPlanGoalReference.{name.rpartition('.')[2]}" for name in (*OWN, "goalIdentifier"))

KEYS: Mapping[Kind, tuple[str, ...]] = {
    "plan": OWN,
    "goal": (*PLAN, "goalIdentifier"),
    "observation": (*GOAL, "observationDate"),
    "support": (*PLAN, "supportIdentifier"),
}
"""Where the natural key stands in a record."""

FIELDS: Mapping[Kind, Mapping[str, int]] = {
    "plan": {
        **dict.fromkeys(OWN, 0),
        "planIdentifier": 60,
        "planBeginDate": 0,
        "planEndDate": 0,
        "nextReviewDate": 0,
        "planStatusDescriptor": 0,
        "supportTierDescriptor": 0,
        "studentProgramAssociationReference": 0,
        "planTeamMembers.memberIdentifier": 60,
        "planTeamMembers.planTeamRoleDescriptor": 0,
        "planTeamMembers.staffReference.staffUniqueId": 0,
        "planReviews.reviewIdentifier": 60,
        "planReviews.reviewDate": 0,
        "planReviews.reviewMethodDescriptor": 0,
        "planUri": 255,
    },
    "goal": {
        **dict.fromkeys(PLAN, 0),
        "goalIdentifier": 60,
        "goalAreaDescriptor": 0,
        "goalStatusDescriptor": 0,
        "goalStatement": 1024,
        "baselineDate": 0,
        "baselineMeasure": 255,
        "baselineValue": 255,
        "goalTargets.targetNumber": 0,
        "goalTargets.dueDate": 0,
        "goalTargets.targetMeasure": 255,
        "goalTargets.targetValue": 255,
        "goalEndDate": 0,
    },
    "observation": {**dict.fromkeys(GOAL, 0), "observationDate": 0, "goalAchievementDescriptor": 0},
    "support": {
        **dict.fromkeys(PLAN, 0),
        "supportIdentifier": 60,
        "supportStatusDescriptor": 0,
        "supportBeginDate": 0,
        "supportEndDate": 0,
        "frequencyCount": 0,
        "frequencyIntervalDescriptor": 0,
        "interventionReference": 0,
        **{f"studentSuccessPlanGoals.{name}": 0 for name in GOAL},
    },
}
"""Everything that is ever written, as docs/edfi-extension names it, and how long a text may be there. Of the references
to the participation and the intervention only their own names."""


class Names(BaseModel):
    """One collection of a district's own extension, and how it calls what we write."""

    model_config = ConfigDict(extra="forbid")

    resource: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,59}/[a-z][A-Za-z0-9]{0,120}$")
    fields: dict[str, Annotated[str, Field(pattern=r"^([a-z][A-Za-z0-9]{0,120})?$")]]

    @field_validator("resource")
    @classmethod
    def _not_the_core(cls, resource: str) -> str:
        if resource.casefold().startswith("ed-fi/"):
            raise ValueError("ed-fi is the core, no extension")
        return resource


class ExtensionMap(BaseModel):
    """A district's own extension. A kind of record that it does not have is left out."""

    model_config = ConfigDict(extra="forbid")

    plan: Names
    goal: Names | None = None
    observation: Names | None = None
    support: Names | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        for kind, known in FIELDS.items():
            names: Names | None = getattr(self, kind)
            for path, target in names.fields.items() if names else ():
                if not any(f"{one}.".startswith(f"{path}.") for one in known):
                    raise ValueError(f"{kind} has no {path}; docs/edfi-extension lists what there is")
                if path.endswith("EndDate") and target and not target.lower().endswith("enddate"):
                    # By its name it is found again when the record is to be ended.
                    raise ValueError(f"{path} must become endDate or a name that ends in EndDate")
            if names and (lacking := [path for path in KEYS[kind] if not called(names.fields, path)]):
                raise ValueError(f"{kind} needs a name for {', '.join(lacking)}: they are its key")
        return self


class ExtensionProfile(BaseModel):
    """What a destination's extension gets to see."""

    extension: Literal["none", "ssp", "map"] = Field(
        default="none",
        title="Extension",
        description="ssp: the server has the extension of docs/edfi-extension. map: it has one of the district's own, "
        "whose names are given below. What the core has no place for goes there.",
    )
    extension_map: ExtensionMap | None = Field(
        default=None,
        title="Names of the district's own extension",
        description="For each of plan, goal, observation and support its resource (namespace/collection) and fields.",
    )
    include_goal_statements: bool = Field(
        default=False,
        title="Send goals in words",
        description="Statement, baseline and targets of goals, in the extension. Never of goals about health, "
        "accessibility or a family's needs.",
    )
    include_reviews: bool = Field(
        default=False,
        title="Send reviews",
        description="On which days the plan was talked over with the family and how, in the extension.",
    )
    plan_address: str = Field(
        default="",
        max_length=200,
        pattern=r"^(https://[^\s{}]+\{plan\}[^\s{}]*)?$",
        title="Address of a plan",
        description="Where people find the whole plan, with {plan} for its id; in the extension.",
    )

    @field_validator("extension_map", mode="before")
    @classmethod
    def _written_out(cls, given: Any) -> Any:
        """On a command line it comes as JSON."""
        if isinstance(given, str):
            try:
                return json.loads(given) if given.strip() else None
            except ValueError:
                raise ValueError("it is not JSON") from None
        return given

    @model_validator(mode="after")
    def _mapped(self) -> Self:
        if self.extension == "map" and self.extension_map is None:
            raise ValueError("extension=map needs extension_map: set it too")
        return self


def renamed(record: Mapping[str, Any], names: Mapping[str, str], within: str = "") -> dict[str, Any]:
    """A record as a map calls its parts. What it does not name is left out; inside of what it names, parts keep their
    names unless it gives another, or none."""
    made = {}
    for name, part in record.items():
        path = f"{within}{name}"
        if target := names.get(path, name if within else ""):
            if isinstance(part, Mapping):
                part = renamed(part, names, f"{path}.")
            elif isinstance(part, list):
                part = [renamed(one, names, f"{path}.") for one in part]
            made[target] = part
    return made


def called(names: Mapping[str, str], path: str) -> str:
    """What stands at `path` is called so in the destination's record; empty where it is left out."""
    found, before = "", ""
    for name in path.split("."):
        found = names.get(f"{before}{name}", name if before else "")
        if not found:
            return ""
        before = f"{before}{name}."
    return found


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_leaves(record))


def _leaves(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, part in record.items():
        if isinstance(part, Mapping):
            yield from _leaves(part)
        else:
            yield name, part
