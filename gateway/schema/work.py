"""What a plan knows of the child, and what is done: strengths, interests, needs, goals, supports, team, pointers."""

from datetime import date, timedelta
from typing import Annotated, Self

from pydantic import model_validator

from gateway.schema import codes
from gateway.schema.part import EntityId, Fingerprint, Part, Standard, Text, Who, item_id, says

URGENT_SCHOOL_DAYS = 15
"""How long an urgent support may run before the family was consulted. Days from Monday to Friday count: nobody tells
the gateway of holidays, and a plan must not wait longer for them."""


class CitedResult(Part):
    """Evidence that was pulled."""

    assessment_result: Annotated[
        EntityId, says("Entity id of the assessment result.", "Ed-Fi StudentAssessment; OneRoster 1.2 AssessmentResult")
    ]


class Observation(Part):
    """Evidence that somebody saw."""

    observation: Annotated[Text, says("What was seen.", "FHIR Observation.note")]
    on: Annotated[date | None, says("Day.", "FHIR Observation.effective")] = None
    by: Annotated[Who | None, says("Who saw it.", "FHIR Observation.performer")] = None


Evidence = CitedResult | Observation
TEMPLATE = "Name of the template it was copied from; stands until somebody changes or confirms the item."


class Strength(Part):
    """What the student can build on."""

    id: Annotated[str | None, item_id("strength")] = None
    domain: Annotated[codes.Domain | None, says("Domain.", "City Connects; MyCAP")] = None
    statement: Annotated[Text, says("In plain words.", "City Connects")]
    said_by: Annotated[codes.SaidBy | None, says("Whose view it is.")] = None
    as_of: Annotated[date | None, says("Day it was said.", "FHIR Observation.effective")] = None
    evidence: Annotated[list[Evidence], says("What it rests on.", "FHIR Observation.derivedFrom")] = []
    template: Annotated[Text | None, says(TEMPLATE)] = None


class Interest(Part):
    """What the student cares about."""

    id: Annotated[str | None, item_id("interest")] = None
    area: Annotated[Text | None, says("Area, as an interest survey names it.", "MyCAP")] = None
    statement: Annotated[Text, says("In plain words.", "MyCAP")]
    said_by: Annotated[codes.SaidBy | None, says("Who said so.")] = None
    as_of: Annotated[date | None, says("Day it was said.", "FHIR Observation.effective")] = None
    template: Annotated[Text | None, says(TEMPLATE)] = None


class Need(Part):
    """What the student needs; without evidence the plan does not leave draft."""

    id: Annotated[str | None, item_id("need")] = None
    domain: Annotated[codes.Domain, says("Domain.", "City Connects; MyCAP")]
    statement: Annotated[Text, says("In plain words.", "FHIR Condition.note")]
    severity: Annotated[codes.Severity, says("How pressing.", "FHIR Condition.severity")] = "moderate"
    status: Annotated[codes.NeedStatus, says("Status.", "FHIR Condition.clinicalStatus")] = "open"
    evidence: Annotated[list[Evidence], says("Results and observations it rests on.", "FHIR Condition.evidence")] = []
    standards: Annotated[list[Standard], says("Learning standards it is about.", "CASE 1.1 CFItem.uri")] = []
    template: Annotated[Text | None, says(TEMPLATE)] = None


Value = Annotated[int | float | str, says("A number, or a level in words.", "FHIR Goal.target.detail")]


class Baseline(Part):
    """Where the student stands before the work begins."""

    measure: Annotated[Text, says("What is measured.", "FHIR Goal.target.measure")]
    value: Value
    on: Annotated[date, says("Day it was measured.", "FHIR Observation.effective")]


class Target(Part):
    """How far by when."""

    measure: Annotated[Text, says("What is measured.", "FHIR Goal.target.measure")]
    comparator: Annotated[codes.Comparator, says("How the value is to be read.", "FHIR Quantity.comparator")] = (
        "at_least"
    )
    value: Value
    unit: Annotated[Text | None, says("Unit.", "FHIR Quantity.unit")] = None
    due_on: Annotated[date, says("Day by which.", "FHIR Goal.target.due")]


class Measure(Part):
    """The score by which a goal's progress is read off results that are pulled."""

    assessment: Annotated[
        Text, says("The assessment: its entity id, or its title as the source has it.", "Ed-Fi Assessment")
    ]
    score_method: Annotated[
        Text, says("Which of its scores, in the source's own code.", "Ed-Fi AssessmentReportingMethodDescriptor")
    ]


class Goal(Part):
    """What is to become true, and which needs or interests it answers."""

    id: Annotated[str | None, item_id("goal")] = None
    domain: Annotated[codes.Domain, says("Domain.", "City Connects; MyCAP")]
    statement: Annotated[Text, says("In plain words.", "FHIR Goal.description")]
    addresses: Annotated[list[str], says("Ids of needs and interests of this plan.", "FHIR Goal.addresses")] = []
    standards: Annotated[list[Standard], says("Learning standards it works towards.", "CASE 1.1 CFItem.uri")] = []
    owner: Annotated[Who | None, says("Who looks after the goal.")] = None
    authored_by_role: Annotated[codes.Author | None, says("Whose goal it is.", "MyCAP")] = None
    baseline: Annotated[Baseline | None, says("Where things stand.", "Ed-Fi SEDM StudentIEPGoal")] = None
    baseline_unknown_until: Annotated[date | None, says("Not measured yet: the day by which it will be.")] = None
    measure: Annotated[
        Measure | None, says("The score that tells of its progress, where one is pulled.", "FHIR Goal.target.measure")
    ] = None
    targets: Annotated[list[Target], says("Targets.", "FHIR Goal.target")] = []
    lifecycle: Annotated[codes.Lifecycle, says("Whether it is worked on.", "FHIR Goal.lifecycleStatus")] = "proposed"
    achievement: Annotated[codes.Achievement, says("How far it has come.", "FHIR Goal.achievementStatus")] = (
        "not_started"
    )
    shareable: Annotated[
        bool | None,
        says("Whether its words may be shown in a learning platform: not where false; left out, as chosen for each."),
    ] = None
    template: Annotated[Text | None, says(TEMPLATE)] = None

    @model_validator(mode="after")
    def _one_baseline(self) -> Self:
        if self.baseline and self.baseline_unknown_until:
            raise ValueError("give a baseline or the day until which it is unknown, not both")
        return self


class Urgent(Part):
    """Why a support began before the family could be consulted, and when."""

    reason: Annotated[Text, says("Why it could not wait.", "34 CFR 300.322(d) as a discipline")]
    from_on: Annotated[date, says("First day on which it was given.", "Ed-Fi Intervention.beginDate")]


def last_urgent_day(first: date) -> date:
    """The fifteenth school day, the first one counted: until then an urgent support may run unconsulted."""
    day, left = first, URGENT_SCHOOL_DAYS
    while True:
        left -= day.weekday() < 5
        if not left:
            return day
        day += timedelta(days=1)


class Support(Part):
    """What is done, how often, how long, by whom. One field holds the owner, so there are never two."""

    id: Annotated[str | None, item_id("support")] = None
    name: Annotated[Text, says("Name.", "Ed-Fi InterventionPrescription")]
    kind: Annotated[codes.SupportKind, says("Kind.", "Ed-Fi ServiceDescriptor")]
    goals: Annotated[list[str], says("Ids of goals of this plan.", "FHIR CarePlan.activity.detail.goal")] = []
    setting: Annotated[codes.Setting, says("Where, in or out of school.", "Ed-Fi SEDM ServiceLocationType")] = (
        "in_school"
    )
    delivery_method: Annotated[codes.DeliveryMethod, says("To how many at once.", "Ed-Fi DeliveryMethodDescriptor")] = (
        "individual"
    )
    intensity: Annotated[codes.Intensity | None, says("Intensity.", "City Connects")] = None
    frequency: Annotated[
        int | None, says("How many times in an interval.", "Ed-Fi SEDM ServicePrescription", ge=1, le=1000)
    ] = None
    frequency_interval: Annotated[codes.Interval | None, says("The interval.", "Ed-Fi SEDM ServicePrescription")] = None
    duration_minutes: Annotated[
        int | None, says("Minutes; each time, unless an interval says otherwise.", "Ed-Fi dosage", ge=1, le=100_000)
    ] = None
    duration_interval: Annotated[
        codes.DurationInterval | None, says("What the minutes are for.", "Ed-Fi SEDM ServicePrescription")
    ] = None
    begin_on: Annotated[date | None, says("First day; else the plan's.", "Ed-Fi Intervention.beginDate")] = None
    end_on: Annotated[date | None, says("Last day.", "Ed-Fi Intervention.endDate")] = None
    owner: Annotated[Who | None, says("The one who answers for it.", "Student Insights")] = None
    provider_organization: Annotated[
        Text | None, says("The organization that gives it, where it is not the school.", "FHIR Organization.name")
    ] = None
    providers: Annotated[
        list[Who], says("Who gives it, besides the owner.", "FHIR CarePlan.activity.detail.performer")
    ] = []
    consent: Annotated[
        Text | None, says("Reference of the consent on record, for a provider outside the district.", "FHIR Consent")
    ] = None
    external_plan: Annotated[
        str | None,
        says(
            "Id of the plan kept elsewhere, among external_plans, to which the service belongs.",
            pattern=r"^external-[1-9][0-9]{0,5}$",
        ),
    ] = None
    status: Annotated[codes.SupportStatus, says("Status.", "FHIR CarePlan.activity.detail.status")] = "not_started"
    status_reason: Annotated[Text | None, says("Why it stands so.", "FHIR CarePlan.activity.detail.statusReason")] = (
        None
    )
    urgent: Annotated[Urgent | None, says("It began before the consultation: why, and when.")] = None
    template: Annotated[Text | None, says(TEMPLATE)] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.frequency is None) != (self.frequency_interval is None):
            raise ValueError("give frequency and frequency_interval together")
        if self.duration_interval and self.duration_minutes is None:
            raise ValueError("duration_interval says what duration_minutes are for: give both")
        if self.begin_on and self.end_on and self.end_on < self.begin_on:
            raise ValueError("end_on is before begin_on")
        if self.urgent and self.owner is None:
            raise ValueError("an urgent support has an owner")
        if self.urgent and not (
            self.end_on and self.urgent.from_on <= self.end_on <= last_urgent_day(self.urgent.from_on)
        ):
            raise ValueError("an urgent support has a last day, at most the 15th school day from its first one")
        return self


class TeamMember(Part):
    """Somebody who works on the plan and sees it."""

    id: Annotated[str | None, item_id("member")] = None
    who: Annotated[Who, says("Person.", "FHIR CareTeam.participant.member")]
    role: Annotated[codes.TeamRole, says("Role on the team.", "FHIR CareTeam.participant.role")]
    begin_on: Annotated[date | None, says("First day on the team.", "FHIR CareTeam.participant.period")] = None
    end_on: Annotated[date | None, says("Last day on the team.", "FHIR CareTeam.participant.period")] = None
    access_basis: Annotated[
        codes.AccessBasis | None, says("By what right they see the plan.", "34 CFR 99.31 as a discipline")
    ] = None


class Acknowledged(Part):
    """That somebody compared this plan with the one kept elsewhere."""

    by: Annotated[Who, says("Who compared them.")]
    on: Annotated[date, says("Day.")]
    note: Annotated[Text | None, says("What was found, and what is to happen.")] = None


class ExternalPlan(Part):
    """A plan that is kept elsewhere. A pointer: nothing of what it says is copied."""

    id: Annotated[str | None, item_id("external")] = None
    type: Annotated[codes.ExternalPlanType, says("What plan it is.", "Ed-Fi EducationPlanDescriptor")]
    system: Annotated[Text, says("The system that keeps it.", "FHIR Identifier.system")]
    external_id: Annotated[Text, says("Its id there.", "FHIR Identifier.value")]
    status: Annotated[codes.ExternalPlanStatus, says("Whether it is in force.", "FHIR CarePlan.status")] = "active"
    begin_on: Annotated[date | None, says("First day.", "FHIR CarePlan.period")] = None
    end_on: Annotated[date | None, says("Last day.", "FHIR CarePlan.period")] = None
    review_on: Annotated[date | None, says("Day of its next review.", "Ed-Fi SEDM StudentIEP")] = None
    owner: Annotated[Who | None, says("Who answers for it.", "FHIR CarePlan.author")] = None
    conflict_acknowledged: Annotated[Acknowledged | None, says("That this plan was compared with it.")] = None


class Document(Part):
    """A pointer to a document that is kept elsewhere."""

    id: Annotated[str | None, item_id("document")] = None
    title: Annotated[Text, says("Title.", "FHIR DocumentReference.description")]
    sha256: Annotated[Fingerprint, says("Fingerprint of its bytes.", "FHIR Attachment.hash")]
    media_type: Annotated[
        str, says("What kind of file it is.", "FHIR Attachment.contentType", pattern=r"^[a-z]+/[a-z0-9.+-]{1,100}$")
    ]
    section: Annotated[codes.Section, says("The part of the plan it belongs to, for who may open it.")]
    reference: Annotated[Text | None, says("Where it is kept.", "FHIR Attachment.url")] = None
