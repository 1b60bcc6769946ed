"""What a folder says of each plan: one line of its manifest, and the record of that line alone beside the PDF."""

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import NamedTuple

MANIFEST = "manifest.csv"
_RECORD = re.compile(r"record-([0-9a-f-]{36})-([0-9a-f]{16})\.csv")


class Line(NamedTuple):
    """One plan. Days are ISO 8601. A plan that was withdrawn has neither a file nor a hash."""

    student_id: str
    plan_id: str
    version: str
    period_start: str
    period_end: str
    finalized_on: str
    next_review_on: str
    file: str
    sha256: str
    updated_at: str
    withdrawn_on: str = ""

    @property
    def record(self) -> str:
        """The name of its record: another line is another name, so that a listing tells which lines hold."""
        digest = hashlib.sha256("\n".join(self).encode()).hexdigest()
        return f"record-{self.plan_id}-{digest[:16]}.csv"


COLUMNS = Line._fields


def plan_of(name: str) -> str:
    """The plan that a record is of; empty for another file."""
    found = _RECORD.fullmatch(name)
    return found[1] if found else ""


def encoded(lines: Sequence[Line]) -> bytes:
    """# RFC 4180, UTF-8, with a header"""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    table.writerows(lines)
    return text.getvalue().encode()


def decoded(content: bytes | None) -> list[Line]:
    """The lines of a manifest or a record of ours; none of what somebody else made of it: what is passed on into the
    lists of others is neither a formula nor a path, and can be sorted."""
    try:
        rows = list(csv.reader(io.StringIO((content or b"").decode(), newline=""), strict=True))
    except (UnicodeError, csv.Error):
        return []
    return [Line(*row) for row in rows[1:] if len(row) == len(COLUMNS) and _is_line(row)]


def _is_line(row: Sequence[str]) -> bool:
    found = _LINE.fullmatch("\n".join(row))
    return found is not None and all(_is_day(day) for day in found.group(2, 3, 4, 5, 6))


_DAY = r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
_LINE = re.compile(
    # the student's number, as mappings/document_drop lets it through
    r"[^\x00-\x1f\x7f=+@\uff1d\uff0b\uff20\uff0d-][^\x00-\x1f\x7f]*\n"
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n[0-9]{1,9}\n"
    rf"{_DAY}\n{_DAY}?\n{_DAY}?\n{_DAY}?\n"
    r"(?:[A-Za-z0-9._~-]+\.pdf)?\n(?:[0-9a-f]{64})?\n"
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:.]{{8,15}}Z\n{_DAY}?"
)


@cache
def _is_day(day: str | None) -> bool:
    """Ten thousand plans have the same few days."""
    if day is None:
        return True
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True
