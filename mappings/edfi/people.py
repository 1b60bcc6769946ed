"""What Ed-Fi states about students, staff and family: who they are, where they belong, what they need."""

from collections.abc import Iterator, Sequence
from datetime import date
from math import inf
from typing import Any

from msgspec import UNSET, UnsetType

from connectors.edfi import models as parts
from connectors.edfi import models_roster as wire
from gateway.mapping import Claim, Crosswalks, Statement
from gateway.schema.roster import Identifier, Person, ProgramStatus, Relationship, Role
from mappings.edfi.values import code, given, several, text, translated


def student(one: wire.Student, codes: Crosswalks) -> Iterator[Statement]:
    yield Claim(
        "person",
        one.key,
        Person(
            population="student",
            **_names(one),
            birth_date=given(one.birthDate),
            identifiers=[Identifier("studentUniqueId", one.studentUniqueId)],
        ),
    )


def staff(one: wire.Staff, codes: Crosswalks) -> Iterator[Statement]:
    numbers = [
        _identifier(number.staffIdentificationSystemDescriptor, number) for number in one.identificationCodes or ()
    ]
    yield Claim(
        "person",
        one.key,
        Person(
            population="staff",
            **_names(one),
            email=_email(one.electronicMails),
            identifiers=[Identifier("staffUniqueId", one.staffUniqueId), *numbers],
        ),
    )


def contact(one: wire.Parent | wire.Contact, codes: Crosswalks) -> Iterator[Statement]:
    voice = _telephones(one.telephones, codes)
    yield Claim(
        "person",
        one.key,
        Person(
            population="contact",
            **_names(one),
            email=_email(one.electronicMails),
            phone=next((each.telephoneNumber for each in voice), UNSET),
            sms=next((each.telephoneNumber for each in voice if each.textMessageCapabilityIndicator), UNSET),
            languages=_home_languages(one.languages, codes),
            identifiers=[Identifier(*_contact_number(one))],
        ),
    )


def kinship(
    tie: wire.StudentParentAssociation | wire.StudentContactAssociation, codes: Crosswalks
) -> Iterator[Statement]:
    yield Claim(
        "relationship",
        tie.key,
        Relationship(
            student=tie.studentReference.key,
            contact=tie.contact,
            relation=translated("relation", tie.relationDescriptor, codes),
            legal_guardian=given(tie.legalGuardian),
            education_rights="unknown",  # Ed-Fi has no field that says it
            restrictions=text(tie.contactRestrictions),
            lives_with=given(tie.livesWith),
            emergency=given(tie.emergencyContactStatus),
            primary=given(tie.primaryContactStatus),
            priority=given(tie.contactPriority),
        ),
    )


def student_organization(
    record: wire.StudentEducationOrganizationAssociation, codes: Crosswalks
) -> Iterator[Statement]:
    """What an agency or a school knows of a student, all of it up to data standard 5."""
    numbers = [
        _identifier(number.studentIdentificationSystemDescriptor, number)
        for number in record.studentIdentificationCodes or ()
    ]
    yield _of_student(
        record,
        Person(
            email=_email(record.electronicMails),
            identifiers=numbers or UNSET,
            **_demographics(record, codes),
            **_at_home(record, codes),
        ),
    )
    yield from _program_statuses(record, codes)


def student_demographic(record: wire.StudentDemographic, codes: Crosswalks) -> Iterator[Statement]:
    yield _of_student(record, Person(**_demographics(record, codes)))
    yield from _program_statuses(record, codes)


def student_directory(record: wire.StudentDirectory, codes: Crosswalks) -> Iterator[Statement]:
    yield _of_student(record, Person(email=_email(record.electronicMails)))


def student_number(record: wire.StudentIdentificationCode6, codes: Crosswalks) -> Iterator[Statement]:
    if number := text(record.identificationCode):
        system, by = record.studentIdentificationSystemDescriptor, record.assigningOrganizationIdentificationCode
        yield _of_student(record, Person(identifiers=[Identifier(code(system), number, text(by))]))


def staff_directory(record: wire.StaffDirectory, codes: Crosswalks) -> Iterator[Statement]:
    yield _of_staff(record, Person(email=_email(record.electronicMails)))


def staff_number(record: wire.StaffIdentificationCode6, codes: Crosswalks) -> Iterator[Statement]:
    if number := text(record.identificationCode):
        system, by = record.staffIdentificationSystemDescriptor, record.assigningOrganizationIdentificationCode
        yield _of_staff(record, Person(identifiers=[Identifier(code(system), number, text(by))]))


def student_school(record: wire.StudentSchoolAssociation, codes: Crosswalks) -> Iterator[Statement]:
    place = str(record.schoolReference.schoolId)
    grade = translated("grade", record.entryGradeLevelDescriptor, codes)
    yield Claim(
        "person",
        record.studentReference.key,
        Person(
            roles=[
                Role(
                    "student",
                    place,
                    primary=given(record.primarySchool),
                    begin_on=record.entryDate,
                    end_on=given(record.exitWithdrawDate),
                )
            ],
            grades=UNSET if grade is UNSET else [grade],
            primary_organization=place if record.primarySchool else UNSET,
        ),
        anchor=False,
        rank=_staleness(record),
    )


def staff_assignment(
    record: wire.StaffEducationOrganizationAssignmentAssociation, codes: Crosswalks
) -> Iterator[Statement]:
    role = codes.translate("staff_classification", record.staffClassificationDescriptor)
    if role is None:
        return
    place = record.educationOrganizationReference.key
    yield Claim(
        "person",
        record.staffReference.key,
        Person(roles=[Role(role, place, begin_on=record.beginDate, end_on=given(record.endDate))]),
        anchor=False,
    )


def _names(one: wire.Student | wire.Staff | wire.Adult) -> dict[str, Any]:
    return {
        "given_name": text(one.firstName),
        "middle_name": text(one.middleName),
        "family_name": text(one.lastSurname),
        "preferred_given_name": text(one.preferredFirstName),
        "preferred_family_name": text(one.preferredLastSurname),
    }


def _identifier(
    system: parts.Descriptor, number: wire.StudentIdentificationCode | wire.StaffIdentificationCode
) -> Identifier:
    """# Ed-Fi: a person may have several numbers of one system, each assigned by another organization."""
    return Identifier(code(system), number.identificationCode, text(number.assigningOrganizationIdentificationCode))


def _contact_number(one: wire.Parent | wire.Contact) -> tuple[str, str]:
    if isinstance(one, wire.Parent):
        return "parentUniqueId", one.parentUniqueId
    return "contactUniqueId", one.contactUniqueId


def _email(mails: Sequence[parts.ElectronicMail] | None) -> str | UnsetType:
    """The primary address, else the first; none of those that are not to be published."""
    usable = [mail for mail in mails or () if not mail.doNotPublishIndicator]
    usable.sort(key=lambda mail: not mail.primaryEmailAddressIndicator)
    return text(usable[0].electronicMailAddress) if usable else UNSET


def _telephones(numbers: Sequence[parts.Telephone] | None, codes: Crosswalks) -> Sequence[parts.Telephone]:
    """Numbers that a person answers, in the order in which to call; none that are not to be published."""
    usable = [
        number
        for number in numbers or ()
        if not number.doNotPublishIndicator and codes.translate("telephone", number.telephoneNumberTypeDescriptor)
    ]
    return sorted(usable, key=lambda number: number.orderOfPriority or inf)


def _home_languages(languages: Sequence[parts.Language] | None, codes: Crosswalks) -> list[str] | UnsetType:
    spoken = [
        code(language.languageDescriptor)
        for language in languages or ()
        if several("language_use", (use.languageUseDescriptor for use in language.uses or ()), codes)
    ]
    return spoken or UNSET


def _of_student(record: wire.OfStudent, values: Person) -> Claim:
    place = record.educationOrganizationReference
    return Claim("person", record.studentReference.key, values, anchor=False, rank=_remoteness(place))


def _of_staff(record: wire.OfStaff, values: Person) -> Claim:
    place = record.educationOrganizationReference
    return Claim("person", record.staffReference.key, values, anchor=False, rank=_remoteness(place))


def _remoteness(place: parts.EducationOrganizationReference) -> int:
    """Where an agency and a school both speak, the agency has the word."""
    return 1 if place.link and place.link.rel == "School" else 0


def _demographics(record: wire.Demographics, codes: Crosswalks) -> dict[str, Any]:
    races = several("race", (each.raceDescriptor for each in record.races or ()), codes)
    return {
        "sex": translated("sex", record.sexDescriptor, codes),
        "races": races or UNSET,
        "hispanic": _hispanic(record.hispanicLatinoEthnicity, races),
        "languages": _home_languages(record.languages, codes),
    }


def _at_home(record: wire.StudentEducationOrganizationAssociation, codes: Crosswalks) -> dict[str, Any]:
    """What a student has at home to learn with."""
    return {
        "internet_at_home": given(record.internetAccessInResidence),
        "internet_type": translated("internet_type", record.internetAccessTypeInResidenceDescriptor, codes),
        "internet_performance": translated(
            "internet_performance", record.internetPerformanceInResidenceDescriptor, codes
        ),
        "internet_barrier": translated("internet_barrier", record.barrierToInternetAccessInResidenceDescriptor, codes),
        "device": translated("device", record.primaryLearningDeviceAwayFromSchoolDescriptor, codes),
        "device_access": translated("device_access", record.primaryLearningDeviceAccessDescriptor, codes),
        "device_provider": translated("device_provider", record.primaryLearningDeviceProviderDescriptor, codes),
    }


def _hispanic(stated: bool | None, races: Sequence[str]) -> bool | UnsetType:
    # From data standard 5.2 on the ethnicity is also one of the races.
    if stated is None and "hispanic_or_latino" in races:
        return True
    return given(stated)


def _staleness(record: wire.StudentSchoolAssociation) -> int:
    """Orders the enrollments of one student: open before ended, primary before others, the latest entry first."""
    ended = record.exitWithdrawDate is not None
    age = date.max.toordinal() - record.entryDate.toordinal()
    return (2 * ended + (record.primarySchool is not True)) * 10_000_000 + age


def _program_statuses(record: wire.Demographics, codes: Crosswalks) -> Iterator[Statement]:
    """One claim per indicator. It is in force while it has no last day or that day has not passed."""
    latest: dict[str, ProgramStatus] = {}
    for status, values in _indicators(record, codes):
        known = latest.get(status)
        if known is None or _last_day(values) > _last_day(known):
            latest[status] = values
    student, place = record.studentReference.key, record.educationOrganizationReference.key
    for status, values in latest.items():
        yield Claim("program_status", f"{student}|{status}|{place}", values)


def _indicators(record: wire.Demographics, codes: Crosswalks) -> Iterator[tuple[str, ProgramStatus]]:
    """Every stated period of every indicator. # Ed-Fi: no period means at present."""

    def stated(status: str, said: str | UnsetType, period: parts.Period | None) -> tuple[str, ProgramStatus]:
        return status, ProgramStatus(
            student=record.studentReference.key,
            status=status,
            organization=record.educationOrganizationReference.key,
            code=said,
            begin_on=period.beginDate if period else UNSET,
            end_on=given(period.endDate) if period else UNSET,
        )

    proficiency = record.limitedEnglishProficiencyDescriptor
    if proficiency and (status := codes.translate("english_proficiency", proficiency)):
        yield stated(status, proficiency, None)
    economic = record.economicDisadvantageDescriptor if isinstance(record, wire.StudentDemographic) else None
    if economic and (status := codes.translate("economic_disadvantage", economic)):
        yield stated(status, UNSET, None)  # the code would say who eats free or at a reduced price
    for each in record.studentCharacteristics or ():
        characteristic = each.studentCharacteristicDescriptor
        if status := codes.translate("student_characteristic", characteristic):
            for period in each.periods or (None,):
                yield stated(status, characteristic, period)


def _last_day(status: ProgramStatus) -> date:
    return date.max if status.end_on is UNSET else status.end_on
