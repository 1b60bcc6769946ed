"""How a finalized plan reads as a document in a folder: a PDF of what its profile lets through, and a line."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Literal
from urllib.parse import quote

from pydantic import Field

from gateway.connector import Document, Loss
from gateway.errors import Refused
from gateway.mapping import Crosswalks, Parties
from gateway.schema.plan import Plan
from gateway.summary import PlanProfile, Summary, summarize


class DropProfile(PlanProfile):
    """What is put into the folder. The lists beside the PDFs hold numbers and days, and never a word of a plan."""

    paper: Literal["letter", "a4"] = Field(default="letter", title="Paper", description="Size of the paper of the PDF.")


def outbound(
    plan: Plan, parties: Parties, profile: DropProfile, codes: Crosswalks
) -> tuple[list[Document], list[Loss]]:
    """One document: the line of the manifest, and what the PDF says, word for word. The PDF itself is made when it is
    sent. Refused where a student's number could be taken for a formula by whoever opens the lists."""
    if not re.fullmatch(r"[^\x00-\x1f\x7f=+@\uff1d\uff0b\uff20\uff0d-][^\x00-\x1f\x7f]*", parties.student):
        raise Refused(
            "student-number-formula",
            "The student's number begins with a sign that a spreadsheet takes for a formula, or holds one that no"
            " number has.",
            "Name another number of your students in `student_identifier`, or have this one put right.",
        )
    assert parties.print is not None
    summary, losses = summarize(plan, profile, parties.roles, id=parties.plan, link=parties.link)
    line = {
        "student_id": parties.student,
        "plan_id": parties.plan,
        "version": str(parties.version),
        "period_start": plan.period_start.isoformat(),
        "period_end": plan.period_end.isoformat() if plan.period_end and not profile.doorway else "",
        "finalized_on": parties.finalized_on.isoformat() if parties.finalized_on else "",
        "next_review_on": summary.review_on.isoformat() if summary.review_on else "",
        "file": _file(parties),
    }
    body = {"line": line, "pdf": {"paper": profile.paper, "says": list(_says(summary))}}
    document = Document("plans", {"plan": parties.plan}, body, content=partial(parties.print, profile))
    return [document], [loss for loss in losses if loss.pointer != "/period_end" or profile.doorway]


def _file(parties: Parties) -> str:
    """A number of the district's own may hold what leads elsewhere in a path."""
    student = quote(parties.student, safe="").replace("%", "_")[:60]
    named = str(parties.settings["file_name"])
    return named.format(student=student, plan=parties.plan, version=parties.version)


def _says(summary: Summary) -> Iterator[str]:
    """What stands in the PDF, line by line, beside the student's number and the version."""
    yield summary.title
    for part in summary.sections:
        yield part.heading
        for item in part.items:
            yield item.text
            yield from (f"{label}: {value}" for label, value in item.details)
    if summary.review_on:
        yield f"Next review: {summary.review_on.isoformat()}"
    yield summary.link
