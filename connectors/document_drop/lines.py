"""What a folder says of each plan: one line of its manifest, and the record of that line alone beside the PDF."""

import csv
import hashlib
import io
import re
from collections.abc import Sequence
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
    """The lines of a manifest or a record of ours; none of what somebody else made of it."""
    try:
        rows = list(csv.reader(io.StringIO((content or b"").decode(), newline=""), strict=True))
    except (UnicodeError, csv.Error):
        return []
    return [Line(*row) for row in rows[1:] if len(row) == len(COLUMNS)]
