"""How a finalized plan reads in Canvas: an assignment of its student for each course that is switched on."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from html import escape
from typing import Any

from pydantic import Field, field_validator

from gateway.connector import Document, Loss
from gateway.mapping import Crosswalks, Parties
from gateway.schema.plan import Plan
from gateway.summary import Item, Part, PlanProfile, Sentence, Summary, summarize

CELL = 255  # characters. # Canvas: content of a custom gradebook column


class CanvasProfile(PlanProfile):
    """What Canvas gets to see. Its assignment is read by the student, whoever observes them, and the staff of the
    course; by no other student."""

    courses: list[str] = Field(
        default=[],
        title="Courses",
        description="In which a plan may stand, parted by commas: the SIS id of each, or its number in Canvas; an"
        " SIS id of digits alone as sis_course_id:123. A plan in those that its student is in, and in no"
        " other.",
    )
    due: bool = Field(
        default=False,
        title="Review date as due date",
        description="It then stands in the student's to-do list and calendar.",
    )
    staff_column: bool = Field(
        default=False,
        title="Column for staff",
        description="Says in the gradebook that there is a plan, and where: read by teachers and assistants alone.",
    )
    column: Sentence = Field(
        default="Success plan", title="Title of that column", description="The same in every course."
    )

    @field_validator("courses", mode="before")
    @classmethod
    def _typed(cls, value: Any) -> Any:
        """As somebody types them, parted by commas."""
        return [id.strip() for id in value.split(",") if id.strip()] if isinstance(value, str) else value


def outbound(
    plan: Plan, parties: Parties, profile: CanvasProfile, codes: Crosswalks
) -> tuple[list[Document], list[Loss]]:
    """An assignment for each course that is switched on, a cell for staff where they want it, and all that stays."""
    if not profile.courses:
        return [], [Loss("", "withheld", "Nothing is sent: no course is switched on for this destination.")]
    shown, losses = summarize(plan, profile, parties.roles, id=parties.plan, link=parties.link)
    documents = []
    for course in dict.fromkeys(profile.courses):
        documents.append(_assignment(plan, parties, profile, shown, course))
        if profile.staff_column and _fits(profile, shown):
            column = Document(
                "gradebook_columns",
                {"course": course, "title": profile.column},
                {"title": profile.column},
                create_only=True,
                after=(),
            )
            documents += [column, _cell(parties, profile, shown, course, column)]
    if plan.period_end:  # the summary has no place for it, and the assignment has
        losses = [one for one in losses if one.pointer != "/period_end"]
    if profile.staff_column and not _fits(profile, shown):
        losses.append(Loss("", "cannot", "The plan's address is too long for a gradebook column: none is filled."))
    return documents, losses


def _assignment(plan: Plan, parties: Parties, profile: CanvasProfile, shown: Summary, course: str) -> Document:
    body = {
        "student": parties.student,
        "name": shown.title,
        "description": "".join(_html(shown)),
        "due_at": _end_of(shown.review_on) if profile.due and shown.review_on else None,
        "lock_at": _end_of(plan.period_end) if plan.period_end else None,
    }
    return Document("assignments", {"plan": parties.plan, "course": course}, body, after=())


def _cell(parties: Parties, profile: CanvasProfile, shown: Summary, course: str, column: Document) -> Document:
    """The address in it is what it is found by, to be taken back."""
    key = {"plan": parties.plan, "course": course, "title": profile.column}
    body = {"student": parties.student, "content": _flag(profile, shown)}
    return Document("gradebook_cells", key, body, after=(column.name,))


def _flag(profile: CanvasProfile, shown: Summary) -> str:
    return f"{profile.column}: {shown.link}"


def _fits(profile: CanvasProfile, shown: Summary) -> bool:
    return len(_flag(profile, shown)) <= CELL


def _end_of(day: date) -> str:
    """The day is over in all of America by then."""
    return f"{day + timedelta(days=1)}T11:59:59Z"


def _html(shown: Summary) -> Iterator[str]:
    """Only what Canvas keeps of HTML. The link bears the plan's marker, by which the assignment is found again."""
    for part in shown.sections:
        yield f"<h3>{_text(part.heading)}</h3><ul>{''.join(_items(part))}</ul>"
    if shown.review_on:
        yield f"<p>Next review: {shown.review_on.isoformat()}</p>"
    link = f'href="{_text(shown.link)}" title="{_text(shown.marker)}"'
    yield f"<p><a {link}>The whole plan, for those who may see it</a></p>"


def _items(part: Part) -> Iterator[str]:
    for item in part.items:
        yield f'<li dir="auto">{_text(item.text)}{_details(item)}</li>'


def _details(item: Item) -> str:
    told = "".join(f'<li dir="auto">{_text(label)}: {_text(value)}</li>' for label, value in item.details)
    return f"<ul>{told}</ul>" if told else ""


def _text(words: str) -> str:
    """One line, without what no text may hold."""
    return escape(" ".join(re.sub(r"[\x00-\x1f\x7f]", " ", words).split()), quote=True)
