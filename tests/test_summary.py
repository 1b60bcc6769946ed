"""A plan in short: what the usual profile lets through, what each switch adds, and that nothing else leaves unsaid."""

import json
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.schema.plan import Plan
from gateway.summary import PlanProfile, Summary, summarize

STUDENT, SCHOOL, TUTOR = (f"00000000-0000-4000-8000-{n:012d}" for n in (1, 2, 3))
PLAN = "00000000-0000-4000-8000-000000000077"
LINK = f"https://planbridge.example.org/plans/{PLAN}"
ROLES = {TUTOR: "reading specialist"}
SENSITIVE = ("include_social_emotional", "include_health", "include_family")


def plan(**more: Any) -> Plan:
    return Plan.model_validate(
        {
            "title": "planted title",
            "student": STUDENT,
            "school": SCHOOL,
            "period_start": "2026-09-01",
            "next_review_on": "2026-12-15",
            "strengths": [
                {"statement": "Asks good questions", "domain": "academic"},
                {"statement": "planted: calm again", "domain": "social_emotional"},
            ],
            "interests": [{"statement": "Draws bridges"}],
            "needs": [
                {"domain": "academic", "statement": "planted: need of reading"},
                {"domain": "mental_health", "statement": "planted: need of health"},
                {"domain": "family_basic_needs", "statement": "planted: need of the family"},
            ],
            "goals": [
                {
                    "domain": "academic",
                    "statement": "Reads 120 words a minute",
                    "addresses": ["need-1"],
                    "baseline": {"measure": "Words a minute", "value": 90, "on": "2026-09-04"},
                    "targets": [{"measure": "Words a minute", "value": 120, "due_on": "2027-03-01"}],
                },
                {"domain": "behavior", "statement": "planted: goal of behavior"},
                {"domain": "academic", "statement": "planted: goal for nobody's eyes", "shareable": False},
                {"domain": "academic", "statement": "planted: goal given up", "lifecycle": "cancelled"},
            ],
            "supports": [
                {"name": "Reading group", "kind": "tutoring", "goals": ["goal-1"], "owner": TUTOR, "frequency": 3,
                 "frequency_interval": "week"},
                {"name": "planted: counseling", "kind": "counseling"},
                {"name": "planted: a word on the goal", "kind": "mentoring", "goals": ["goal-2"]},
                {"name": "Chess club", "kind": "enrichment_arts", "setting": "community",
                 "provider_organization": "planted: club"},
                {"name": "planted: status", "kind": "section_504_accommodation_ref"},
                {"name": "planted: stopped by mistake", "kind": "tutoring", "status": "entered_in_error"},
            ],
            **more,
        }
    )  # fmt: skip


def short(profile: PlanProfile, **more: Any) -> tuple[Summary, dict[str, str]]:
    made, losses = summarize(plan(**more), profile, ROLES, id=PLAN, link=LINK)
    assert len({one.pointer for one in losses}) == len(losses), "a place is lost twice"
    return made, {one.pointer: one.kind for one in losses}


def texts(made: Summary) -> list[str]:
    return [item.text for part in made.sections for item in part.items]


def test_the_usual_profile_sends_strengths_goals_supports_and_the_review_date() -> None:
    made, _ = short(PlanProfile())
    assert texts(made) == ["Asks good questions", "Reads 120 words a minute", "Reading group"]
    goal, support = made.sections[1].items[0], made.sections[2].items[0]
    assert goal.details == (
        ("Where things stand", "Words a minute: 90 (2026-09-04)"),
        ("Target", "Words a minute: at least 120 by 2027-03-01"),
    )
    assert support.details == (("Who", "reading specialist"),)
    assert (made.title, made.review_on) == ("Student success plan", date(2026, 12, 15))
    assert (made.link, made.marker) == (LINK, f"urn:uuid:{PLAN}")
    assert "planted" not in repr(made)
    assert TUTOR not in repr(made)


def test_all_that_does_not_leave_is_said() -> None:
    _, losses = short(PlanProfile())
    withheld = {pointer for pointer, kind in losses.items() if kind == "withheld"}
    assert withheld == {
        *("/strengths/1", "/interests/0", "/needs/0", "/needs/1", "/needs/2", "/goals/1", "/goals/2", "/goals/3"),
        *("/supports/1", "/supports/2", "/supports/3", "/supports/4", "/supports/5"),
    }
    assert {"/title", "/goals/0/addresses", "/supports/0/frequency"} <= {
        one for one in losses if losses[one] == "cannot"
    }


@pytest.mark.parametrize(
    ("switches", "come"),
    [
        (("include_interests",), {"Draws bridges"}),
        (("include_needs",), {"planted: need of reading"}),
        (("include_needs", "include_health"), {"planted: need of reading", "planted: need of health"}),
        (("include_needs", "include_family"), {"planted: need of reading", "planted: need of the family"}),
        (("include_outside_supports",), {"Chess club"}),
        (
            ("include_social_emotional",),
            {
                *("planted: calm again", "planted: goal of behavior", "planted: counseling"),
                "planted: a word on the goal",
            },
        ),
        (("include_health",), set()),
        (("include_family",), set()),
    ],
)
def test_each_switch_adds_what_it_names(switches: tuple[str, ...], come: set[str]) -> None:
    usual = set(texts(short(PlanProfile())[0]))
    made, _ = short(PlanProfile(**dict.fromkeys(switches, True)))
    assert set(texts(made)) - usual == come


def test_with_every_switch_on_program_status_and_what_must_not_be_shown_stays() -> None:
    every = {name: True for name in PlanProfile.model_fields if name.startswith("include_")}
    made, _ = short(PlanProfile(**every))
    said = json.dumps(texts(made))
    for never in ("planted: status", "nobody's eyes", "given up", "by mistake"):
        assert never not in said
    assert "club" not in repr(made).replace("Chess club", "")


def test_supports_outside_school_leave_alone_where_only_they_are_chosen() -> None:
    made, _ = short(PlanProfile(include_supports=False, include_outside_supports=True))
    assert [item.text for part in made.sections if part.kind == "supports" for item in part.items] == ["Chess club"]


def test_a_doorway_holds_nothing_of_the_plan_whatever_else_is_switched_on() -> None:
    every = {name: True for name in PlanProfile.model_fields if name.startswith("include_")}
    made, losses = short(PlanProfile(doorway=True, **every))
    assert (made.sections, made.review_on, made.link) == ((), None, LINK)
    assert losses["/next_review_on"] == losses["/goals/0"] == "withheld"


def test_a_title_is_one_plain_line() -> None:
    for wrong in ("", "two\nlines", "<b>bold</b>", "x" * 101):
        with pytest.raises(ValidationError):
            PlanProfile(title=wrong)
