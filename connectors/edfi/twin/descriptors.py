"""Which code values the served standards ship for what can be written, and what the district has added."""

from collections.abc import Iterator

CORE = "uri://ed-fi.org"

# Ed-Fi: core code values, first those of every standard, then what Data Standards before 5 and from 5 on add.
_CORE = {
    "CohortType": (
        "Academic Intervention; Attendance Intervention; Classroom Pullout; Counselor List; Discipline "
        "Intervention; Extracurricular Activity; Field Trip; In-school Suspension; Other; Principal Watch "
        "List; Study Hall"
    ),
    "DeliveryMethod": "Individual; Small Group; Whole Class; Whole School",
    "Diagnosis": "Dropout Risk; Low Attendance",
    "EducationPlan": (
        "504 Plan; Career Pathways; Career Suggestions; Completion and Reach Age 22; Employability Skills; "
        "Full Time Employment; High School Education Plan; IDEA IEP; Other; Outside Service Access; Personal "
        "Graduation Plan; Student Success Plan"
    ),
    "GradeLevel": (
        "Adult Education; Early Education; Eighth grade; Eleventh grade; Fifth grade; First grade; Fourth "
        "grade; Grade 13; Infant/toddler; Kindergarten; Ninth grade; No grade level; Other; "
        "Postsecondary; Preschool/Prekindergarten; Second grade; Seventh grade; Sixth grade; Tenth grade; "
        "Third grade; Twelfth grade; Ungraded"
    ),
    "InterventionClass": "Curriculum; Other; Practice; Supplement",
    "InterventionEffectivenessRating": (
        "Mixed Effects; Negative Effects; No Discernible Effects; Other; Positive Effects; Potentially "
        "Negative Effects; Potentially Positive Effects"
    ),
    "ParticipationStatus": "",
    "PopulationServed": (
        "Adult Basic Education Students; Bilingual Students; Career and Technical Education Students; "
        "Compensatory/Remedial Education Students; ESL Students; Economic Disadvantaged; Gifted and "
        "Talented Students; Honors Students; Migrant Students; Regular Students; Special Education "
        "Students"
    ),
    "ProgramCharacteristic": "",
    "ProgramSponsor": (
        "Business; Education Service Center; Education organization network; Federal government; Local "
        "Education Agency; Non-profit organization; Other; Postsecondary institution; Private "
        "organization; Religious organization; School; State Education Agency"
    ),
    "ProgramType": (
        "Adult/Continuing Education; Alternative Education; Athletics; Bilingual; Bilingual Summer; "
        "Career and Technical Education; Cocurricular Programs; College Preparatory; Community Service "
        "Program; Community/Junior College Education Program; Compensatory Services for Disadvantaged "
        "Students; Counseling Services; District-Funded GED; Early Head Start; Early Intervention "
        "Services Part C; English as a Second Language (ESL); Even Start; Expelled Education; Extended "
        "Day/Child Care Services; Fee For Service; Foreign Exchange; Gifted and Talented; Head Start; "
        "Health Services Program; High School Equivalency Program (HSEP); Home Visiting; Homeless; IDEA; "
        "Immigrant Education; Independent Study; Indian Education; International Baccalaureate; "
        "Kindergarten - Extended Day; Kindergarten - Full Day; Kindergarten - Half Day; Library/Media "
        "Services Program; Magnet/Special Program Emphasis; Migrant Education; Neglected and Delinquent "
        "Program; Optional Flexible School Day Program (OFSDP); Other; Prekindergarten - Extended Day; "
        "Prekindergarten - Full Day; Prekindergarten - Half Day; Preschool Special Education; Public "
        "Preschool; Regular Education; Remedial Education; Section 504 Placement; Service Learning; "
        "Special Education; Student Retention/Dropout Prevention; Student School Food Service; Substance "
        "Abuse Education/Prevention; Teacher Professional Development/Mentoring; Technical Preparatory; "
        "Title I Part A; Title I Part D Subpart 1; Title I Part D Subpart 2; Vocational Education"
    ),
    "ReasonExited": (
        "Died or is permanently incapacitated; Discontinued schooling; Graduated with a high school "
        "diploma; Moved out of state; Other; Reached maximum age; Received certificate of completion or "
        "equivalent; Suspended or expelled from school; Transferred to another district or school; "
        "Unknown reason; Withdrawal by a parent (or guardian)"
    ),
    "Service": (
        "Assistive technology device or service; Audiological Impairment; Audiological services; "
        "Counseling services; Disgraphia; Dyslexia; Interpreting services; Medical diagnostic services; "
        "Occupational therapy; Orientation and mobility training services; Physical therapy; Preschool "
        "children with disabilites program; Psychological services; Recreational services; Speech therapy"
    ),
    "Sex": "Female; Male; Not Selected",
}
_BEFORE_5 = {
    "ParticipationStatus": "Active in Program; Eligible; Not Eligible; Referred; Refused",
}
_FROM_5 = {
    "GradeLevel": "Out of School; Prekindergarten; Preschool; Transitional Kindergarten",
    "ProgramType": "Support",
    "ReasonExited": "Graduated with an alternate diploma; Transferred to regular education",
    "Sex": "Non-binary",
}
_DISTRICT = {
    "ParticipationStatus": "Active; Cancelled; Completed",
    "ProgramType": "Student Success Plan",
    "Service": (
        "Academic Intervention; Attendance Support; Behavior Support; Counseling; Enrichment; "
        "Family Support; Language Support; Mentoring; Tutoring"
    ),
}


def _collection_name(name: str) -> str:
    """The resource that serves a descriptor: ProgramType -> programTypeDescriptors."""
    return f"{name[0].lower()}{name[1:]}Descriptors"


def served() -> dict[str, str]:
    """The descriptor of every descriptor resource, by the resource's name."""
    return {_collection_name(name): f"{name}Descriptor" for name in _CORE}


def values(namespace: str, *, five: bool) -> Iterator[tuple[str, str, str]]:
    """(descriptor, its namespace, code value) of all there are at first; `namespace` is the district's."""
    for owner, sets in ((CORE, (_CORE, _FROM_5 if five else _BEFORE_5)), (namespace, (_DISTRICT,))):
        for codes in sets:
            for name, listed in codes.items():
                for code in filter(None, listed.split("; ")):
                    yield f"{name}Descriptor", f"{owner}/{name}Descriptor", code
