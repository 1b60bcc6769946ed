"""How a finalized plan reads in a Moodle: one learning plan of its student, and what belongs to it there."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

from pydantic import Field

from gateway.connector import Document, Loss
from gateway.mapping import Crosswalks, Parties
from gateway.schema.plan import Plan
from gateway.summary import PlanProfile, Summary, summarize
from mappings.moodle.rendering import described, named, plain

FRAMEWORK = "planbridge-domains"


class MoodleProfile(PlanProfile):
    """What a Moodle gets to see of a plan."""

    include_team: bool = Field(
        default=True,
        title="Let the team see it",
        description="Whoever is on the plan's team gets the team's role in this one student's context, as long as they"
        " are on it. The role is named in the connection's settings.",
    )
    include_domains: bool = Field(
        default=False,
        title="Send the domains of goals",
        description="As competencies of one framework, which is made where it is missing: Attendance, Language. Never a"
        " child's own goal: everybody who signs in may read a framework.",
    )
    include_consultation: bool = Field(
        default=False,
        title="Send the day of the consultation",
        description="As a comment on the plan: the day and the way, and nothing of what was said.",
    )


def outbound(
    plan: Plan, parties: Parties, profile: MoodleProfile, codes: Crosswalks
) -> tuple[list[Document], list[Loss]]:
    """The learning plan, then its team, its domains and its comments; and everything that stays here, and why."""
    summary, losses = summarize(plan, profile, parties.roles, id=parties.plan, link=parties.link)
    learning_plan, told = _learning_plan(plan, parties, profile, summary)
    documents = [learning_plan, *_team(parties, profile, learning_plan)]
    if profile.include_domains:
        documents += _domains(plan, parties, summary, codes, learning_plan)
    if profile.include_consultation and not profile.doorway:
        documents += _comments(plan, parties, learning_plan)
    return documents, [*told, *_losses(plan, parties, profile, losses, learning_plan.body["due"])]


def _learning_plan(
    plan: Plan, parties: Parties, profile: MoodleProfile, summary: Summary
) -> tuple[Document, list[Loss]]:
    name, cut = named(summary.title)
    due = None if profile.doorway else _due(plan, summary, parties.today)
    body = {
        "student": parties.student,
        "name": name,
        "description": described(summary),
        "due": due.isoformat() if due else "",
        "ended": _ended(plan, parties),
        "marker": summary.marker,
    }
    told = [Loss("", "cannot", "The title for this destination is cut: Moodle holds 100 characters.")] if cut else []
    return Document("learningPlans", {"plan": parties.plan}, body), told


def _ended(plan: Plan, parties: Parties) -> bool:
    """Moodle's complete is not ours: a plan whose writing is finished is active there until it is closed or its last
    day has passed."""
    return parties.closed or bool(parties.today and plan.period_end and plan.period_end < parties.today)


def _due(plan: Plan, summary: Summary, today: date | None) -> date | None:
    """The next review, else the last day; Moodle refuses a day that is past."""
    days = (summary.review_on, plan.period_end)
    return next((day for day in days if day and (today is None or day > today)), None)


def _team(parties: Parties, profile: MoodleProfile, plan: Document) -> Iterator[Document]:
    """A role for each member who has a number. A doorway shows them nothing here that would need one, and a plan that
    was closed has no team any more."""
    role = parties.settings.get("team_role")
    if not profile.include_team or profile.doorway or parties.closed or not role:
        return
    for one in parties.team:
        if one.number:
            key = {"plan": parties.plan, "member": one.person, "role": role}
            body = {"student": parties.student, "member": one.number, "role": role, "as": one.role}
            yield Document("teamRoles", key, body, after=(plan.name,))


def _domains(
    plan: Plan, parties: Parties, summary: Summary, codes: Crosswalks, learning_plan: Document
) -> Iterator[Document]:
    """What the goals that are sent are about, in general words that are the same for every child."""
    shown = [int(one.pointer.split("/")[2]) for part in summary.sections if part.kind == "goals" for one in part.items]
    words = {
        f"planbridge.{domain}": word
        for domain in dict.fromkeys(plan.goals[n].domain for n in shown)
        if (word := codes.translate("out_domain", domain))
    }
    if not words:
        return
    body = {"idnumber": FRAMEWORK, "name": "Success plan domains"}
    framework = Document("competencyFrameworks", {"idnumber": FRAMEWORK}, body, create_only=True, after=())
    yield framework
    for idnumber, word in words.items():
        general = {"idnumber": idnumber, "name": plain(word), "framework": FRAMEWORK}
        domain = Document("competencies", {"idnumber": idnumber}, general, create_only=True, after=(framework.name,))
        yield domain
        key = {"plan": parties.plan, "competency": idnumber}
        own = {"student": parties.student, "competency": idnumber}
        yield Document("planCompetencies", key, own, after=(learning_plan.name, domain.name))


def _comments(plan: Plan, parties: Parties, learning_plan: Document) -> Iterator[Document]:
    """Day and way. A comment cannot be edited, so what it says is what it is known by."""
    for text in dict.fromkeys(f"Family consultation: {one.held_on} ({_plain(one.mode)})" for one in plan.consultations):
        key = {"plan": parties.plan, "text": text}
        body: dict[str, Any] = {"student": parties.student, "text": text}
        yield Document("planComments", key, body, after=(learning_plan.name,))


def _plain(word: str) -> str:
    return word.replace("_", " ")


def _losses(plan: Plan, parties: Parties, profile: MoodleProfile, losses: list[Loss], due: str) -> Iterator[Loss]:
    """What the summary keeps, but for what stands in Moodle all the same."""
    for loss in losses:
        if loss.pointer == "/team":
            yield from _left_out(plan, parties, profile)
        elif loss.pointer == "/period_end" and plan.period_end and due == plan.period_end.isoformat():
            continue
        elif loss.pointer == "/consultations" and profile.include_consultation and not profile.doorway:
            yield replace(loss, reason="Only day and way are sent, as a comment.")
        else:
            yield loss


def _left_out(plan: Plan, parties: Parties, profile: MoodleProfile) -> Iterator[Loss]:
    """Who of the team does not see the plan in Moodle, and why."""
    if not profile.include_team or profile.doorway:
        yield Loss("/team", "withheld", "Only a doorway is sent." if profile.doorway else _OFF)
    elif parties.closed:
        yield Loss("/team", "cannot", "The plan is closed: its team sees it there no more.")
    elif not parties.settings.get("team_role"):
        yield Loss("/team", "cannot", "No role for the team is named in the settings: only the student sees it there.")
    else:
        yield Loss("/team", "cannot", "Who is on the team is not told; each of them is let see the plan there.")
        numbered = {one.person for one in parties.team if one.number}
        for n, member in enumerate(plan.team):
            if member.who not in numbered:
                yield Loss(f"/team/{n}", "cannot", _NOBODY)


_OFF = "Switched off for this destination."
_NOBODY = "They are no staff, are not on the team today, or have no staff number: they do not see it there."
