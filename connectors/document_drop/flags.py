"""The list of flags: one line for each student, as the import of another system wants it."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal

from connectors.document_drop.lines import Line

Preset = Literal["plain", "infinite_campus", "powerschool", "powerschool_autocomm", "none"]
FIELDS = ("student", "flag", "since", "ended", "review", "version")
"""What a column can hold: the student's number, the flag, first and last day, day of the next review, the version."""


@dataclass(frozen=True)
class Layout:
    """`columns`: heading -> field; `day` as strftime writes it; `on` and `off` are the words of the flag."""

    columns: Mapping[str, str]
    delimiter: str = ","
    day: str = "%Y-%m-%d"
    header: bool = True
    on: str = "1"
    off: str = "0"

    @property
    def name(self) -> str:
        """The name of the file."""
        return "flags.txt" if self.delimiter == "\t" else "flags.csv"


_POWERSCHOOL = {"Student_Number": "student", "success_plan": "flag", "success_plan_review": "review"}
# Not proven live: what each vendor's import takes is a matter of the district's own fields, which the README names.
PRESETS: Mapping[str, Layout] = {
    "plain": Layout(
        {
            "student_id": "student",
            "has_plan": "flag",
            "since": "since",
            "ended": "ended",
            "next_review_on": "review",
        }
    ),
    "infinite_campus": Layout(
        {
            "studentNumber": "student",
            "flag": "flag",
            "startDate": "since",
            "endDate": "ended",
            "reviewDate": "review",
        },
        day="%m/%d/%Y",
    ),
    "powerschool": Layout(_POWERSCHOOL, "\t", "%m/%d/%Y"),
    "powerschool_autocomm": Layout(_POWERSCHOOL, "\t", "%m/%d/%Y", header=False),
}


def flags(lines: Iterable[Line], layout: Layout) -> bytes:
    """The whole list: of a student with several plans the one that counts, which is one that is not withdrawn, and of
    those the one that began last."""
    counts: dict[str, Line] = {}
    for line in sorted(lines, key=lambda one: (not one.withdrawn_on, one.period_start, one.updated_at)):
        counts[line.student_id] = line
    text = io.StringIO()
    table = csv.writer(text, delimiter=layout.delimiter)
    if layout.header:
        table.writerow(layout.columns)
    for _, line in sorted(counts.items()):
        told = _told(line, layout)
        table.writerow([told[field] for field in layout.columns.values()])
    return text.getvalue().encode()


def _told(line: Line, layout: Layout) -> Mapping[str, str]:
    return {
        "student": line.student_id,
        "flag": layout.off if line.withdrawn_on else layout.on,
        "since": _day(line.period_start, layout.day),
        "ended": _day(line.withdrawn_on or line.period_end, layout.day),
        "review": "" if line.withdrawn_on else _day(line.next_review_on, layout.day),
        "version": line.version,
    }


@cache
def _day(value: str, form: str) -> str:
    """Ten thousand students have the same few days."""
    return date.fromisoformat(value).strftime(form) if value else ""
