"""How a finalized plan reads in a platform's gradebook: one column for a course, a comment, and never a score."""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, field_validator

from gateway.connector import Document, Loss
from gateway.mapping import Crosswalks, Parties, Place
from gateway.schema.plan import Plan
from gateway.summary import PlanProfile, Summary, summarize

TAG = "planbridge"
"""Of each column of ours, beside its own mark."""


class CommentProfile(PlanProfile):
    """What a gradebook gets to see. The name of a column is read by the whole course; a comment by its student, by those
    whom the platform lets look over their shoulder, and by whoever teaches the course. So it says where the plan is,
    and no more, until the district chooses otherwise."""

    courses: list[str] = Field(
        default=[],
        title="Courses",
        description="Ids of the courses in whose gradebooks plans may be told of: a preview names those that the tool"
        " was opened in. In no other course is anything written. Parted by commas.",
    )
    comment: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^<>]*$")] = Field(
        default="There is a success plan. Whoever works with it reads it here:",
        title="Comment",
        description="How the comment begins; the address of the plan follows.",
    )
    doorway: bool = Field(
        default=True,
        title="Send a doorway only",
        description="The sentence above with a link to the plan, and nothing of the plan. Switched off: also what is"
        " switched on above, in the words of the plan.",
    )

    @field_validator("courses", mode="before")
    @classmethod
    def _typed(cls, value: Any) -> Any:
        """As somebody types them, parted by commas."""
        return [id.strip() for id in value.split(",") if id.strip()] if isinstance(value, str) else value


def outbound(
    plan: Plan, parties: Parties, profile: CommentProfile, codes: Crosswalks
) -> tuple[list[Document], list[Loss]]:
    """A comment for each course that is switched on and told of itself; the platform says which of them the student is
    in, and no other is written to."""
    known = {one.key: one for one in parties.places if one.kind == "lti"}
    summary, losses = summarize(plan, profile, parties.roles, id=parties.plan, link=parties.link)
    chosen = [known[key] for key in dict.fromkeys(profile.courses) if key in known]
    documents = [_comment(plan, one, parties, profile, summary) for one in chosen]
    return documents, [*_unsent(profile, known), *losses]


def _comment(plan: Plan, course: Place, parties: Parties, profile: CommentProfile, summary: Summary) -> Document:
    """The column bears a mark by which it is found again, and nothing that comes from a plan. # AGS 2.0"""
    mark = hashlib.sha256(course.key.encode()).hexdigest()[:24]
    is_over = plan.period_end is not None and parties.today is not None and plan.period_end < parties.today
    body = {
        "course": {"lineItems": course.facts["line_items"], "memberships": course.facts["memberships"]},
        "person": parties.student,
        # One point: where a platform counts what is empty as nought, it is worth as little as can be.
        "lineItem": {"label": profile.title, "scoreMaximum": 1, "resourceId": f"planbridge-{mark}", "tag": TAG},
        # Without scoreGiven, and NotReady: no total is moved by it.
        "score": {
            "activityProgress": "Completed" if is_over else "InProgress",
            "gradingProgress": "NotReady",
            "comment": "\n".join(_lines(profile, summary)),
        },
    }
    return Document("scores", {"plan": parties.plan, "context": course.key}, body, after=())


def _lines(profile: CommentProfile, summary: Summary) -> Iterator[str]:
    """Plain text: platforms show a comment as it is. # AGS 2.0 3.4.6"""
    yield f"{profile.comment} {summary.link}"
    for part in summary.sections:
        yield ""
        yield f"{part.heading}:"
        for item in part.items:
            yield f"- {_line(item.text)}"
            yield from (f"  {name}: {_line(value)}" for name, value in item.details)
    if summary.review_on:
        yield ""
        yield f"Next review: {summary.review_on.isoformat()}"


def _line(words: str) -> str:
    return " ".join(words.split())


def _unsent(profile: CommentProfile, known: dict[str, Place]) -> Iterator[Loss]:
    told = "; ".join(f"{one.key} ({one.facts['title'] or 'without a title'})" for one in known.values())
    there = f" The tool was opened in: {told}." if told else " The tool was opened in no course yet."
    if not profile.courses:
        yield Loss("", "withheld", f"Nothing is sent: no course is switched on for this destination.{there}")
    for key in dict.fromkeys(profile.courses):
        if key not in known:
            yield Loss("", "cannot", f"Nothing is sent to course {key}: open the tool there once, so that it is known.")
