"""The assessments the district gives in the fall, and how its students did."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from random import Random
from statistics import NormalDist

from synthetic.model import Assessment, Objective, Sitting, Student
from synthetic.people import GRADES

ASSESSMENTS = (
    Assessment(
        "CAREER-INV",
        "Trailhead Interest Inventory",
        "Trailhead",
        "career",
        "interest_inventory",
        0,
        60,
        (
            Objective("BUILD", "Building and repairing"),
            Objective("ASK", "Asking and investigating"),
            Objective("MAKE", "Making and performing"),
            Objective("HELP", "Helping and teaching"),
            Objective("LEAD", "Leading and persuading"),
            Objective("ORDER", "Organizing and checking"),
        ),
    ),
    Assessment(
        "MATH-INT",
        "Abacus Interim Mathematics, fall",
        "Abacus",
        "mathematics",
        "interim",
        100,
        350,
        (
            Objective("NUM", "Number and operations"),
            Objective("ALG", "Algebraic thinking"),
            Objective("GEO", "Geometry"),
            Objective("DAT", "Measurement and data"),
        ),
    ),
    Assessment(
        "READ-DIAG",
        "Lantern Reading Diagnostic, fall",
        "Lantern",
        "reading",
        "diagnostic",
        200,
        800,
        (
            Objective("PHON", "Phonics and decoding"),
            Objective("VOC", "Vocabulary"),
            Objective("COMP", "Comprehension"),
        ),
    ),
    Assessment(
        "STATE-ELA",
        "State Assessment of Language Arts, fall administration",
        "State Assessment",
        "english",
        "summative_state",
        1000,
        1600,
        (Objective("RDG", "Reading"), Objective("WRT", "Writing and language")),
    ),
)

# Which grades sit an assessment, from when, and how many of them were there that week.
_GIVEN = {
    "CAREER-INV": (GRADES[7:], date(2026, 10, 12), 0.80),
    "MATH-INT": (GRADES, date(2026, 9, 21), 0.94),
    "READ-DIAG": (GRADES[:9], date(2026, 9, 8), 0.93),
    "STATE-ELA": (GRADES[3:11], date(2026, 12, 7), 0.96),
}
_NORMAL = NormalDist()


def sittings(rng: Random, students: Iterable[Student]) -> Iterator[Sitting]:
    """At most one sitting per student and assessment; strong students are strong in everything, roughly."""
    for student in students:
        ability = rng.gauss(0, 0.8)
        for assessment in ASSESSMENTS:
            grades, first, present = _GIVEN[assessment.code]
            if student.grade in grades and rng.random() < present:
                yield sitting(rng, assessment, student, first + timedelta(days=rng.randrange(5)), ability)


def sitting(rng: Random, assessment: Assessment, student: Student, on: date, ability: float) -> Sitting:
    """How a student did, `ability` standard deviations from the middle; nobody sits before their first day."""
    interests = assessment.purpose == "interest_inventory"
    parts = {
        part.code: _scaled(assessment, rng.gauss(0 if interests else ability, 0.6)) for part in assessment.objectives
    }
    score = max(parts.values()) if interests else round(sum(parts.values()) / len(parts))
    middle = (assessment.minimum + assessment.maximum) / 2
    width = (assessment.maximum - assessment.minimum) / 6
    percentile = min(99, max(1, round(100 * _NORMAL.cdf((score - middle) / width))))
    return Sitting(
        code=f"{assessment.code}-{student.number}",
        assessment=assessment.code,
        student=student.number,
        school=student.school,
        grade=student.grade,
        on=max(on, student.entry),
        score=score,
        percentile=None if interests else percentile,
        level=None if interests else _level(percentile),
        objectives=parts,
    )


def _scaled(assessment: Assessment, deviation: float) -> int:
    """Standard deviations around the middle of the scale, cut off at its ends (three either side)."""
    share = min(1.0, max(0.0, (deviation + 3) / 6))
    return round(assessment.minimum + share * (assessment.maximum - assessment.minimum))


def _level(percentile: int) -> str:
    if percentile < 25:
        return "below"
    if percentile < 50:
        return "approaching"
    return "meets" if percentile < 85 else "exceeds"
