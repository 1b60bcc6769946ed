"""What Canvas gets of a plan: nothing until a course is named, then the short form of it, and every loss told."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.canvas.reading import same_words
from connectors.canvas.twin_html import cleaned
from gateway.connector import Document, Loss
from gateway.mapping import Parties
from gateway.schema.plan import Plan
from mappings.canvas import MAPPING
from mappings.canvas.outbound import CanvasProfile, outbound

STUDENT, SCHOOL, TUTOR = (f"00000000-0000-4000-8000-{n:012d}" for n in (1, 2, 3))
PLAN = "00000000-0000-4000-8000-000000000077"
PARTIES = Parties(
    plan=PLAN,
    student="0012001",
    staff={},
    settings={},
    link=f"https://planbridge.example.org/plans/{PLAN}",
    roles={TUTOR: "reading specialist"},
)
STRANGE = "5 < 6 & \u201cmore\u201d \U0001f600 \u05e9\u05dc\u05d5\u05dd \x07 <script>alert(1)</script>"


def plan(**more: Any) -> Plan:
    return Plan.model_validate(
        {
            "title": "planted title",
            "student": STUDENT,
            "school": SCHOOL,
            "period_start": "2026-09-01",
            "period_end": "2027-06-30",
            "next_review_on": "2026-12-15",
            "strengths": [{"statement": "Asks good questions", "domain": "academic"}],
            "needs": [{"domain": "mental_health", "statement": "planted: need of health"}],
            "goals": [
                {
                    "domain": "academic",
                    "statement": "Reads 120 words a minute",
                    "targets": [{"measure": "Words a minute", "value": 120, "due_on": "2027-03-01"}],
                },
                {"domain": "behavior", "statement": "planted: goal of behavior"},
            ],
            "supports": [{"name": "Reading group", "kind": "tutoring", "owner": TUTOR}],
        }
        | more
    )


def sent(plan: Plan, **profile: Any) -> tuple[list[Document], list[Loss]]:
    given = MAPPING.profile.model_validate({"courses": "HR-5A"} | profile) if MAPPING.profile else None
    return outbound(plan, PARTIES, given, MAPPING.codes())  # type: ignore[arg-type]


def test_nothing_leaves_until_a_course_is_named() -> None:
    documents, losses = outbound(plan(), PARTIES, CanvasProfile(), MAPPING.codes())
    assert documents == []
    assert [loss.reason for loss in losses] == ["Nothing is sent: no course is switched on for this destination."]


def test_it_is_the_short_form_with_a_mark_and_no_date_that_anybody_is_reminded_of() -> None:
    [document], losses = sent(plan())
    html = document.body["description"]
    assert html.startswith('<h3>Strengths</h3><ul><li dir="auto">Asks good questions</li></ul><h3>Goals</h3><ul>')
    assert '<li dir="auto">Reads 120 words a minute<ul><li dir="auto">Target: Words a minute: ' in html
    assert '<li dir="auto">Reading group<ul><li dir="auto">Who: reading specialist</li></ul></li></ul>' in html
    link = f'<a href="https://planbridge.example.org/plans/{PLAN}" title="urn:uuid:{PLAN}">'
    assert html.endswith(f"<p>Next review: 2026-12-15</p><p>{link}The whole plan, for those who may see it</a></p>")
    assert (document.body["name"], document.body["due_at"]) == ("Student success plan", None)
    assert document.body["lock_at"] == "2027-07-01T11:59:59Z"
    assert "planted" not in json.dumps([document.key, document.body])
    assert {"/title", "/needs/0", "/goals/1"} <= {loss.pointer for loss in losses}
    assert "/period_end" not in {loss.pointer for loss in losses}
    assert document.after == ()


def test_each_switch_changes_what_it_says() -> None:
    [document], _ = sent(plan(), due=True, include_goals=False)
    assert document.body["due_at"] == "2026-12-16T11:59:59Z" and "120 words" not in document.body["description"]
    documents, losses = sent(plan(), staff_column=True, courses="HR-5A, HR-5A,sis_course_id:77")
    assert [(one.resource, one.key["course"]) for one in documents] == [
        (kind, course)
        for course in ("HR-5A", "sis_course_id:77")
        for kind in ("assignments", "gradebook_columns", "gradebook_cells")
    ]
    assert documents[2].body["content"] == f"Success plan: {PARTIES.link}"
    assert documents[2].after == (documents[1].name,) and documents[1].create_only
    long = replace(PARTIES, link=f"https://{'x' * 250}/plans/{PLAN}")
    given = CanvasProfile(courses=["HR-5A"], staff_column=True)
    documents, losses = outbound(plan(), long, given, MAPPING.codes())
    assert [one.resource for one in documents] == ["assignments"]
    assert "too long for a gradebook column" in losses[-1].reason
    [bare], _ = sent(plan(period_end=None), doorway=True)
    assert bare.body["description"].startswith("<p><a href=") and bare.body["lock_at"] is None


@pytest.mark.parametrize("words", [STRANGE, "x" * 101, "&amp; &lt;b&gt;", "\u200f\u05d0 (1)"])
def test_strange_words_come_whole_and_harmless(words: str) -> None:
    [document], _ = sent(plan(strengths=[{"statement": words, "domain": "academic"}]))
    html = document.body["description"]
    assert "<script" not in html and "\x07" not in html
    assert same_words(html, cleaned(html)), "Canvas keeps it as it is"


def test_a_title_is_one_short_line() -> None:
    with pytest.raises(ValidationError):
        CanvasProfile(title="<b>")
    with pytest.raises(ValidationError):
        CanvasProfile(column="x" * 101)
