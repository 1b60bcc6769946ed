"""What the district looks like as Ed-Fi resources of one data standard, each row rendered by itself."""

from datetime import date

from connectors.edfi.twin import codes, wire
from connectors.edfi.twin.collection import Key, Row, Source
from connectors.edfi.twin.planted import Planted
from connectors.edfi.twin.wire import coded, reference
from synthetic.model import (
    Assessment,
    Contact,
    Course,
    District,
    Kinship,
    Objective,
    School,
    Section,
    SectionEnrollment,
    Sitting,
    Staff,
    Student,
    Term,
)

_JULY = 7  # from here on a day belongs to the school year that ends in the next calendar year


class Rows:
    """One district in one standard. `sources` names the facts of every resource; the methods render one row."""

    def __init__(self, district: District, *, standard: str, namespace: str, planted: Planted) -> None:
        self._district = district
        self._four, self._five, self._six = (standard >= major for major in "456")
        self._namespace = namespace
        self._planted = planted
        self._person = "contact" if self._five else "parent"
        self._terms = {term.code: term for term in district.terms}
        self._courses = {course.code: course for course in district.courses}
        self._sections = {(section.school, section.code): section for section in district.sections}
        self._assessments = {assessment.code: assessment for assessment in district.assessments}

    def sources(self) -> dict[str, Source]:
        """Facts, natural key and row of every resource, by its name; keys as the references spell them."""
        own, year = self._district, self._district.school_year
        learning = [one for one in own.enrollments if one.role == "student"]
        teaching = [one for one in own.enrollments if one.role == "teacher"]
        title = self._person.title()
        return {
            "localEducationAgencies": Source([own], lambda one: (one.number,), self._agency),
            "schools": Source(own.schools, lambda one: (one.number,), self._school),
            "students": Source(own.students, lambda one: (one.number,), self._student),
            "staffs": Source(own.staff, lambda one: (one.number,), self._staff),
            f"{self._person}s": Source(own.contacts, lambda one: (one.number,), self._contact),
            "studentSchoolAssociations": Source(
                own.students,
                lambda one: (one.entry, one.school, one.number),
                self._enrolled,
                same=lambda one: one.number,
            ),
            "studentEducationOrganizationAssociations": Source(
                own.students, lambda one: (own.number, one.number), self._known_at_the_agency
            ),
            **(self._apart() if self._six else {}),
            f"student{title}Associations": Source(own.kinships, lambda one: (one.contact, one.student), self._kinship),
            "staffEducationOrganizationAssignmentAssociations": Source(
                own.staff, lambda one: (one.begin, one.school or own.number, one.role, one.number), self._assigned
            ),
            "sessions": Source(
                [(school, term) for school in own.schools for term in own.terms],
                lambda one: (one[0].number, year, one[1].title),
                self._session,
            ),
            "courses": Source(own.courses, lambda one: (one.code, own.number), self._course),
            "courseOfferings": Source(
                dict.fromkeys((one.course, one.school, one.term) for one in own.sections),
                lambda one: (one[0], one[1], year, self._terms[one[2]].title),
                self._offering,
            ),
            "sections": Source(own.sections, self._section_key, self._section),
            "studentSectionAssociations": Source(learning, lambda one: one.key, self._attendance),
            "staffSectionAssociations": Source(
                teaching, (lambda one: one.key) if self._five else (lambda one: one.key[:3]), self._teaching
            ),
            "assessments": Source(own.assessments, lambda one: (one.code, self._namespace), self._assessment),
            "objectiveAssessments": Source(
                [(whole, part) for whole in own.assessments for part in whole.objectives],
                lambda one: (one[0].code, one[1].code, self._namespace),
                self._objective,
            ),
            "studentAssessments": Source(
                own.sittings, lambda one: (one.assessment, self._namespace, one.code, one.student), self._sitting
            ),
        }

    def _apart(self) -> dict[str, Source]:
        """What Data Standard 6 took out of students, of what an agency knows of them, and of staff."""
        own = self._district
        numbers = [(one, number) for one in own.students for number in self._student_numbers(one)]
        return {
            "studentDemographics": Source(own.students, lambda one: (own.number, one.number), self._demographics),
            "studentDirectories": Source(own.students, lambda one: (own.number, one.number), self._directory),
            "studentIdentificationCodes": Source(
                numbers,
                lambda one: (own.number, one[1]["studentIdentificationSystemDescriptor"], one[0].number),
                self._student_number,
            ),
            "staffDirectories": Source(own.staff, lambda one: (own.number, one.number), self._staff_directory),
            "staffIdentificationCodes": Source(
                own.staff,
                lambda one: (own.number, _staff_code(one)["staffIdentificationSystemDescriptor"], one.number),
                self._staff_number,
            ),
        }

    # Organizations

    def _agency(self, one: District) -> Row:
        category = "Regular public school district" if self._five else "Independent"
        return {
            "localEducationAgencyId": one.number,
            "nameOfInstitution": one.name,
            "categories": [coded("EducationOrganizationCategory", "Local Education Agency")],
            **coded("LocalEducationAgencyCategory", category),
            "addresses": [],
        }

    def _school(self, one: School) -> Row:
        return {
            "schoolId": one.number,
            "localEducationAgencyReference": reference(
                "LocalEducationAgency", "localEducationAgencies", localEducationAgencyId=self._district.number
            ),
            "nameOfInstitution": one.name,
            "educationOrganizationCategories": [coded("EducationOrganizationCategory", "School")],
            "gradeLevels": _grade_levels(one.grades),
            "schoolCategories": [coded("SchoolCategory", f"{one.level.title()} School")],
            "addresses": [],
        }

    # People

    def _student(self, one: Student) -> Row:
        row: Row = {
            "studentUniqueId": one.number,
            "birthDate": one.birth.isoformat(),
            "firstName": one.given,
            "middleName": one.middle,
            "lastSurname": one.family,
            "otherNames": [],
        }
        if not self._six:
            row |= {"identificationDocuments": [], "visas": []}
        if one.preferred_given and self._five:
            row["preferredFirstName"] = one.preferred_given
        elif one.preferred_given:
            nickname = {"firstName": one.preferred_given, "lastSurname": one.family}
            row["otherNames"] = [{**coded("OtherNameType", "Nickname"), **nickname}]
        return wire.without_nulls(row | self._planted.student)

    def _staff(self, one: Staff) -> Row:
        row: Row = {"staffUniqueId": one.number, "firstName": one.given, "lastSurname": one.family}
        if not self._six:
            row |= {"electronicMails": [wire.mail(one.email, "Work")], "identificationCodes": [_staff_code(one)]}
        return row | self._planted.staff

    def _staff_directory(self, one: Staff) -> Row:
        return {
            "educationOrganizationReference": self._organization_reference(None),
            "staffReference": wire.staff(one.number),
            "electronicMails": [wire.mail(one.email, "Work")],
            **self._planted.directory,
        }

    def _staff_number(self, one: Staff) -> Row:
        return {
            "educationOrganizationReference": self._organization_reference(None),
            "staffReference": wire.staff(one.number),
            **_staff_code(one),
        }

    def _contact(self, one: Contact) -> Row:
        row = {
            f"{self._person}UniqueId": one.number,
            "firstName": one.given,
            "lastSurname": one.family,
            "addresses": [],
            "electronicMails": [wire.mail(one.email, "Home/Personal")],
            "telephones": [{"telephoneNumber": one.phone, **coded("TelephoneNumberType", "Mobile")}],
        }
        return row | self._planted.contact

    def _kinship(self, one: Kinship) -> Row:
        number = {f"{self._person}UniqueId": one.contact}
        return {
            f"{self._person}Reference": reference(self._person.title(), f"{self._person}s", **number),
            "studentReference": wire.student(one.student),
            **coded("Relation", one.relation.title()),
            "contactPriority": one.priority,
            "legalGuardian": one.legal_guardian,
            "livesWith": one.lives_with,
            "primaryContactStatus": one.priority == 1,
        }

    # How people belong to organizations

    def _enrolled(self, one: Student) -> Row:
        return {
            "entryDate": one.entry.isoformat(),
            "schoolReference": wire.school(one.school),
            "schoolYearTypeReference": _year_reference(self._district.school_year),
            "studentReference": wire.student(one.number),
            **coded("GradeLevel", codes.GRADES[one.grade], role="entry"),
            "primarySchool": True,
            "educationPlans": [],
            **_ending("exitWithdrawDate", one.exit),
            **self._planted.enrollment,
        }

    def _known_at_the_agency(self, one: Student) -> Row:
        row = self._about(one)
        if not self._six:
            numbers = self._student_numbers(one)
            row |= {**self._needs(one), **self._mail(one), "studentIdentificationCodes": numbers}
        if self._five:
            # Ed-Fi: the device descriptors have no core code values before Data Standard 5.
            device = "Chromebook" if one.device else "None"
            row |= coded("PrimaryLearningDeviceAwayFromSchool", device)
        return row | self._planted.organization

    def _demographics(self, one: Student) -> Row:
        return {**self._about(one), **self._needs(one), **self._planted.demographics}

    def _directory(self, one: Student) -> Row:
        return {**self._about(one), **self._mail(one), **self._planted.directory}

    def _student_number(self, one: tuple[Student, Row]) -> Row:
        student, number = one
        return {**self._about(student), **number}

    def _about(self, one: Student) -> Row:
        return {
            "educationOrganizationReference": self._organization_reference(None),
            "studentReference": wire.student(one.number),
        }

    def _needs(self, one: Student) -> Row:
        economic = {
            **coded("StudentCharacteristic", "Economic Disadvantaged"),
            "periods": [{"beginDate": one.entry.isoformat()}],
        }
        races = codes.RACES_FROM_5 if self._five else codes.RACES_BEFORE_5
        language = {**coded("Language", one.language), "uses": [coded("LanguageUse", "Home language")]}
        row = {
            **coded("Sex", one.sex.title()),
            "hispanicLatinoEthnicity": one.hispanic,
            "races": wire.each_coded("Race", (races[race] for race in one.races)),
            "languages": [language],
            **coded("LimitedEnglishProficiency", "Limited" if one.english_learner else "NotLimited"),
            "studentCharacteristics": [economic] if one.economically_disadvantaged and not self._six else [],
        }
        if self._six:
            poor = one.economically_disadvantaged
            row |= coded(
                "EconomicDisadvantage",
                "Other Economic Disadvantage" if poor else "Not Qualified As Economically Disadvantaged",
            )
        return row

    def _mail(self, one: Student) -> Row:
        return {"electronicMails": [wire.mail(one.email, "Organization")]}

    def _student_numbers(self, one: Student) -> list[Row]:
        number = {
            **coded("StudentIdentificationSystem", "District"),
            "assigningOrganizationIdentificationCode": str(self._district.number),
            "identificationCode": one.number,
        }
        return [number, *self._planted.student_codes]

    def _assigned(self, one: Staff) -> Row:
        roles = codes.ROLES_FROM_5 if self._five else codes.ROLES_BEFORE_5
        return {
            "beginDate": one.begin.isoformat(),
            "educationOrganizationReference": self._organization_reference(one.school),
            "staffReference": wire.staff(one.number),
            **coded("StaffClassification", roles[one.role]),
            **_ending("endDate", one.end),
        }

    # What is taught

    def _session(self, one: tuple[School, Term]) -> Row:
        school, term = one
        return {
            "sessionName": term.title,
            "schoolReference": wire.school(school.number),
            "schoolYearTypeReference": _year_reference(self._district.school_year),
            "beginDate": term.begin.isoformat(),
            "endDate": term.end.isoformat(),
            **coded("Term", f"{term.code.title()} Semester"),
            "totalInstructionalDays": (term.end - term.begin).days * 5 // 7,
            "gradingPeriods": [],
        }

    def _course(self, one: Course) -> Row:
        subject = coded("AcademicSubject", codes.SUBJECTS[one.subject])
        code = {**coded("CourseIdentificationSystem", "LEA course code"), "identificationCode": one.code}
        return {
            "courseCode": one.code,
            "educationOrganizationReference": self._organization_reference(None),
            "courseTitle": one.title,
            **({"academicSubjects": [subject]} if self._five else subject),
            "identificationCodes": [code],
            "numberOfParts": 1,
            "offeredGradeLevels": _grade_levels(one.grades),
        }

    def _offering(self, one: tuple[str, int, str]) -> Row:
        course, school, term = one
        return {
            "localCourseCode": course,
            "courseReference": reference(
                "Course", "courses", courseCode=course, educationOrganizationId=self._district.number
            ),
            "schoolReference": wire.school(school),
            "sessionReference": reference(
                "Session",
                "sessions",
                schoolId=school,
                schoolYear=self._district.school_year,
                sessionName=self._terms[term].title,
            ),
            "localCourseTitle": self._courses[course].title,
        }

    def _section(self, one: Section) -> Row:
        period = {"classPeriodName": one.period, "schoolId": one.school}
        return {
            "sectionIdentifier": one.code,
            "courseOfferingReference": reference(
                "CourseOffering",
                "courseOfferings",
                localCourseCode=one.course,
                schoolId=one.school,
                schoolYear=self._district.school_year,
                sessionName=self._terms[one.term].title,
            ),
            "sectionName": one.title,
            "classPeriods": [{"classPeriodReference": reference("ClassPeriod", "classPeriods", **period)}],
            "offeredGradeLevels": _grade_levels(one.grades),
        }

    def _section_key(self, one: Section) -> Key:
        term = self._terms[one.term].title
        return one.course, one.school, self._district.school_year, one.code, term

    def _section_reference(self, one: SectionEnrollment) -> Row:
        key = self._section_key(self._sections[one.school, one.section])
        names = ("localCourseCode", "schoolId", "schoolYear", "sectionIdentifier", "sessionName")
        return reference("Section", "sections", **dict(zip(names, key, strict=True)))

    def _attendance(self, one: SectionEnrollment) -> Row:
        return {
            "beginDate": one.begin.isoformat(),
            "sectionReference": self._section_reference(one),
            "studentReference": wire.student(one.person),
            "endDate": one.end.isoformat(),
            "homeroomIndicator": False,
        }

    def _teaching(self, one: SectionEnrollment) -> Row:
        position = "Teacher of Record" if one.primary else "Support Teacher"
        return {
            "beginDate": one.begin.isoformat(),
            "sectionReference": self._section_reference(one),
            "staffReference": wire.staff(one.person),
            **coded("ClassroomPosition", position),
            "endDate": one.end.isoformat(),
        }

    # What is assessed

    def _assessment(self, one: Assessment) -> Row:
        graded = one.purpose != "interest_inventory"
        subject = coded("AcademicSubject", codes.SUBJECTS[one.subject])
        scores = [wire.scale("Scale score", "Integer", one.minimum, one.maximum)]
        if graded:
            scores.append(wire.scale("Percentile", "Percentile", 1, 99))
        return {
            "assessmentIdentifier": one.code,
            "namespace": self._namespace,
            "assessmentTitle": one.title,
            "assessmentFamily": one.family,
            **coded("AssessmentCategory", codes.CATEGORIES[one.purpose]),
            **(subject if self._six else {"academicSubjects": [subject]}),
            "adaptiveAssessment": False,
            "scores": scores,
            "performanceLevels": [wire.level(code) for code in codes.LEVELS.values()] if graded else [],
        }

    def _objective(self, one: tuple[Assessment, Objective]) -> Row:
        whole, part = one
        return {
            "identificationCode": part.code,
            "assessmentReference": self._assessment_reference(whole.code),
            "description": part.title,
            "scores": [wire.scale("Scale score", "Integer", whole.minimum, whole.maximum)],
        }

    def _sitting(self, one: Sitting) -> Row:
        moment = f"{one.on.isoformat()}T15:00:00Z"
        scores = [wire.score("Scale score", "Integer", one.score)]
        if one.percentile is not None:
            scores.append(wire.score("Percentile", "Percentile", one.percentile))
        return {
            "studentAssessmentIdentifier": one.code,
            "assessmentReference": self._assessment_reference(one.assessment),
            **({"reportedSchoolReference": wire.school(one.school)} if self._four else {}),
            "schoolYearTypeReference": _year_reference(one.on.year + (one.on.month >= _JULY)),
            "studentReference": wire.student(one.student),
            "administrationDate": moment,
            **coded("GradeLevel", codes.GRADES[one.grade], role="whenAssessed"),
            "scoreResults": scores,
            "performanceLevels": [self._reached(one.level)] if one.level else [],
            "studentObjectiveAssessments": [
                {
                    "objectiveAssessmentReference": reference(
                        "ObjectiveAssessment",
                        "objectiveAssessments",
                        assessmentIdentifier=one.assessment,
                        identificationCode=code,
                        namespace=self._namespace,
                    ),
                    "scoreResults": [wire.score("Scale score", "Integer", score)],
                    "performanceLevels": [],
                }
                for code, score in one.objectives.items()
            ],
            **self._planted.sitting,
        }

    def _reached(self, level: str) -> Row:
        # Ed-Fi: only Data Standard 3.3 also says whether the level was met, and has to.
        return {**wire.level(codes.LEVELS[level]), **({} if self._four else {"performanceLevelMet": True})}

    def _assessment_reference(self, code: str) -> Row:
        return reference("Assessment", "assessments", assessmentIdentifier=code, namespace=self._namespace)

    def _organization_reference(self, school: int | None) -> Row:
        number = school or self._district.number
        return wire.organization(number, agency=school is None)


def _staff_code(one: Staff) -> Row:
    return {**coded("StaffIdentificationSystem", "District"), "identificationCode": one.number}


def _year_reference(year: int) -> Row:
    return reference("SchoolYearType", "schoolYearTypes", schoolYear=year)


def _ending(name: str, last: date | None) -> Row:
    """The last day, where it is known."""
    return {name: last.isoformat()} if last else {}


def _grade_levels(grades: tuple[str, ...]) -> list[Row]:
    return wire.each_coded("GradeLevel", (codes.GRADES[grade] for grade in grades))
