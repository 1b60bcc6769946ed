"""What a vendor's result file states: whom it means, what was measured, and what came out, whole and in parts."""

import re
from collections.abc import Iterator, Sequence
from datetime import date

from msgspec import UNSET, UnsetType

from connectors.assessment_files import models as wire
from gateway.errors import RecordError
from gateway.mapping import Claim, Crosswalks
from gateway.schema import roster
from gateway.schema.assessment import Assessment, AssessmentResult, PerformanceLevel, Score, read_as


def student(record: wire.Student, codes: Crosswalks) -> Iterator[Claim]:
    """The numbers by which the system of record may recognise a student; a result file makes nobody a student."""
    stated = (("district", record.district), ("state", record.state))
    identifiers = [roster.Identifier(system, value) for system, value in stated if value]
    yield Claim("person", record.key, roster.Person(population="student", identifiers=identifiers or UNSET))


def assessment(record: wire.Assessment, codes: Crosswalks) -> Iterator[Claim]:
    yield Claim(
        "assessment",
        record.key,
        Assessment(
            title=record.title,
            identifier=record.key,
            family=record.family or UNSET,
            parent=record.parent or UNSET,
            purpose=_code("assessment_purpose", record.purpose, codes),
            subjects=[record.subject] if record.subject else UNSET,
        ),
    )


def result(record: wire.Result, codes: Crosswalks) -> Iterator[Claim]:
    """The result, and one more for each part that was reported by itself."""
    on, year = _day(record.date), _school_year(record.school_year)
    period = record.period or UNSET
    grade = _code("grade", record.grade, codes)
    student = record.student or UNSET
    yield Claim(
        "assessment_result",
        record.key,
        AssessmentResult(
            assessment=record.assessment,
            student=student,
            parent=record.parent or UNSET,
            on=on,
            period=period,
            school_year=year,
            grade=grade,
            retest=record.retest or UNSET,
            reason_not_tested=record.not_tested or UNSET,
            scores=_scores(record.scores),
            performance_levels=_levels(record.levels),
        ),
    )
    for part in record.parts:
        yield Claim(
            "assessment_result",
            f"{record.key}|{part.name}",
            AssessmentResult(
                assessment=part.assessment,
                student=student,
                parent=record.key,
                on=on,
                period=period,
                school_year=year,
                grade=grade,
                scores=_scores(part.scores),
                performance_levels=_levels(part.levels),
            ),
        )


def _code(table: str, value: str | None, codes: Crosswalks) -> str | UnsetType:
    return UNSET if not value else codes.translate(table, value) or UNSET


def _day(stated: str | None) -> date | UnsetType:
    if stated is None:
        return UNSET
    try:
        return date.fromisoformat(stated)
    except ValueError:
        reason = "The date is not one like 2026-10-01 or 10/1/2026."
        raise RecordError("bad-date", reason, field="date") from None


def _school_year(stated: str | None) -> int | UnsetType:
    """The year in which it ends, of 2026-2027, 2026-27, SY27 or Fall 2026-2027. # OneRoster: schoolYear"""
    if stated is None:
        return UNSET
    if found := re.search(r"(20[0-9]{2})\s*[-/]\s*(?:20)?([0-9]{2})\b", stated):
        return int(f"20{found[2]}")
    found = re.search(r"\b(20[0-9]{2})\b", stated)
    return int(found[1]) if found else UNSET


def _scores(scores: Sequence[wire.Score]) -> list[Score] | UnsetType:
    return [Score(one.method, one.value, read_as(one.datatype, one.value)) for one in scores] or UNSET


def _levels(levels: Sequence[wire.Level]) -> list[PerformanceLevel] | UnsetType:
    return [PerformanceLevel(one.method, one.level) for one in levels] or UNSET
