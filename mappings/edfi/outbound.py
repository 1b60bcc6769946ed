"""How a finalized plan reads in Ed-Fi: participation in a program, one intervention per in-school support, a team."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from connectors.edfi.models import unique_id
from gateway.connector import Document, Loss
from gateway.errors import ConfigError
from gateway.mapping import Crosswalks, Parties
from gateway.schema.codes import OUT_OF_SCHOOL
from gateway.schema.plan import Plan, Support
from mappings.edfi.extension import Core, extended
from mappings.edfi.extension_names import ExtensionProfile

CORE = "uri://ed-fi.org"
DESIGNATED_BY = "Planbridge"
KEPT_ELSEWHERE = ("special_education_service_ref", "section_504_accommodation_ref")
OVER = ("completed", "cancelled", "stopped", "entered_in_error")
"""A support of which no more will be given."""
NOT_STAFF = ("student", "guardian")
STATEMENT_LIMIT = 1024
"""Ed-Fi studentInterventionAssociation.diagnosticStatement in every standard; `texts` is for servers that take less."""


Descriptor = Annotated[str, Field(pattern=r"^uri://[^\s#]+#[^#]+$", max_length=306)]
"""A descriptor as Ed-Fi writes it: namespace, # and code value."""


class EdfiProfile(ExtensionProfile):
    """What an Ed-Fi destination gets to see. By default only participation, support type, dates and minutes."""

    model_config = ConfigDict(extra="forbid")

    program_name: str = Field(
        default="Student Success Plan", min_length=1, max_length=60, title="Program", description="Name of the program."
    )
    program_type: Descriptor = Field(
        default=f"{CORE}/ProgramTypeDescriptor#Other", title="Program type", description="Descriptor, whole URI."
    )
    create_program: bool = Field(
        default=True, title="Create the program", description="Make the program where it is missing."
    )
    participation_status: Descriptor | None = Field(
        default=None,
        title="Participation status",
        description="Descriptor for taking part, such as #Active in Program in Data Standard 4; 5 ships none, so a "
        "district names its own. Left out, the participation is sent without a status.",
    )
    reason_exited: Descriptor | None = Field(
        default=f"{CORE}/ReasonExitedDescriptor#Other",
        title="Reason exited",
        description="Descriptor that ends a participation whose plan has its last day and nothing more to give. Left "
        "out, it ends without a reason.",
    )
    intervention_class: Descriptor = Field(
        default=f"{CORE}/InterventionClassDescriptor#Practice",
        title="Intervention class",
        description="Descriptor, whole URI.",
    )
    include_staff: bool = Field(
        default=False, title="Send owners", description="Name the owner as staff of the intervention."
    )
    include_need_statements: bool = Field(
        default=False,
        title="Send need statements",
        description="The needs a support answers, word for word, as its diagnostic statement.",
    )
    include_diagnoses: bool = Field(
        default=False,
        title="Send diagnoses",
        description="The domains of the needs a support answers, as diagnosis descriptors of the crosswalk.",
    )
    include_team: bool = Field(
        default=False,
        title="Send the team",
        description="A cohort of this one student, with the coordinator and the members of the team who are staff.",
    )
    cohort_type: Descriptor = Field(
        default=f"{CORE}/CohortTypeDescriptor#Academic Intervention",
        title="Cohort type",
        description="Descriptor, whole URI, of the cohort that stands for a team.",
    )

    mark_enrollment: bool = Field(
        default=False,
        title="Mark the enrollment",
        description="Add the value below to the education plans in the student's enrollment, which belongs to the SIS. "
        "Many an SIS sends enrollments anew each night, without it.",
    )
    education_plan: Descriptor = Field(
        default=f"{CORE}/EducationPlanDescriptor#Student Success Plan",
        title="Education plan",
        description="Descriptor with which the enrollment is marked, whole URI.",
    )


def outbound(
    plan: Plan, parties: Parties, profile: EdfiProfile, codes: Crosswalks
) -> tuple[list[Document], list[Loss]]:
    """Documents in the order they must be sent, and everything of the plan that does not leave, and why."""
    numbers = {who: unique_id(key) for who, key in parties.staff.items()}
    parties = replace(parties, student=unique_id(parties.student), staff=numbers)
    sent = [support for support in plan.supports if not _stays(support)]
    documents = [_program(parties, profile)] if profile.create_program else []
    participation = _participation(plan, sent, parties, profile, codes)
    documents.append(participation)
    given = []
    for support in sent:
        intervention = _intervention(plan, support, parties, profile, codes)
        documents += [intervention, _assignment(plan, support, parties, profile, intervention)]
        given.append((support, intervention))
    if profile.include_team:
        documents += _cohort(plan, parties, profile)
    # Nothing of a plan is told where not even the participation was taken.
    documents = [
        replace(one, after=(participation.name,)) if one.resource in ("interventions", "cohorts") else one
        for one in documents
    ]
    core = Core(_organization(parties), participation, given, _over(plan))
    more = extended(plan, parties, profile, codes, core, team=profile.include_team)
    documents += more.documents
    if profile.mark_enrollment:  # a mark says that the rest is there
        mark = _mark(plan, parties, profile)
        documents.append(replace(mark, after=tuple(one.name for one in documents)))
    return documents, more.beside(_losses(plan, parties, profile, codes))


def _stays(support: Support) -> str:
    """Why a support is not sent at all; empty when it is."""
    if support.kind in KEPT_ELSEWHERE:
        return "It belongs to an IEP or a 504 plan, which is kept elsewhere."
    if support.setting in OUT_OF_SCHOOL:
        return "It is given outside school; only in-school supports are sent."
    if support.status == "entered_in_error":
        return "It was an error."
    if support.status == "cancelled" and support.end_on is None:
        return "It is cancelled; give it a last day to end it where it was sent before."
    return ""


def _organization(parties: Parties) -> dict[str, Any]:
    """In whose name the plan is written."""
    number = parties.settings.get("education_organization_id")
    if number is None:
        raise ConfigError(
            "destination-no-organization",
            "The connection does not say in whose name plans are written.",
            "Connect it again with the education organization id of the district.",
        )
    return {"educationOrganizationId": int(number)}


def _program_key(parties: Parties, profile: EdfiProfile) -> dict[str, Any]:
    return _organization(parties) | {
        "programName": profile.program_name,
        "programTypeDescriptor": profile.program_type,
    }


def _program(parties: Parties, profile: EdfiProfile) -> Document:
    body = {
        "educationOrganizationReference": _organization(parties),
        "programName": profile.program_name,
        "programTypeDescriptor": profile.program_type,
    }
    return Document("programs", _program_key(parties, profile), body, create_only=True, after=())


def _participation(
    plan: Plan, sent: list[Support], parties: Parties, profile: EdfiProfile, codes: Crosswalks
) -> Document:
    # Ed-Fi: beginDate is part of the key and cannot change; one association per plan.
    begin = plan.period_start.isoformat()
    body: dict[str, Any] = {
        "studentReference": {"studentUniqueId": parties.student},
        "educationOrganizationReference": _organization(parties),
        "programReference": _program_key(parties, profile),
        "beginDate": begin,
    }
    over = _over(plan)
    if plan.period_end:
        body["endDate"] = plan.period_end.isoformat()
    if over and profile.reason_exited:
        body["reasonExitedDescriptor"] = profile.reason_exited
    if profile.participation_status:
        status = {
            "participationStatusDescriptor": profile.participation_status,
            "statusBeginDate": begin,
            **({"statusEndDate": plan.period_end.isoformat()} if over and plan.period_end else {}),
            "designatedBy": DESIGNATED_BY,
        }
        body["programParticipationStatuses"] = [status]
        if parties.collections and "contacts" not in parties.collections:
            # Ed-Fi: before Data Standard 5 there is a single status too, and older readers know no other.
            body["participationStatus"] = status
    if services := _services(plan, sent, codes):
        body["services"] = services
    key = {
        "beginDate": begin,
        **_organization(parties),
        "programEducationOrganizationId": _organization(parties)["educationOrganizationId"],
        "programName": profile.program_name,
        "programTypeDescriptor": profile.program_type,
        "studentUniqueId": parties.student,
    }
    after = (_program(parties, profile).name,) if profile.create_program else ()
    return Document("studentProgramAssociations", key, body, after=after)


def _over(plan: Plan) -> bool:
    """Whether the plan has its last day and gives nothing any more."""
    return plan.period_end is not None and all(support.status in OVER for support in plan.supports)


def _services(plan: Plan, sent: list[Support], codes: Crosswalks) -> list[dict[str, Any]]:
    """One per distinct kind of support that the crosswalk names: from its first day on, and until its last one where
    each support of that kind has one of its own."""
    given: dict[str, list[Support]] = {}
    for support in sorted(sent, key=lambda support: _begin(plan, support)):
        if service := codes.translate("out_service", support.kind):
            given.setdefault(service, []).append(support)
    services = []
    for service, supports in given.items():
        made = {"serviceDescriptor": service, "serviceBeginDate": _begin(plan, supports[0])}
        if _over(plan) or all(support.end_on for support in supports):
            made["serviceEndDate"] = max(_end(plan, support) for support in supports)
        services.append(made)
    return services


def _intervention(plan: Plan, support: Support, parties: Parties, profile: EdfiProfile, codes: Crosswalks) -> Document:
    key = _organization(parties) | {"interventionIdentificationCode": _code(support, parties)}
    body: dict[str, Any] = {
        "interventionIdentificationCode": key["interventionIdentificationCode"],
        "educationOrganizationReference": _organization(parties),
        "beginDate": _begin(plan, support),
        "deliveryMethodDescriptor": codes.translate("out_delivery_method", support.delivery_method),
        "interventionClassDescriptor": profile.intervention_class,
    }
    if end := _end(plan, support):
        body["endDate"] = end
    if support.duration_minutes:
        body |= {"minDosage": support.duration_minutes, "maxDosage": support.duration_minutes}
    if profile.include_staff and isinstance(support.owner, str) and support.owner in parties.staff:
        body["staffs"] = [{"staffReference": {"staffUniqueId": parties.staff[support.owner]}}]
    if profile.include_diagnoses and (found := _diagnoses(plan, support, codes)):
        body["diagnoses"] = [{"diagnosisDescriptor": descriptor} for descriptor in found]
    return Document("interventions", key, body, after=())


def _assignment(plan: Plan, support: Support, parties: Parties, profile: EdfiProfile, given: Document) -> Document:
    intervention = _organization(parties) | {"interventionIdentificationCode": _code(support, parties)}
    body: dict[str, Any] = {
        "interventionReference": intervention,
        "studentReference": {"studentUniqueId": parties.student},
    }
    if support.duration_minutes:
        body["dosage"] = support.duration_minutes
    statement = _statement(plan, support)
    if profile.include_need_statements and statement and not _too_long(plan, support):
        body["diagnosticStatement"] = statement
    return Document(
        "studentInterventionAssociations",
        intervention | {"studentUniqueId": parties.student},
        body,
        after=(given.name,),
        texts={"diagnosticStatement": tuple(f"/needs/{n}/statement" for n in _needs_of(plan, support))},
    )


def _cohort(plan: Plan, parties: Parties, profile: EdfiProfile) -> Iterator[Document]:
    """The team as Ed-Fi can hold it: a cohort of this student, and the staff in it."""
    # Ed-Fi: 20 characters up to Data Standard 4, 36 from 5 on. The short one fits everywhere, and so it stays the same
    # when the server is upgraded.
    identifier = f"SSP-{hashlib.sha256(parties.plan.encode()).hexdigest()[:16]}"
    key = _organization(parties) | {"cohortIdentifier": identifier}
    cohort = Document(
        "cohorts",
        key,
        {
            "cohortIdentifier": identifier,
            "educationOrganizationReference": _organization(parties),
            "cohortTypeDescriptor": profile.cohort_type,
        },
        after=(),
    )
    yield cohort
    days = {"beginDate": plan.period_start.isoformat()}
    end = {"endDate": plan.period_end.isoformat()} if plan.period_end else {}
    whom = {"studentUniqueId": parties.student}
    body = {"cohortReference": key, "studentReference": whom, **days, **end}
    yield Document("studentCohortAssociations", key | whom | days, body, after=(cohort.name,))
    for number in _team(plan, parties):
        who = {"staffUniqueId": number}
        body = {"cohortReference": key, "staffReference": who, **days, **end}
        yield Document("staffCohortAssociations", key | who | days, body, after=(cohort.name,))


def _team(plan: Plan, parties: Parties) -> list[str]:
    """Those of the team whom the destination knows as staff, each once."""
    who = [plan.coordinator, *(member.who for member in plan.team if member.role not in NOT_STAFF)]
    return list(dict.fromkeys(parties.staff[one] for one in who if isinstance(one, str) and one in parties.staff))


def _mark(plan: Plan, parties: Parties, profile: EdfiProfile) -> Document:
    """The value for the student's enrollment; none once the plan has ended, so that what we put there goes."""
    over = plan.period_end is not None and parties.today is not None and plan.period_end <= parties.today
    mark = {"educationPlanDescriptor": profile.education_plan}
    body: dict[str, Any] = {"studentReference": {"studentUniqueId": parties.student}}
    if parties.school.isdecimal():
        body["schoolReference"] = {"schoolId": int(parties.school)}
    body["educationPlans"] = [] if over else [mark]
    # One for each plan: that another one of the student ends must not be in dispute between the two.
    key = mark | {"plan": parties.plan, "studentUniqueId": parties.student}
    return Document("studentSchoolAssociations", key, body, merge=True)


def _begin(plan: Plan, support: Support) -> str:
    return (support.begin_on or plan.period_start).isoformat()


def _end(plan: Plan, support: Support) -> str:
    """The support's last day, else the plan's; of a plan that is over no support lasts longer. Empty: not known."""
    days = [day for day in (support.end_on, plan.period_end) if day]
    end = min(days) if days and _over(plan) else next(iter(days), None)
    return max(end.isoformat(), _begin(plan, support)) if end else ""


def _code(support: Support, parties: Parties) -> str:
    """The same for the same support for ever, and nothing of the plan can be read in it."""
    number = (support.id or "").removeprefix("support-")
    return f"SSP-{hashlib.sha256(parties.plan.encode()).hexdigest()[:24]}-{number}"


def _needs_of(plan: Plan, support: Support) -> list[int]:
    """Places of the needs that a support answers, through its goals; not of those that were an error."""
    answered = {id for goal in plan.goals if goal.id in support.goals for id in goal.addresses}
    return [n for n, need in enumerate(plan.needs) if need.id in answered and need.status != "entered_in_error"]


def _diagnoses(plan: Plan, support: Support, codes: Crosswalks) -> list[str]:
    found = (codes.translate("out_diagnosis", plan.needs[n].domain) for n in _needs_of(plan, support))
    return list(dict.fromkeys(descriptor for descriptor in found if descriptor))


def _statement(plan: Plan, support: Support) -> str:
    return " ".join(plan.needs[n].statement for n in _needs_of(plan, support))


NO_PLACE = {
    "title": "Ed-Fi core has no title of a student's plan.",
    "coordinator": "Ed-Fi core has no case manager of a program participation; a team has no roles.",
    "next_review_on": "Ed-Fi core has no review date.",
    "tier": "Ed-Fi core has no tier.",
    "strengths": "Ed-Fi core has no strengths.",
    "interests": "Ed-Fi core has no interests.",
    "goals": "Ed-Fi core has no goals outside an IEP.",
    "consultations": "Ed-Fi core has no record of a consultation.",
    "attempts": "Ed-Fi core has no record of attempts to reach a family.",
    "waiver": "Ed-Fi core has no record of a waiver.",
    "language": "Ed-Fi core has no language of a student's plan.",
    "external_plans": "Ed-Fi core has no pointers to plans kept elsewhere.",
    "documents": "Ed-Fi core has no documents of a student's plan.",
    "reviews": "Ed-Fi core has no record of a review.",
    "translations": "Ed-Fi core has no translations of a student's plan.",
}
NEED_CANNOT = {
    "severity": "Ed-Fi core has no severity of a need.",
    "status": "Ed-Fi core has no status of a need.",
    "evidence": "Ed-Fi core has no link from a need to its evidence.",
    "standards": "Ed-Fi core has no learning standards of a need.",
    "template": "Ed-Fi core has no template of a need.",
}
SUPPORT_CANNOT = {
    "goals": "Ed-Fi core has no goals to which a support could belong.",
    "intensity": "Ed-Fi core has no intensity of an intervention.",
    "frequency": "Ed-Fi core has no frequency of an intervention.",
    "frequency_interval": "Ed-Fi core has no frequency of an intervention.",
    "setting": "Ed-Fi core has no setting of an intervention.",
    "status": "Ed-Fi core has no status of an intervention; its dates say when it runs.",
    "status_reason": "Ed-Fi core has no status of an intervention; its dates say when it runs.",
    "duration_interval": "Ed-Fi core has minutes of an intervention, and nothing that says for what.",
    "provider_organization": "Ed-Fi core has no provider of an intervention outside the district.",
    "providers": "Who gives a support, besides its owner, stays in the plan.",
    "consent": "Ed-Fi core has no consent to an intervention.",
    "external_plan": "Ed-Fi core has no pointers to plans kept elsewhere.",
    "urgent": "Ed-Fi core has no reason for which an intervention began early.",
    "template": "Ed-Fi core has no template of an intervention of a plan.",
}
MEMBER_CANNOT = ("role", "begin_on", "end_on", "access_basis")


def _losses(plan: Plan, parties: Parties, profile: EdfiProfile, codes: Crosswalks) -> Iterator[Loss]:
    """Every stated part of the plan that is in no document. `student` and the dates are, item ids are in keys;
    `numbered` is the plan's own bookkeeping."""
    stated = plan.model_dump(exclude_none=True)
    yield Loss("/school", "cannot", "The participation is stated for the district, not for the school.")
    for name, reason in NO_PLACE.items():
        value = stated.get(name)
        if isinstance(value, list):
            yield from (Loss(f"/{name}/{n}", "cannot", reason) for n in range(len(value)))
        elif value:
            yield Loss(f"/{name}", "cannot", reason)
    for n, member in enumerate(plan.team):
        if not profile.include_team:
            yield Loss(f"/team/{n}", "withheld", "The team is switched off for this destination.")
        elif not isinstance(member.who, str) or member.who not in parties.staff or member.role in NOT_STAFF:
            yield Loss(f"/team/{n}", "cannot", "An Ed-Fi cohort holds staff only, and staff the destination knows.")
        else:
            for part in MEMBER_CANNOT:
                if getattr(member, part) is not None:
                    yield Loss(f"/team/{n}/{part}", "cannot", "A cohort has no roles, and one period for all.")
    yield from _need_losses(plan, profile, codes)
    for n, support in enumerate(plan.supports):
        if why := _stays(support):
            yield Loss(f"/supports/{n}", "withheld", why)
        else:
            yield from _support_losses(f"/supports/{n}", support, parties, profile, codes)


def _need_losses(plan: Plan, profile: EdfiProfile, codes: Crosswalks) -> Iterator[Loss]:
    sent = [support for support in plan.supports if not _stays(support)]
    answered = {n for support in sent for n in _needs_of(plan, support)}
    too_long = {n for support in sent if _too_long(plan, support) for n in _needs_of(plan, support)}
    for n, need in enumerate(plan.needs):
        pointer = f"/needs/{n}"
        if not profile.include_need_statements:
            yield Loss(f"{pointer}/statement", "withheld", "Need statements are switched off for this destination.")
        elif n not in answered:
            yield Loss(f"{pointer}/statement", "cannot", "No support that is sent answers this need.")
        elif n in too_long:
            why = f"The needs that a support answers are together longer than {STATEMENT_LIMIT} characters."
            yield Loss(f"{pointer}/statement", "cannot", why)
        if not profile.include_diagnoses:
            yield Loss(f"{pointer}/domain", "withheld", "Diagnoses are switched off for this destination.")
        elif n not in answered:
            yield Loss(f"{pointer}/domain", "cannot", "No support that is sent answers this need.")
        elif not codes.translate("out_diagnosis", need.domain):
            yield Loss(f"{pointer}/domain", "cannot", f"The crosswalk has no diagnosis for {need.domain}.")
        for part, reason in NEED_CANNOT.items():
            if getattr(need, part):
                yield Loss(f"{pointer}/{part}", "cannot", reason)


def _too_long(plan: Plan, support: Support) -> bool:
    return len(_statement(plan, support)) > STATEMENT_LIMIT


def _support_losses(
    pointer: str, support: Support, parties: Parties, profile: EdfiProfile, codes: Crosswalks
) -> Iterator[Loss]:
    yield Loss(f"{pointer}/name", "withheld", "Names of supports are free text and stay here.")
    for part, reason in SUPPORT_CANNOT.items():
        if getattr(support, part) not in (None, []):
            yield Loss(f"{pointer}/{part}", "cannot", reason)
    if not codes.translate("out_service", support.kind):
        yield Loss(f"{pointer}/kind", "cannot", f"Ed-Fi core has no service for {support.kind}.")
    if support.owner is not None and not profile.include_staff:
        yield Loss(f"{pointer}/owner", "withheld", "Owners are switched off for this destination.")
    elif support.owner is not None and support.owner not in parties.staff:
        yield Loss(f"{pointer}/owner", "cannot", "The owner is not on the staff the destination knows.")
