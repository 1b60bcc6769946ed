"""What a row of a vendor's result file becomes: a student's ids, what was measured, and results; no name, no birthday.

These records are made at the edge, by a layout: what no layout asks for is in none of them, so that nothing of it is
ever stored. Values stay as the file has them, but for dates, which a layout can read.
"""

from operator import attrgetter

import msgspec

from gateway.connector import Resource
from gateway.errors import RecordError


class Student(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Whom results are about: the ids that other systems know too."""

    key: str
    district: str | None = None
    state: str | None = None


class Assessment(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What was measured, or, with a parent, one reported part of it."""

    key: str
    title: str
    parent: str | None = None
    subject: str | None = None
    family: str | None = None
    purpose: str | None = None


class Score(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    method: str
    value: str
    datatype: str = "text"


class Level(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    method: str
    level: str


class Part(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a result says about one objective."""

    name: str
    assessment: str
    scores: list[Score] = []
    levels: list[Level] = []


class Result(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One student's result in one assessment at one time, with its parts. `parent`: the result it is a part of."""

    key: str
    assessment: str
    student: str | None = None
    parent: str | None = None
    date: str | None = None
    period: str | None = None
    school_year: str | None = None
    grade: str | None = None
    retest: str | None = None
    not_tested: str | None = None
    scores: list[Score] = []
    levels: list[Level] = []
    parts: list[Part] = []


def _result_key(result: Result) -> str:
    if not result.student:
        raise RecordError("student-id-missing", "The row has no id of a student.", field="student")
    return result.key


RESOURCES = {
    "students": Resource("students", Student, key=attrgetter("key")),
    "assessments": Resource("assessments", Assessment, key=attrgetter("key")),
    "results": Resource("results", Result, key=_result_key),
}
"""What such a file yields, parents before children."""
