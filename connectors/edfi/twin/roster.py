"""Which of the SIS's own resources can be written, and what of their bodies is judged; the rest is kept as it comes."""

from connectors.edfi.twin.shapes import Field, Fields, Shape, coded, must, pointer, text

_STUDENT = pointer("Student", [("studentUniqueId", text(32, required=True, key=True))])
_SCHOOL = pointer("School", [("schoolId", must("whole"))])
_NAMES: Fields = {
    "firstName": text(75, required=True),
    "lastSurname": text(75, required=True),
    "middleName": text(75),
    "generationCodeSuffix": text(10),
}
_ENROLMENT: Fields = {
    "entryDate": must("day"),
    "schoolReference": _SCHOOL,
    "studentReference": _STUDENT,
    "entryGradeLevelDescriptor": coded("GradeLevel", required=True),
    "exitWithdrawDate": Field("day"),
    "primarySchool": Field("flag"),
    "educationPlans": Field("many", fields={"educationPlanDescriptor": coded("EducationPlan", required=True)}),
}
_RELATION: Fields = {
    "legalGuardian": Field("flag"),
    "livesWith": Field("flag"),
    "primaryContactStatus": Field("flag"),
    "emergencyContactStatus": Field("flag"),
    "contactPriority": Field("whole"),
}


def roster(standard: str) -> dict[str, Shape]:
    """The shapes of these resources; natural keys in the order of the district's rows. # Ed-Fi: OpenAPI 3.3 to 6.0"""
    person = "contact" if standard >= "5" else "parent"
    title, number = person.title(), f"{person}UniqueId"
    own = {number: text(32, required=True, key=True)}
    return {
        "students": Shape(
            "Student",
            ("studentUniqueId",),
            {"studentUniqueId": text(32, required=True, key=True), **_NAMES, "birthDate": must("day")},
            open=True,
        ),
        "studentSchoolAssociations": Shape(
            "StudentSchoolAssociation",
            ("entryDate", "schoolReference.schoolId", "studentReference.studentUniqueId"),
            _ENROLMENT,
            open=True,
        ),
        f"{person}s": Shape(title, (number,), own | _NAMES, open=True),
        f"student{title}Associations": Shape(
            f"Student{title}Association",
            (f"{person}Reference.{number}", "studentReference.studentUniqueId"),
            {f"{person}Reference": pointer(title, list(own.items())), "studentReference": _STUDENT, **_RELATION},
            open=True,
        ),
    }
