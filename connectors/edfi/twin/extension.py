"""What a host may have added to the core model: an extension with resources and descriptors of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors.edfi.twin.shapes import Field, Fields, Shape, coded, many, must, pointer, text, to


@dataclass(frozen=True)
class Extension:
    """`namespace` is what its addresses begin with; `shapes` are its resources, parents before children; `codes` the
    values of each of its descriptors, parted by semicolons, in the namespace `owner`."""

    namespace: str
    owner: str
    shapes: Mapping[str, Shape]
    codes: Mapping[str, str]

    def descriptors(self) -> dict[str, str]:
        """The descriptor of every descriptor resource, by the resource's name."""
        return {f"{name[0].lower()}{name[1:]}Descriptors": f"{name}Descriptor" for name in self.codes}

    def values(self) -> Iterator[tuple[str, str, str]]:
        """(descriptor, its namespace, code value)."""
        for name, listed in self.codes.items():
            for code in listed.split("; "):
                yield f"{name}Descriptor", f"{self.owner}/{name}Descriptor", code

    def natural_key(self, resource: str) -> list[str]:
        return [path.rpartition(".")[2] for path in self.shapes[resource].key]


def identifier() -> Field:
    return text(60, required=True, key=True)


def key_of_plan(name: str) -> dict[str, Field]:
    """What a reference to a plan is made of, of which `name` is the plan's own name."""
    return {
        "educationOrganizationId": must("whole"),
        name: identifier(),
        "studentUniqueId": text(32, required=True, key=True),
    }


STUDENT = pointer("Student", [("studentUniqueId", text(32, required=True, key=True))])
STAFF = to("Staff", [("staffUniqueId", text(32, required=True, key=True))])
ORGANIZATION = pointer("EducationOrganization", [("educationOrganizationId", must("whole"))])
OWNED = ("educationOrganizationReference.educationOrganizationId",)
_DAY = Field("day")
_PARTICIPATION = to(
    "StudentProgramAssociation",
    [
        ("beginDate", must("day")),
        ("educationOrganizationId", must("whole")),
        ("programEducationOrganizationId", must("whole")),
        ("programName", text(60, required=True, key=True)),
        ("programTypeDescriptor", coded("ProgramType", required=True)),
        ("studentUniqueId", text(32, required=True, key=True)),
    ],
)
_KEY_OF_GOAL: Fields = {
    "educationOrganizationId": must("whole"),
    "goalIdentifier": identifier(),
    "planIdentifier": identifier(),
    "studentUniqueId": text(32, required=True, key=True),
}
_OF_PLAN = pointer("StudentSuccessPlan", key_of_plan("planIdentifier").items())
_OF_GOAL = pointer("StudentSuccessPlanGoal", _KEY_OF_GOAL.items())


def _below(reference: str, fields: Fields) -> tuple[str, ...]:
    return tuple(f"{reference}.{name}" for name in fields)


def _ssp(longest: int) -> dict[str, Shape]:
    """`longest`: of the code of an intervention, in the standard that is extended."""
    intervention = to(
        "Intervention",
        [
            ("educationOrganizationId", must("whole")),
            ("interventionIdentificationCode", text(longest, required=True, key=True)),
        ],
    )
    return {
        "studentSuccessPlans": Shape(
            "StudentSuccessPlan",
            (*OWNED, "planIdentifier", "studentReference.studentUniqueId"),
            {
                "planIdentifier": identifier(),
                "educationOrganizationReference": ORGANIZATION,
                "studentReference": STUDENT,
                "planBeginDate": must("day"),
                "planEndDate": _DAY,
                "nextReviewDate": _DAY,
                "planStatusDescriptor": coded("PlanStatus", required=True),
                "supportTierDescriptor": coded("SupportTier"),
                "studentProgramAssociationReference": _PARTICIPATION,
                "planTeamMembers": many(
                    {
                        "memberIdentifier": identifier(),
                        "planTeamRoleDescriptor": coded("PlanTeamRole", required=True),
                        "staffReference": STAFF,
                    }
                ),
                "planReviews": many(
                    {
                        "reviewIdentifier": identifier(),
                        "reviewDate": must("day"),
                        "reviewMethodDescriptor": coded("ReviewMethod"),
                    }
                ),
                "planUri": text(255),
            },
        ),
        "studentSuccessPlanGoals": Shape(
            "StudentSuccessPlanGoal",
            (
                "studentSuccessPlanReference.educationOrganizationId",
                "goalIdentifier",
                "studentSuccessPlanReference.planIdentifier",
                "studentSuccessPlanReference.studentUniqueId",
            ),
            {
                "goalIdentifier": identifier(),
                "studentSuccessPlanReference": _OF_PLAN,
                "goalAreaDescriptor": coded("GoalArea"),
                "goalStatusDescriptor": coded("GoalStatus", required=True),
                "goalStatement": text(1024),
                "baselineDate": _DAY,
                "baselineMeasure": text(255),
                "baselineValue": text(255),
                "goalTargets": many(
                    {
                        "targetNumber": must("whole"),
                        "dueDate": must("day"),
                        "targetMeasure": text(255),
                        "targetValue": text(255),
                    }
                ),
                "goalEndDate": _DAY,
            },
        ),
        "studentSuccessPlanGoalObservations": Shape(
            "StudentSuccessPlanGoalObservation",
            ("observationDate", *_below("studentSuccessPlanGoalReference", _KEY_OF_GOAL)),
            {
                "observationDate": must("day"),
                "studentSuccessPlanGoalReference": _OF_GOAL,
                "goalAchievementDescriptor": coded("GoalAchievement", required=True),
            },
        ),
        "studentSuccessPlanSupports": Shape(
            "StudentSuccessPlanSupport",
            (
                "studentSuccessPlanReference.educationOrganizationId",
                "studentSuccessPlanReference.planIdentifier",
                "studentSuccessPlanReference.studentUniqueId",
                "supportIdentifier",
            ),
            {
                "supportIdentifier": identifier(),
                "studentSuccessPlanReference": _OF_PLAN,
                "supportStatusDescriptor": coded("SupportStatus", required=True),
                "supportBeginDate": must("day"),
                "supportEndDate": _DAY,
                "frequencyCount": Field("whole"),
                "frequencyIntervalDescriptor": coded("FrequencyInterval"),
                "interventionReference": intervention,
                "studentSuccessPlanGoals": many({"studentSuccessPlanGoalReference": _OF_GOAL}),
            },
        ),
    }


_CODES = {
    "PlanStatus": "Active; Completed; Discontinued",
    "SupportTier": "Universal; Targeted; Intensive",
    "GoalArea": (
        "Academic; Attendance and Engagement; Behavior; College and Career; Enrichment; Language; Social and Emotional"
    ),
    "GoalStatus": "Proposed; Accepted; Active; On Hold; Completed; Cancelled",
    "GoalAchievement": (
        "Not Started; In Progress; Improving; No Change; Worsening; Achieved; Sustaining; Not Achieved; Not Attainable"
    ),
    "SupportStatus": "Not Started; Scheduled; In Progress; On Hold; Completed; Cancelled; Stopped",
    "FrequencyInterval": "Day; Week; Month; Quarter; Semester; Year",
    "PlanTeamRole": (
        "Administrator; Coordinator; Counselor; Guardian; Interpreter; Partner; Specialist; Student; Teacher; "
        "Trusted Adult"
    ),
    "ReviewMethod": "In Person; Home Visit; Phone; Video; Written",
}


def ssp(standard: str) -> Extension:
    """The extension of docs/edfi-extension, on top of that standard."""
    return Extension("ssp", "uri://planbridge", _ssp(120 if standard >= "6" else 60), _CODES)
