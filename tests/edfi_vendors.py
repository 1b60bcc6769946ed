"""Real result files of vendors as rows of an Ed-Fi server, by the seed tables that came with them.

The files are read where they are; nothing of them is kept here. What a row becomes follows the tables: which method a
column is, of which datatype, which levels there are, which objectives, which grade a code means.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]
CORE, SYSTEM = "uri://ed-fi.org", "StudentIdentificationSystemDescriptor"
_NOT_GIVEN = ("", "Not Assessed", "Not Provided")


class Server(NamedTuple):
    """Rows by resource, and the number in the roster by which each student's rows name them."""

    rows: dict[str, list[Row]]
    numbers: dict[str, str]

    @property
    def given(self) -> dict[str, list[Row]]:
        """All that the server holds: students with their numbers too."""
        students = [
            {"studentUniqueId": unique, "firstName": "Ada", "lastSurname": f"N{unique}", "birthDate": "2012-02-29"}
            for unique in self.numbers
        ]
        known = [
            {
                "educationOrganizationReference": {"educationOrganizationId": 255901},
                "studentReference": {"studentUniqueId": unique},
                "studentIdentificationCodes": [
                    {
                        "studentIdentificationSystemDescriptor": f"{CORE}/{SYSTEM}#District",
                        "assigningOrganizationIdentificationCode": "255901",
                        "identificationCode": number,
                    }
                ],
            }
            for unique, number in self.numbers.items()
        ]
        return {"students": students, "studentEducationOrganizationAssociations": known, **self.rows}


def in_standard(given: dict[str, list[Row]], standard: str) -> dict[str, list[Row]]:
    """The same rows as a data standard has them; they are changed in place."""
    if standard == "3.3":
        for row in given["studentAssessments"]:
            row.pop("period", None)
            for one in (row, *row.get("studentObjectiveAssessments", ())):
                for level in one.get("performanceLevels", ()):
                    level["performanceLevelMet"] = True
    if standard == "6.0":
        for row in given["assessments"]:
            [row["academicSubjectDescriptor"], *_] = [
                *(one["academicSubjectDescriptor"] for one in row.pop("academicSubjects")),
                f"{CORE}/AcademicSubjectDescriptor#Other",
            ]
        given["studentIdentificationCodes"] = [
            {"educationOrganizationReference": row["educationOrganizationReference"],
             "studentReference": row["studentReference"]} | number
            for row in given["studentEducationOrganizationAssociations"]
            for number in row.pop("studentIdentificationCodes")
        ]  # fmt: skip
    return given


class Tally(NamedTuple):
    """What is in rows of student assessments: results, parts of them, scores and levels of both."""

    results: int
    parts: int
    scores: int
    levels: int


def tally(rows: Iterable[Row]) -> Tally:
    rows = list(rows)
    parts = [part for row in rows for part in row.get("studentObjectiveAssessments", ())]
    every = [*rows, *parts]
    return Tally(
        len(rows),
        len(parts),
        sum(len(one.get("scoreResults", ())) for one in every),
        sum(len(one.get("performanceLevels", ())) for one in every),
    )


def together(*servers: Server) -> Server:
    rows: dict[str, list[Row]] = {}
    numbers: dict[str, str] = {}
    for one in servers:
        numbers |= one.numbers
        for name, more in one.rows.items():
            rows.setdefault(name, []).extend(more)
    return Server(rows, numbers)


class Seeds:
    """The seed tables of one vendor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "seeds"
        self.methods = {row["codeValue"]: row for row in self.table("assessmentReportingMethodDescriptors")}
        self.levels = {row["codeValue"]: row for row in self.table("performanceLevelDescriptors")}
        self.assessments = {row["assessmentIdentifier"]: row for row in self.table("assessments")}

    def table(self, name: str) -> list[dict[str, str]]:
        path = self._folder / f"{name}.csv"
        return read(path) if path.exists() else []

    def score(self, method: str, datatype: str, result: str) -> Row:
        return {
            **self._method(method),
            "resultDatatypeTypeDescriptor": f"{CORE}/ResultDatatypeTypeDescriptor#{datatype}",
            "result": result,
        }

    def level(self, method: str, level: str) -> Row:
        known = self.levels.get(level)
        namespace = known["namespace"] if known else next(iter(self.levels.values()))["namespace"]
        return {**self._method(method), "performanceLevelDescriptor": f"{namespace}#{level}"}

    def reference(self, identifier: str) -> Row:
        return {"assessmentIdentifier": identifier, "namespace": self.assessments[identifier]["namespace"]}

    def served(self) -> list[Row]:
        """The assessments."""
        return [
            {
                "assessmentIdentifier": identifier,
                "namespace": row["namespace"],
                "assessmentTitle": row["assessmentTitle"],
                **({"assessmentFamily": row["assessmentFamily"]} if row.get("assessmentFamily") else {}),
                "assessmentCategoryDescriptor": row.get("assessmentCategoryDescriptor")
                or next(self._of(identifier, "assessmentCategoryDescriptors")),
                "academicSubjects": [
                    {"academicSubjectDescriptor": one} for one in self._of(identifier, "academicSubjectDescriptors")
                ],
                "assessedGradeLevels": [
                    {"gradeLevelDescriptor": one} for one in self._of(identifier, "gradeLevelDescriptors")
                ],
            }
            for identifier, row in self.assessments.items()
        ]

    def objective(self, identifier: str, code: str, description: str) -> Row:
        return {
            "identificationCode": code,
            "assessmentReference": self.reference(identifier),
            "description": description,
        }

    def _method(self, code: str) -> Row:
        return {"assessmentReportingMethodDescriptor": f"{self.methods[code]['namespace']}#{code}"}

    def _of(self, identifier: str, table: str) -> Iterator[str]:
        yield from (row["edfi_descriptor"] for row in self.table(table) if row["assessmentIdentifier"] == identifier)


def read(path: Path) -> list[dict[str, str]]:
    text = io.StringIO(path.read_text("utf-8-sig"), newline="")
    return [{name: value or "" for name, value in row.items() if name} for row in csv.DictReader(text)]


def unique(number: str) -> str:
    """The key of a student: not the number of the roster, nor made of it in a way that could be taken for it."""
    return "U" + md5(number.encode(), usedforsecurity=False).hexdigest()[:10]


def identified(*parts: str) -> str:
    return md5("|".join(parts).encode(), usedforsecurity=False).hexdigest()


def day(american: str) -> str:
    return datetime.strptime(american, "%m/%d/%Y").date().isoformat()


def window(name: str, namespace: str) -> Row:
    return {"assessmentPeriodDescriptor": f"{namespace}AssessmentPeriodDescriptor#{name}"}


# --- NWEA MAP Growth


def map_growth(folder: Path) -> Server:
    """One result a row. Goals are parts; their names are too long for a code, so that they are its description."""
    seeds = Seeds(folder)
    columns = {row["column_name"].lower(): row for row in seeds.table("assessmentReportingMethodDescriptors")}
    results, objectives, numbers = [], {}, {}
    for row in read(folder / "sample_anonymized_file.csv"):
        kind = "Screening" if row["TestName"].startswith("Screening") else "Growth"
        subject = {"Language Arts": "Reading"}.get(row["Subject"], row["Subject"])
        whole, number = f"MAP_{kind}_{subject}", row["StudentID"]
        numbers[unique(number)] = number
        scores, levels = [], []
        for column, value in row.items():
            seed = columns.get(column.lower())
            if seed is None or not value:
                continue
            if seed["score_or_performance"] == "performance":
                levels.append(seeds.level(seed["codeValue"], value))
            else:
                scores.append(seeds.score(seed["codeValue"], seed["data_type"], value))
        parts = []
        for n in range(1, 9):
            if not (name := row.get(f"Goal{n}Name")):
                continue
            code = identified(name)[:12]
            objectives[whole, code] = seeds.objective(whole, code, name)
            goal = {
                "RIT Scale Score": ("Integer", row[f"Goal{n}RitScore"]),
                "SEM": ("Decimal", row[f"Goal{n}StdErr"]),
                "Goal Range": ("Range", row[f"Goal{n}Range"]),
            }
            parts.append(
                {
                    "objectiveAssessmentReference": {**seeds.reference(whole), "identificationCode": code},
                    "scoreResults": [seeds.score(method, *value) for method, value in goal.items() if value[1]],
                    "performanceLevels": [seeds.level("Goal Adjective", row[f"Goal{n}Adjective"])],
                }
            )
        results.append(
            {
                "studentAssessmentIdentifier": identified(number, row["TestName"], row["TestStartDate"]),
                "assessmentReference": seeds.reference(whole),
                "studentReference": {"studentUniqueId": unique(number)},
                "administrationDate": day(row["TestStartDate"]),
                "schoolYearTypeReference": {"schoolYear": int(row["TermName"][-4:])},
                "period": window(row["TermName"], "uri://www.nwea.org/map/"),
                "scoreResults": scores,
                "performanceLevels": levels,
                "studentObjectiveAssessments": parts,
            }
        )
    rows = {
        "assessments": seeds.served(),
        "objectiveAssessments": list(objectives.values()),
        "studentAssessments": results,
    }
    return Server(rows, numbers)


# --- Curriculum Associates i-Ready


def iready(folder: Path) -> Server:
    """One result a row, of two files. A method is a column's own name; its parts are the domains of the seed table."""
    seeds = Seeds(folder)
    grades = {row["iready_grade"]: row["edfi_descriptor"] for row in seeds.table("gradeLevelDescriptors")}
    domains = seeds.table("objectiveAssessments")
    results, numbers = [], {}
    for subject in ("ela", "math"):
        whole = f"CAINC-IREADY-DIAGNOSTIC-{subject.upper()}"
        own = [domain for domain in domains if domain["assessmentIdentifier"] == whole]
        for row in read(folder / f"sample_anonymized_file_{subject}.csv"):
            number = row["Student ID"]
            numbers[unique(number)] = number
            of_parts = {f"{domain['description']} Scale Score" for domain in own}
            scores, levels = [], []
            for column, value in row.items():
                if column not in seeds.methods or column in of_parts or value in _NOT_GIVEN:
                    continue
                if column.endswith("Placement"):
                    levels.append(seeds.level(column, value))
                else:
                    scores.append(seeds.score(column, _iready_datatype(column), value))
            results.append(
                {
                    "studentAssessmentIdentifier": identified(number, subject, row["Start Date"]),
                    "assessmentReference": seeds.reference(whole),
                    "studentReference": {"studentUniqueId": unique(number)},
                    "administrationDate": day(row["Completion Date"]),
                    "whenAssessedGradeLevelDescriptor": grades[row["Student Grade"]],
                    "schoolYearTypeReference": {"schoolYear": int(row["Academic Year"][-4:])},
                    "period": window(row["Norming Window"], "uri://cainc.com/"),
                    "scoreResults": scores,
                    "performanceLevels": levels,
                    "studentObjectiveAssessments": [part for domain in own if (part := _domain(seeds, domain, row))],
                }
            )
    rows = {
        "assessments": seeds.served(),
        "objectiveAssessments": [
            seeds.objective(one["assessmentIdentifier"], one["identificationCode"], one["description"])
            for one in domains
        ],
        "studentAssessments": results,
    }
    return Server(rows, numbers)


def _domain(seeds: Seeds, domain: dict[str, str], row: dict[str, str]) -> Row | None:
    name, whole = domain["description"], domain["assessmentIdentifier"]
    scale = row[f"{name} Scale Score"]
    placed = {kind: row[f"{name} {kind}"] for kind in ("Placement", "Relative Placement")}
    levels = [seeds.level(kind, value) for kind, value in placed.items() if value not in _NOT_GIVEN]
    if not levels and not scale:
        return None
    return {
        "objectiveAssessmentReference": {
            **seeds.reference(whole),
            "identificationCode": domain["identificationCode"],
        },
        "scoreResults": [seeds.score("Scale Score", "Integer", scale)] if scale else [],
        "performanceLevels": levels,
    }


def _iready_datatype(column: str) -> str:
    if column.endswith("Range"):
        return "Range"
    if column.endswith("(%)"):
        return "Percentage"
    if column == "Percentile":
        return "Percentile"
    return "Level" if column in ("Lexile Measure", "Quantile Measure") else "Integer"


# --- STAAR, grades 3 to 8

_STAAR = {
    "Reading": "reading_language_arts",
    "Mathematics": "mathematics",
    "Social Studies": "social_studies",
    "Science": "science",
}


def staar(folder: Path) -> Server:
    """Up to four results a row, one a subject, all of one assessment: the code of a part is that of its category."""
    seeds, whole = Seeds(folder), "staar_summative"
    categories = {
        row["subject"]: [row[f"reporting_category_{n}_name"] for n in range(1, 7)]
        for row in seeds.table("obj_assess_codes_xwalk")
        if (row["assessment_identifier"], row["school_year"]) == (whole, "2023")
    }
    windows = {
        (row["grade_level_code"], row["subject"], row["administration_window"]): row
        for row in seeds.table("administration_window_xwalk")
        if row["assessment_identifier"] == whole
    }
    results, numbers = [], {}
    for row in read(folder / "sample_anonymized_file.csv"):
        number = row["tx_unique_student_id"].strip()
        numbers[unique(number)] = number
        for subject, column in _STAAR.items():
            code = row[f"score_code_{column}"].strip()
            if not code:
                continue
            held = windows[row["grade_level_tested"], subject, row["administration_date"]]
            scores = [
                seeds.score("Score Code", "Level", code),
                seeds.score("Subject", "Level", subject),
                seeds.score("Administration Window", "Level", held["administration_window_label"]),
            ]
            for method, name in (("Total Scale Score", "scale_score"), ("Overall Raw Score", "raw_score")):
                if value := row[f"{column}_{name}"].strip():
                    scores.append(seeds.score(method, "Integer", value))
            results.append(
                {
                    "studentAssessmentIdentifier": identified(number, subject, row["administration_date"]),
                    "assessmentReference": seeds.reference(whole),
                    "studentReference": {"studentUniqueId": unique(number)},
                    "administrationDate": held["administration_window_start_date"],
                    "schoolYearTypeReference": {"schoolYear": int(held["school_year"])},
                    "period": window(held["administration_window_label"], "uri://tea.texas.gov/"),
                    "scoreResults": scores,
                    "performanceLevels": [
                        seeds.level("Overall Performance Level", level) for level in _staar_level(row, column)
                    ],
                    "studentObjectiveAssessments": [
                        {
                            "objectiveAssessmentReference": {**seeds.reference(whole), "identificationCode": name},
                            "scoreResults": [seeds.score("Raw Score", "Integer", value)],
                        }
                        for n, name in enumerate(categories[subject], 1)
                        if name and (value := row.get(f"{column}_reporting_category_{n}_scores", "").strip())
                    ],
                }
            )
    rows = {
        "assessments": seeds.served(),
        "objectiveAssessments": [
            seeds.objective(one["assessmentIdentifier"], one["identificationCode"], one["identificationCode"])
            for one in seeds.table("objectiveAssessments")
        ],
        "studentAssessments": results,
    }
    return Server(rows, numbers)


def _staar_level(row: dict[str, str], column: str) -> list[str]:
    """The highest level that a student has reached; none where nothing was scored."""
    flags = {
        name: row[f"{name.lower()}_grade_level_in_{column}"].strip() for name in ("Masters", "Meets", "Approaches")
    }
    if not any(flags.values()):
        return []
    return [next((name for name, flag in flags.items() if flag == "1"), "Did Not Meet")]
