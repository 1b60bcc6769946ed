"""What looks wrong in a roster that can be read: each check, what it says in plain words, where in the SIS to look."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""error: something that the source sent is missing here, or stands for two. warning: it is here, and most likely wrong.
note: worth a look; many districts mean it so."""

OLDEST, YOUNGEST = 23, 2
"""Years that a student may be old."""


@dataclass(frozen=True)
class Check:
    """`kind` is what it counts, a kind of entity or, empty, each collection or kind by itself; `says` what is wrong
    with them; `look` where it is mended."""

    code: str
    kind: str
    severity: Severity
    says: str
    look: str


CHECKS = (
    # --- what did not get in, or not wholly
    Check(
        "set-aside", "", "error", "Records that could not be read.",
        "`planbridge rejects` lists them by cause, with the field that is wrong.",
    ),
    Check(
        "dangling-reference", "", "error", "Records that refer to something that is not there.",
        "Whether what they refer to is in the export, active, and of the exported schools and year; "
        "`planbridge rejects show --waiting unresolved-reference` shows them.",
    ),
    Check(
        "no-record-of-its-own", "", "error", "Details (demographics, a role) of somebody who has no record.",
        "Whether the two exports have the same filter; `planbridge rejects show --waiting no-anchor` shows them.",
    ),
    Check(
        "incomplete-record", "", "error", "Records without a field that each must have.",
        "The field that `planbridge rejects show --waiting incomplete` names.",
    ),
    Check(
        "person-without-role", "", "error", "People who are neither student nor staff nor family.",
        "The roles of the person in the user or staff screen.",
    ),
    Check(
        "duplicate-key", "", "warning", "Keys that came more than once; the last one counts.",
        "The export's own query: a join that doubles rows, or a student listed once per school.",
    ),
    Check(
        "unmapped-code", "", "warning", "Records with a code that has no word here, so that it is left out.",
        "`planbridge crosswalks unmapped` lists the codes: give them words, or mend the code table of the SIS.",
    ),
    # --- organizations, sessions, classes
    Check(
        "school-without-parent", "organization", "note", "Schools that belong to no district.",
        "The school's record: which district it is part of.",
    ),
    Check(
        "session-without-dates", "session", "warning", "Sessions without a first or last day.",
        "The calendar of the school year.",
    ),
    Check(
        "ends-before-it-begins", "session", "warning", "Sessions whose last day is before the first.",
        "The calendar of the school year.",
    ),
    Check(
        "session-outside-parent", "session", "warning", "Sessions that are not within the session they are part of.",
        "The calendar: the dates of the term and of its school year.",
    ),
    Check(
        "session-outside-school-year", "session", "warning",
        "Sessions whose school year is another one than their dates say.",
        "The calendar: the school year is named by the year in which it ends.",
    ),
    Check(
        "class-at-no-school", "class", "warning", "Classes whose school is no school but a district or department.",
        "The section's school.",
    ),
    Check(
        "class-without-session", "class", "warning", "Classes that meet in no session.",
        "The section's terms.",
    ),
    Check(
        "class-session-no-term", "class", "note", "Classes that meet in a school year or a grading period.",
        "The section's terms.",
    ),
    Check(
        "class-without-teacher", "class", "warning", "Classes that go on and have no teacher.",
        "The section's staff assignment, and whether its dates are over.",
    ),
    Check(
        "class-without-student", "class", "note", "Classes that go on and have no student.",
        "The section's roster; or whether an unused section should be closed.",
    ),
    Check(
        "class-without-lead", "class", "note", "Classes with several teachers of whom none is the primary one.",
        "The section's staff assignment: who is the teacher of record.",
    ),
    # --- people
    Check(
        "student-without-enrollment", "person", "warning", "Students who are in no class.",
        "The student's schedule; whether somebody who has left is still active.",
    ),
    Check(
        "student-without-school", "person", "warning", "Students who have no role at any school.",
        "The student's enrollment at a school, and its dates.",
    ),
    Check(
        "student-without-grade", "person", "warning", "Students without a grade.",
        "The student's grade level, and whether the code is mapped (`planbridge crosswalks unmapped`).",
    ),
    Check(
        "student-without-number", "person", "warning",
        "Students without the number by which other systems know them; nobody is matched by it.",
        "The field that the connection names as student identifier.",
    ),
    Check(
        "number-twice", "person", "error", "Students who share that number with another one.",
        "The two records: one child twice, or a number given twice.",
    ),
    Check(
        "birth-date-implausible", "person", "warning",
        f"Students younger than {YOUNGEST} or older than {OLDEST}, or born in the future.",
        "The student's date of birth.",
    ),
    Check(
        "no-primary-role", "person", "note", "People with several roles at an organization, none of them primary.",
        "Which of the roles is the main one.",
    ),
    Check(
        "several-primary-roles", "person", "warning", "People with more than one primary role at an organization.",
        "Which of the roles is the main one; only one may be.",
    ),
    Check(
        "primary-organization-without-role", "person", "warning",
        "People whose main organization is one at which they have no role.",
        "The home school, and the person's roles.",
    ),
    Check(
        "ends-before-it-begins", "person", "warning", "People with a role whose last day is before the first.",
        "The dates of the person's assignment or school enrollment.",
    ),
    Check(
        "contact-without-student", "person", "note", "Family contacts who belong to no student.",
        "The contact's link to the student.",
    ),
    # --- enrollments
    Check(
        "ends-before-it-begins", "enrollment", "warning", "Enrollments whose last day is before the first.",
        "The dates of the schedule entry.",
    ),
    Check(
        "enrollment-outside-session", "enrollment", "warning",
        "Enrollments of which no day lies in a session of their class.",
        "The dates of the schedule entry and the terms of the section.",
    ),
    Check(
        "enrollment-school-differs", "enrollment", "warning", "Enrollments at another school than their class.",
        "The school of the schedule entry and that of the section.",
    ),
    Check(
        "enrollment-role-differs", "enrollment", "warning",
        "People enrolled as students who are none, or as teachers who are students.",
        "The role in the section, and the person's own role.",
    ),
    Check(
        "enrolled-twice", "enrollment", "note", "People who are in one class several times at once, in the same role.",
        "The schedule: an entry that was made again instead of being reopened.",
    ),
    # --- results
    Check(
        "ends-before-it-begins", "line_item", "note", "Work that is due before it is set.",
        "The dates in the gradebook.",
    ),
    Check(
        "limits-reversed", "line_item", "warning", "Work whose lowest score is above the highest.",
        "The points in the gradebook.",
    ),
    Check(
        "score-out-of-range", "result", "note", "Scores below the lowest or above the highest possible one.",
        "The score, unless it is extra credit.",
    ),
    Check(
        "result-not-enrolled", "result", "warning", "Results of students who are not in the class.",
        "Whether the student has left the class, or the result belongs to another one.",
    ),
    Check(
        "score-out-of-range", "assessment_result", "warning",
        "Scores below the lowest or above the highest possible one.",
        "The score, and the limits of the assessment.",
    ),
)  # fmt: skip
"""In the order in which one would mend them."""

_BY_KIND = {(check.code, check.kind): check for check in CHECKS}


def check_of(code: str, kind: str) -> Check | None:
    """The check that found it; None where this version has it no more."""
    return _BY_KIND.get((code, kind)) or _BY_KIND.get((code, ""))


def counted(severities: Iterable[str]) -> str:
    """`2 errors, 1 warning`, or `nothing`."""
    told = list(severities)
    parts = [f"{n} {one}{'' if n == 1 else 's'}" for one in SEVERITIES if (n := told.count(one))]
    return ", ".join(parts) or "nothing"
